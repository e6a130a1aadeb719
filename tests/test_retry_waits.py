"""How long is waited before a request is sent again."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import attrs
import pytest

from tests.support_clients import connected_to
from tests.support_forms import Form, both_forms
from upgrade_client_lib import ServerError, TooManyRequestsError
from upgrade_client_lib.testing import LocalUpgrade


@attrs.define
class Clock:
    """A clock that only sleeping moves, and what was slept."""

    now: float = attrs.field(factory=time.monotonic)
    slept: list[float] = attrs.field(factory=list[float])

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time stands still but for the waits between attempts, which take none."""
    clock = Clock()

    async def sleep(form: object, seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr("upgrade_client_lib._http.call.time", clock)
    monkeypatch.setattr("upgrade_client_lib._http.options.time", clock)
    monkeypatch.setattr("upgrade_client_lib._sync._SyncBackend.sleep", sleep)
    monkeypatch.setattr("upgrade_client_lib._sync._AsyncBackend.sleep", sleep)
    return clock


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """What delays are drawn between; each is then as long as it may be."""
    drawn: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", longest)
    return drawn


@both_forms
def test_delays_are_drawn_below_limits_that_double_up_to_two_seconds(
    call: Form, clock: Clock, limits: list[tuple[float, float]]
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, times=7)

    call(connected_to(upgrade, retries=7, timeout=100.0).init)

    assert limits == [(0.0, high) for high in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)]
    assert clock.slept == [high for _, high in limits]


@both_forms
def test_a_thousand_retries_are_as_good_as_one(
    call: Form, clock: Clock, limits: list[tuple[float, float]]
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers={"Retry-After": "0"}, times=1_100)
    upgrade.fail_next("init", status=503)

    call(connected_to(upgrade, retries=1_101).init)

    assert limits == [(0.0, 2.0)]


@both_forms
@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_in_seconds_how_long_to_wait(call: Form, clock: Clock, status: int) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=status, headers={"Retry-After": "3"})
    upgrade.fail_next("init", status=status, headers={"Retry-After": " 1 "})

    call(connected_to(upgrade, timeout=5.0).init)

    assert clock.slept == [3.0, 1.0]


@both_forms
def test_the_server_says_with_a_date_how_long_to_wait(call: Form, clock: Clock) -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=50)
    upgrade = LocalUpgrade()
    upgrade.fail_next(
        "init", status=503, headers={"Retry-After": format_datetime(moment, usegmt=True)}
    )

    call(connected_to(upgrade, timeout=100.0).init)

    assert clock.slept == [pytest.approx(50, abs=5)]


@both_forms
@pytest.mark.parametrize(
    "past", ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000", "0"]
)
def test_a_date_in_the_past_is_now(call: Form, clock: Clock, past: str) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers={"Retry-After": past})

    call(connected_to(upgrade).init)

    assert clock.slept == [0.0]


@both_forms
@pytest.mark.parametrize(
    "nonsense",
    ["", "soon", "-1", "1.5", "1e3", "Wed, 99 Oct 2015 07:28:00 GMT", "1 Jan 99999999999"],
)
def test_a_wait_that_cannot_be_read_is_none(
    call: Form, clock: Clock, limits: list[tuple[float, float]], nonsense: str
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers={"Retry-After": nonsense})

    call(connected_to(upgrade).init)

    assert clock.slept == [0.1]


@both_forms
@pytest.mark.parametrize("wait", ["6", "3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_the_total_is_not_begun(call: Form, clock: Clock, wait: str) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=429, headers={"Retry-After": wait})

    with pytest.raises(TooManyRequestsError) as caught:
        call(connected_to(upgrade, timeout=6.0).init)

    assert clock.slept == []
    assert caught.value.attempts == 1


@both_forms
@pytest.mark.usefixtures("limits")
def test_attempts_and_waits_together_end_with_the_total(call: Form, clock: Clock) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, times=1000)

    with pytest.raises(ServerError) as caught:
        call(connected_to(upgrade, retries=999, timeout=6.0).init)

    assert 4.0 < sum(clock.slept) < 6.0
    assert caught.value.attempts == len(clock.slept) + 1
