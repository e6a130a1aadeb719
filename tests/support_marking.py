"""Marking through a client and through an assignment, which are the same."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from tests.support_forms import Form
from upgrade_client_lib import Assignment, UpgradeClient

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS
APPLIED = STATUS.CONDITION_APPLIED
NOT_APPLIED = STATUS.CONDITION_FAILED_TO_APPLY
NONE_ASSIGNED = STATUS.NO_CONDITION_ASSIGNED


def through_client(call: Form, client: UpgradeClient, site: str, target: str, *how: Any) -> Any:
    """Mark what a point assigns, through the client."""
    assignment = call(client.get_decision_point_assignment, site, target)
    return call(client.mark_decision_point, site, target, assignment.get_condition(), *how)


def through_assignment(call: Form, client: UpgradeClient, site: str, target: str, *how: Any) -> Any:
    """Mark what a point assigns, through the assignment."""
    assignment = call(client.get_decision_point_assignment, site, target)
    return call(assignment.mark_decision_point, *how)


Marking = Callable[..., Any]
both_ways = pytest.mark.parametrize("mark", [through_client, through_assignment])


def snapshot(call: Form, client: UpgradeClient, site: str, target: str) -> Assignment:
    assignment = call(client.get_decision_point_assignment, site, target)
    assert isinstance(assignment, Assignment)
    return assignment
