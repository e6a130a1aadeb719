"""Whether a response is still good, as a table."""

from __future__ import annotations

import pytest

from upgrade_client_lib._rules.freshness import is_fresh, is_outdated_by, is_servable
from upgrade_client_lib._rules.queues import Mark, PointState

ASSIGNED = PointState("e1", has_queue=False, conditions=frozenset({"a"}))
QUEUE = PointState("e1", has_queue=True)


@pytest.mark.parametrize(
    ("condition", "state", "outdated"),
    [
        ("a", QUEUE, True),
        (None, QUEUE, True),
        ("a", ASSIGNED, False),
        ("b", ASSIGNED, True),
        (None, ASSIGNED, False),
    ],
)
def test_a_mark_that_overlapped_a_request_outdates_what_it_may_have_changed(
    condition: str | None, state: PointState, outdated: bool
) -> None:
    assert is_outdated_by(Mark(("home", "banner"), "e1", condition), state) is outdated


@pytest.mark.parametrize(
    ("answered_at", "fresh"),
    [
        (1000.0, True),
        (700.1, True),
        (700.0, False),
        (0.0, False),
        (1000.1, False),  # the clock was set back
    ],
)
def test_an_answer_is_fresh_for_as_long_as_it_may_be_old(answered_at: float, fresh: bool) -> None:
    assert is_fresh(answered_at, 1000.0, 300.0) is fresh


@pytest.mark.parametrize(
    ("answered_at", "servable"),
    [
        (1000.0, True),
        (100.1, True),
        (100.0, False),
        (0.0, False),
        (1000.1, False),  # the clock was set back
    ],
)
def test_an_answer_that_is_too_old_may_be_served_in_need(
    answered_at: float, servable: bool
) -> None:
    assert is_servable(answered_at, 1000.0, 300.0, 600.0) is servable
