"""What flows know and want of the recorded experiments."""

from __future__ import annotations

import attrs

from tests.support_replay import Session
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient
from upgrade_client_lib.types import MarkedDecisionPoint

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS

ORDERS = ["ordered-round-robin", "random", "random-round-robin"]
POINTS_OF_MY_APP = {
    ("adapt", "hint"),
    ("adapt2", ""),
    ("excl", "x"),
    ("fact", "page"),
    ("factw", "page"),
    ("home", "banner"),
    ("payloads", "p1"),
    ("payloads", "p2"),
    ("shared", "dp"),
    ("siteonly", ""),
    ("sité", "цель"),
    *((site, order) for site in ["within", "within2"] for order in ORDERS),
}


async def assigned(
    session: Session, client: UpgradeClient, site: str, target: str | None = ""
) -> Assignment:
    """Ask for a point that must assign something."""
    assignment = await session.call(client.get_decision_point_assignment, site, target)
    assert assignment is not None
    assert (assignment.site, assignment.target) == (site, target or "")
    return assignment


async def flags_of(session: Session, client: UpgradeClient) -> set[str]:
    return {flag.key for flag in await session.call(client.get_all_feature_flags)}


def points(assignments: list[Assignment]) -> set[tuple[str, str]]:
    assert len(assignments) == len({(one.site, one.target) for one in assignments})
    return {(assignment.site, assignment.target) for assignment in assignments}


def assert_marked(marked: MarkedDecisionPoint, assignment: Assignment, user_id: str) -> None:
    """The server stored what was assigned."""
    assert marked.id
    assert attrs.evolve(marked, id="") == MarkedDecisionPoint(
        "",
        user_id,
        assignment.site,
        assignment.target,
        assignment.experiment_id,
        assignment.get_condition(),
    )


def assert_says(error: UpgradeApiError, status: int, kind: str, message: str) -> None:
    """The error has the server's own status, type and words, and can be found in its log."""
    assert (error.status_code, error.error_type) == (status, kind)
    assert message in error.message
    assert error.request_id
    assert error.attempts == 1
