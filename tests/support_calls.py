"""The nine operations as calls, and an UpGrade server on which each of them succeeds."""

from __future__ import annotations

from typing import Any, Callable

import attrs
import pytest

from tests.support_forms import Form
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionPoint

APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
SUCCESS = UpgradeClient.BINARY_REWARD_VALUE.SUCCESS


def upgrade_with_user() -> LocalUpgrade:
    """A server that knows "user" in "my-app", who may mark at the banner and reward the hint."""
    upgrade = LocalUpgrade()
    upgrade.experiment(
        "home",
        "banner",
        conditions=["first", "second", "third"],
        unit="within-subjects",
        order="ordered round robin",
    )
    upgrade.experiment("home", "hint", conditions=["short", "long"], adaptive=True)
    upgrade.flag("new-dashboard")
    with UpgradeClient("user", "http://upgrade", "my-app", transport=upgrade.transport) as client:
        client.init_sync()
        assignment = client.get_decision_point_assignment_sync("home", "hint")
        assert assignment is not None
        assignment.mark_decision_point_sync(APPLIED)
    return upgrade


def marks_at_banner(upgrade: LocalUpgrade) -> int:
    """How many marks at the banner counted."""
    return sum((mark.site, mark.target) == ("home", "banner") for mark in upgrade.marks)


@attrs.frozen
class Operation:
    """One operation of the API, as a user calls it."""

    endpoint: str
    call: Callable[[Form, UpgradeClient], Any]


def _init(call: Form, client: UpgradeClient) -> Any:
    return call(client.init)


def _set_group_membership(call: Form, client: UpgradeClient) -> Any:
    return call(client.set_group_membership, {"class": ["class-1"]})


def _set_working_group(call: Form, client: UpgradeClient) -> Any:
    return call(client.set_working_group, {"class": "class-1"})


def _set_alt_user_ids(call: Form, client: UpgradeClient) -> Any:
    return call(client.set_alt_user_ids, ["alias"])


def _assign(call: Form, client: UpgradeClient) -> Any:
    return call(client.get_all_experiment_conditions)


def _feature_flags(call: Form, client: UpgradeClient) -> Any:
    return call(client.get_all_feature_flags)


def _log(call: Form, client: UpgradeClient) -> Any:
    metrics = {"attributes": {"totalTimeSeconds": 95}}
    return call(client.log, [{"timestamp": "2025-01-01T00:00:00Z", "metrics": metrics}])


def _mark(call: Form, client: UpgradeClient) -> Any:
    return call(client.mark_decision_point, "home", "banner", "first", APPLIED)


def _reward(call: Form, client: UpgradeClient) -> Any:
    return call(client.send_reward, SUCCESS, decision_point=DecisionPoint("home", "hint"))


INIT = Operation("init", _init)
MARK = Operation("mark", _mark)
REWARD = Operation("reward", _reward)

HARMLESS = [
    INIT,
    Operation("groupmembership", _set_group_membership),
    Operation("workinggroup", _set_working_group),
    Operation("useraliases", _set_alt_user_ids),
    Operation("assign", _assign),
    Operation("featureflag", _feature_flags),
    Operation("log", _log),
]
"""What may be sent twice."""

COUNTED = [MARK, REWARD]
"""What counts each time that it arrives."""


def by_endpoint(operations: list[Operation]) -> list[Any]:
    """Parameters of a test, named after their endpoints."""
    return [pytest.param(operation, id=operation.endpoint) for operation in operations]
