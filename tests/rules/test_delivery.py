"""What becomes of an event whose sending failed, as a table."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from upgrade_client_lib._rules import delivery
from upgrade_client_lib._rules.delivery import Failure, Verdict

QUIET = delivery.QUIET_SECONDS

UPGRADE = {"from_upgrade": True, "may_have_been_applied": False}
PROXY = {"from_upgrade": False, "may_have_been_applied": False}
UNKNOWN = {"from_upgrade": False, "may_have_been_applied": True}
FAILED = {"from_upgrade": True, "may_have_been_applied": True}


def judged(
    failure: dict[str, Any], status: int | None, attempts: int = 1, kind: str = "mark", **more: Any
) -> Verdict:
    kinds: dict[str, dict[str, bool]] = {
        "mark": {"is_repeatable": True, "has_queue": False},
        "queue": {"is_repeatable": False, "has_queue": True},
        "reward": {"is_repeatable": False, "has_queue": False},
    }
    return delivery.verdict(Failure(status, **failure, **more), attempts=attempts, **kinds[kind])


REFUSED = Verdict("refused")
UNDECIDED = Verdict("undecided", may_have_been_applied=True)
PAUSE = Verdict("again", pauses=True)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 431])
def test_what_upgrade_refuses_is_refused(status: int) -> None:
    assert judged(UPGRADE, status) == REFUSED


@pytest.mark.parametrize("status", [413, 415, 431])
def test_some_refusals_hold_whoever_says_them(status: int) -> None:
    assert judged(PROXY, status) == REFUSED


@pytest.mark.parametrize(
    "error_type",
    ["Condition not found", "Mooclet synchronization error", "Error processing Mooclet reward"],
)
def test_a_500_about_the_condition_refuses(error_type: str) -> None:
    assert judged(FAILED, 500, error_type=error_type) == REFUSED


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (UPGRADE, 401),
        (PROXY, 401),
        (PROXY, 403),
        (PROXY, 404),
        (PROXY, 408),
        (UPGRADE, 429),
        (UNKNOWN, 302),
        ({**PROXY}, None),
    ],
)
def test_what_concerns_all_events_pauses_them(failure: dict[str, Any], status: int | None) -> None:
    for kind in ["mark", "queue", "reward"]:
        assert judged(failure, status, kind=kind) == PAUSE


@pytest.mark.parametrize("status", [None, 200, 429, 500, 502, 503, 504, 520])
def test_what_may_have_been_applied_is_repeated_only_where_that_is_safe(
    status: int | None,
) -> None:
    later = Verdict("later", pauses=True, delay=QUIET, may_have_been_applied=True)
    assert judged(UNKNOWN, status) == later
    for kind in ["queue", "reward"]:
        assert judged(UNKNOWN, status, kind=kind) == attrs.evolve(UNDECIDED, pauses=True)


def test_what_may_have_been_applied_is_not_repeated_for_ever() -> None:
    last = judged(UNKNOWN, None, delivery.MAX_ATTEMPTS)
    assert last == attrs.evolve(UNDECIDED, pauses=True)


@pytest.mark.parametrize("error_type", ["Query Failed", None])
def test_a_server_that_fails_is_tried_again_with_growing_delays(error_type: str | None) -> None:
    def failed(attempts: int, kind: str = "reward") -> Verdict:
        return judged(FAILED, 500, attempts, kind, error_type=error_type)

    delays = [failed(attempts).delay for attempts in range(1, delivery.MAX_ATTEMPTS)]
    assert delays == sorted(delays)
    assert len(delays) == 7
    assert {failed(attempts).fate for attempts in range(1, 8)} == {"later"}
    assert failed(8) == REFUSED
    assert failed(1, "queue") == UNDECIDED


def test_a_refusal_of_one_event_by_a_proxy_is_tried_again() -> None:
    assert judged(PROXY, 400) == Verdict("later", delay=delivery.LINE_DELAYS[0])
    assert judged(PROXY, 400, 8) == REFUSED


def test_an_unknown_user_is_initialised() -> None:
    assert judged(UPGRADE, 404, is_uninitialized=True) == Verdict("initialize")


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = [delivery.pause_after(failures) for failures in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.0
    assert pauses[-1] == pauses[-2] == delivery.PAUSES[-1]


@pytest.mark.parametrize(
    ("kind", "experiment_id", "has_queue", "expected"),
    [
        ("mark", "id", False, True),
        ("mark", "id", True, False),
        ("mark", None, False, False),
        ("log", None, False, True),
        ("reward", None, False, False),
    ],
)
def test_what_is_stored_once_however_often_it_is_sent(
    kind: delivery.Kind, experiment_id: str | None, has_queue: bool, expected: bool
) -> None:
    repeatable = delivery.is_repeatable(kind, experiment_id=experiment_id, has_queue=has_queue)
    assert repeatable is expected
