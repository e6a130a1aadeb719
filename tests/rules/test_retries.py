"""When a request may be sent again, as a table."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from upgrade_client_lib._rules.retries import (
    Failure,
    longest_delay,
    may_be_sent_again,
    parse_retry_after,
    proves_not_applied,
)

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("failure", "if_idempotent", "otherwise"),
    [
        (Failure(None, may_have_been_applied=False), True, True),
        (Failure(None, may_have_been_applied=True), True, False),
        (Failure(None, may_have_been_applied=False, is_permanent=True), False, False),
        (Failure(None, may_have_been_applied=True, is_permanent=True), False, False),
        (Failure(429, may_have_been_applied=False), True, True),
        (Failure(503, may_have_been_applied=False), True, True),
        (Failure(503, may_have_been_applied=True), True, False),
        (Failure(502, may_have_been_applied=True), True, False),
        (Failure(504, may_have_been_applied=True), True, False),
        (Failure(500, may_have_been_applied=True), False, False),
        (Failure(400, may_have_been_applied=False), False, False),
        (Failure(404, may_have_been_applied=False), False, False),
        (Failure(302, may_have_been_applied=True), False, False),
    ],
)
def test_a_request_is_sent_again_where_that_is_safe_and_may_help(
    failure: Failure, if_idempotent: bool, otherwise: bool
) -> None:
    assert may_be_sent_again(failure, idempotent=True, may_overlap=True) is if_idempotent
    assert may_be_sent_again(failure, idempotent=False, may_overlap=True) is otherwise


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure(None, may_have_been_applied=True, timed_out=True), False),
        (Failure(None, may_have_been_applied=False, timed_out=True), True),
        (Failure(None, may_have_been_applied=True), True),
        (Failure(503, may_have_been_applied=True), True),
    ],
)
def test_what_must_not_overlap_is_not_sent_again_while_the_first_may_still_be_at_work(
    failure: Failure, again: bool
) -> None:
    assert may_be_sent_again(failure, idempotent=True, may_overlap=False) is again


@pytest.mark.parametrize(
    ("status", "if_by_upgrade", "otherwise"),
    [
        (400, True, True),
        (403, True, True),
        (404, True, True),
        (428, True, True),
        (429, True, False),
        (430, True, True),
        (499, True, True),
        (500, False, False),
        (502, False, False),
        (503, False, False),
        (504, False, False),
        (302, False, False),
        (399, False, False),
    ],
)
def test_some_statuses_prove_that_nothing_was_applied(
    status: int, if_by_upgrade: bool, otherwise: bool
) -> None:
    assert proves_not_applied(status, by_upgrade=True) is if_by_upgrade
    assert proves_not_applied(status, by_upgrade=False) is otherwise


def test_delays_double_up_to_two_seconds() -> None:
    assert [longest_delay(made) for made in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\N{SUPERSCRIPT TWO}", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Fri, 20 Nov 2026 08:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 08:00:30 -0000", 30.0),
        ("Fri, 20 Nov 2026 07:00:00 GMT", 0.0),
        ("Fri, 20 Nov 20261 08:00:30 GMT", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(
    text: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(text, NOW) == seconds
