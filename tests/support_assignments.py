"""Assign answers made up item by item."""

from __future__ import annotations

from typing import Any

from tests.support_forms import Form
from tests.support_server import SteeredServer, client_of
from upgrade_client_lib import Assignment, UpgradeClient


def condition(code: str | None = "control", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"id-of-{code}",
        "conditionCode": code,
        "payload": None,
        "experimentId": "experiment",
        **fields,
    }


def item(site: str = "home", target: str | None = "banner", **fields: Any) -> dict[str, Any]:
    return {
        "site": site,
        "target": target,
        "experimentType": "Simple",
        "assignedCondition": [condition()],
        **fields,
    }


def without(key: str, whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != key}


def answering(*items: object) -> UpgradeClient:
    server = SteeredServer()
    server.answer("assign", list(items))
    return client_of(server)


def assigned_at(call: Form, client: UpgradeClient, site: str, target: str | None) -> Assignment:
    assignment = call(client.get_decision_point_assignment, site, target)
    assert isinstance(assignment, Assignment)
    return assignment
