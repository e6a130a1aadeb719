"""A client with within-subjects queues, and the server that it must stay in step with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_forms import Form
from tests.support_server import SteeredServer, client_of, initialised, local_upgrade
from upgrade_client_lib import Assignment, UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

POINTS = [("single", "queue"), ("twin", "one"), ("twin", "two")]
RIGHT = [
    ("6.5", "auto"),
    ("6.7", "auto"),
    ("6.5", "decision_point"),
    ("6.7", "experiment"),
]
on_either_server = pytest.mark.parametrize("version", ["6.5", "6.7"])
where_rotation_is_right = pytest.mark.parametrize(("version", "rotation"), RIGHT)


class Scene:
    """A client, the server as it sees it, and the truth behind both."""

    def __init__(
        self, version: str = "6.5", upgrade: LocalUpgrade | None = None, **options: Any
    ) -> None:
        self.upgrade = upgrade or local_upgrade(version)
        self.server = SteeredServer(self.upgrade.transport)
        self.client = initialised(self.server, **options)

    def truth(self, site: str, target: str | None) -> Assignment | None:
        """What the server assigns, asked by somebody else."""
        return client_of(self.upgrade.transport).get_decision_point_assignment_sync(site, target)

    def in_step(self, call: Form, *points: tuple[str, str]) -> bool:
        """Whether client and server say the same of these points."""
        return all(
            call(self.client.get_decision_point_assignment, *point) == self.truth(*point)
            for point in points or POINTS
        )

    @property
    def loads(self) -> int:
        return self.server.count("assign")


def code_at(call: Form, client: UpgradeClient, site: str, target: str) -> str:
    assignment = call(client.get_decision_point_assignment, site, target)
    assert isinstance(assignment, Assignment)
    return assignment.get_condition()


def scripted(*codes: object, factors: object = None, **fields: Any) -> SteeredServer:
    """A server whose one point has a queue of these codes, or of these raw conditions."""
    server = SteeredServer()
    conditions = [
        {"id": f"id-{code}", "conditionCode": code, "experimentId": "e"}
        if isinstance(code, str)
        else code
        for code in codes
    ]
    point = {"site": "s", "target": "t", "assignedCondition": conditions, "assignedFactor": factors}
    server.answer("assign", [{**point, **fields}])
    server.answer("mark", {"id": "i", "userId": "user", "site": "s"})
    return server
