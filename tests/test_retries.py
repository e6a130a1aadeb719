"""When a request is sent again, how long is waited before that, and what the error then tells."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import attrs
import pytest

from tests.support_calls import (
    COUNTED,
    HARMLESS,
    INIT,
    MARK,
    Operation,
    by_endpoint,
    marks_at_banner,
    upgrade_with_user,
)
from tests.support_faces import FACES, Face, blocking
from tests.support_faulty_server import (
    Fault,
    FaultyServer,
    answers,
    ends_in_body,
    hangs_up,
    never_answers,
    refusing_address,
    resets_before_answer,
    resets_in_body,
)
from upgrade_client_lib import (
    BadRequestError,
    NoConnectionError,
    ServerError,
    Timeout,
    TooManyRequestsError,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

each_face = pytest.mark.parametrize("call", FACES)
SOON = {"Retry-After": "0"}


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

    async def sleep(face: object, seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr("upgrade_client_lib._exchange.time", clock)
    monkeypatch.setattr("upgrade_client_lib._options.time", clock)
    monkeypatch.setattr("upgrade_client_lib._faces._Blocking.sleep", sleep)
    monkeypatch.setattr("upgrade_client_lib._faces._InEventLoop.sleep", sleep)
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


def client_of(upgrade: LocalUpgrade, **options: Any) -> UpgradeClient:
    connection = UpgradeConnection("http://upgrade", transport=upgrade.transport, **options)
    return connection.client("user", "my-app")


# ---- What is sent again ----


@each_face
@pytest.mark.parametrize("operation", by_endpoint(HARMLESS))
@pytest.mark.parametrize("headers", [{}, SOON], ids=["plain", "Retry-After"])
@pytest.mark.usefixtures("clock")
def test_a_harmless_request_is_sent_again_after_these_statuses(
    call: Face, operation: Operation, headers: dict[str, str]
) -> None:
    upgrade = upgrade_with_user()
    for status in (429, 502, 503, 504):
        upgrade.fail_next(operation.endpoint, status=status, headers=headers)

    operation.call(call, client_of(upgrade, retries=4))

    statuses = [one.status for one in upgrade.requests if one.endpoint == operation.endpoint]
    assert statuses[-5:] == [429, 502, 503, 504, 200]


@each_face
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_no_request_is_sent_again_after_other_statuses(call: Face, operation: Operation) -> None:
    upgrade = upgrade_with_user()
    for status in (400, 401, 403, 404, 408, 409, 413, 431, 500, 501, 520):
        upgrade.fail_next(operation.endpoint, status=status, headers=SOON)
        with pytest.raises(UpgradeApiError) as caught:
            operation.call(call, client_of(upgrade, retries=2))
        assert caught.value.status_code == status
        assert caught.value.attempts == 1


@each_face
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {}), (429, SOON), (503, SOON)],
    ids=["429", "429 soon", "503 soon"],
)
@pytest.mark.usefixtures("clock")
def test_a_counted_request_is_sent_again_when_it_was_turned_away(
    call: Face, operation: Operation, status: int, headers: dict[str, str]
) -> None:
    upgrade = upgrade_with_user()
    before = len(upgrade.marks) + len(upgrade.rewards)
    upgrade.fail_next(operation.endpoint, status=status, headers=headers, times=2)

    operation.call(call, client_of(upgrade, retries=2))

    assert len(upgrade.marks) + len(upgrade.rewards) == before + 1


@each_face
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize(
    ("status", "headers"),
    [(502, SOON), (503, {}), (503, {"Retry-After": "in a while"}), (504, SOON)],
    ids=["502", "503", "503 some time", "504"],
)
def test_a_counted_request_is_not_sent_again_when_it_may_have_counted(
    call: Face, operation: Operation, status: int, headers: dict[str, str]
) -> None:
    upgrade = upgrade_with_user()
    upgrade.fail_next(operation.endpoint, status=status, headers=headers)

    with pytest.raises(ServerError) as caught:
        operation.call(call, client_of(upgrade, retries=2))

    assert caught.value.attempts == 1
    assert caught.value.may_have_been_applied


BROKEN = {
    "hung up": hangs_up,
    "reset": resets_before_answer,
    "reset in the body": resets_in_body,
    "ended in the body": ends_in_body,
}


@each_face
@pytest.mark.parametrize("operation", by_endpoint(HARMLESS))
@pytest.mark.parametrize("name", BROKEN)
def test_a_harmless_request_is_sent_again_after_a_broken_connection(
    call: Face, operation: Operation, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", min)
    faults: Any = {operation.endpoint: [BROKEN[name]]}
    with (
        FaultyServer(upgrade_with_user(), **faults) as server,
        UpgradeConnection(server.url, retries=1) as connection,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert server.count(operation.endpoint) == 2


@each_face
def test_a_harmless_request_is_sent_again_after_silence(
    call: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", min)
    with (
        FaultyServer(init=[never_answers]) as server,
        UpgradeConnection(server.url, timeout=Timeout(read=0.2), retries=1) as connection,
    ):
        call(connection.client("user", "my-app").init)

    assert server.count("init") == 2


@each_face
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize("name", [*BROKEN, "silence"])
def test_a_counted_request_is_not_sent_again_after_a_broken_connection(
    call: Face, operation: Operation, name: str
) -> None:
    faults: Any = {operation.endpoint: BROKEN.get(name, never_answers)}
    with (
        FaultyServer(upgrade_with_user(), **faults) as server,
        UpgradeConnection(server.url, timeout=Timeout(read=0.2), retries=2) as connection,
        pytest.raises(UpgradeApiError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.attempts == server.count(operation.endpoint) == 1
    assert caught.value.may_have_been_applied


@each_face
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
@pytest.mark.usefixtures("clock")
def test_every_request_is_sent_again_when_no_connection_was_made(
    call: Face, operation: Operation
) -> None:
    with (
        refusing_address() as url,
        UpgradeConnection(url, retries=3) as connection,
        pytest.raises(NoConnectionError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.attempts == 4
    assert not caught.value.may_have_been_applied


@each_face
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
@pytest.mark.usefixtures("clock")
def test_no_retries_means_one_attempt(call: Face, operation: Operation) -> None:
    upgrade = upgrade_with_user()
    upgrade.fail_next(operation.endpoint, status=429, headers=SOON)

    with pytest.raises(TooManyRequestsError) as caught:
        operation.call(call, client_of(upgrade, retries=0))

    assert caught.value.attempts == 1


# ---- How long is waited ----


@each_face
def test_delays_are_drawn_below_limits_that_double_up_to_two_seconds(
    call: Face, clock: Clock, limits: list[tuple[float, float]]
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, times=7)

    call(client_of(upgrade, retries=7, timeout=100.0).init)

    assert limits == [(0.0, high) for high in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)]
    assert clock.slept == [high for _, high in limits]


@each_face
@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_in_seconds_how_long_to_wait(call: Face, clock: Clock, status: int) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=status, headers={"Retry-After": "3"})
    upgrade.fail_next("init", status=status, headers={"Retry-After": " 1 "})

    call(client_of(upgrade, timeout=5.0).init)

    assert clock.slept == [3.0, 1.0]


@each_face
def test_the_server_says_with_a_date_how_long_to_wait(call: Face, clock: Clock) -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=50)
    upgrade = LocalUpgrade()
    upgrade.fail_next(
        "init", status=503, headers={"Retry-After": format_datetime(moment, usegmt=True)}
    )

    call(client_of(upgrade, timeout=100.0).init)

    assert clock.slept == [pytest.approx(50, abs=5)]


@each_face
@pytest.mark.parametrize(
    "past", ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000", "0"]
)
def test_a_date_in_the_past_is_now(call: Face, clock: Clock, past: str) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers={"Retry-After": past})

    call(client_of(upgrade).init)

    assert clock.slept == [0.0]


@each_face
@pytest.mark.parametrize(
    "nonsense",
    ["", "soon", "-1", "1.5", "1e3", "Wed, 99 Oct 2015 07:28:00 GMT", "1 Jan 99999999999"],
)
def test_a_wait_that_cannot_be_read_is_none(
    call: Face, clock: Clock, limits: list[tuple[float, float]], nonsense: str
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers={"Retry-After": nonsense})

    call(client_of(upgrade).init)

    assert clock.slept == [0.1]


@each_face
@pytest.mark.parametrize("wait", ["6", "3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_the_total_is_not_begun(call: Face, clock: Clock, wait: str) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=429, headers={"Retry-After": wait})

    with pytest.raises(TooManyRequestsError) as caught:
        call(client_of(upgrade, timeout=6.0).init)

    assert clock.slept == []
    assert caught.value.attempts == 1


@each_face
@pytest.mark.usefixtures("limits")
def test_attempts_and_waits_together_end_with_the_total(call: Face, clock: Clock) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, times=1000)

    with pytest.raises(ServerError) as caught:
        call(client_of(upgrade, retries=999, timeout=6.0).init)

    assert 4.0 < sum(clock.slept) < 6.0
    assert caught.value.attempts == len(clock.slept) + 1


# ---- What the error tells ----


@each_face
@pytest.mark.usefixtures("clock")
def test_a_failure_after_retries_says_how_often_it_was_tried(call: Face) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=502, times=3)

    with pytest.raises(ServerError) as caught:
        call(client_of(upgrade, retries=2).init)

    assert caught.value.attempts == 3
    assert "tried 3 times" in str(caught.value)


@each_face
@pytest.mark.usefixtures("clock")
def test_the_last_failure_is_the_one_that_is_raised(call: Face) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503)
    upgrade.fail_next("init", status=400)

    with pytest.raises(BadRequestError) as caught:
        call(client_of(upgrade, retries=2).init)

    assert caught.value.attempts == 2


@each_face
@pytest.mark.usefixtures("clock")
def test_a_refused_mark_that_is_sent_again_turns_the_queue_once(call: Face) -> None:
    upgrade = upgrade_with_user()
    upgrade.fail_next("mark", status=503, headers=SOON, times=2)
    client = client_of(upgrade)

    MARK.call(call, client)

    assert marks_at_banner(upgrade) == 1
    assignment = call(client.get_decision_point_assignment, "home", "banner")
    assert assignment.get_condition() == "second"


@each_face
def test_every_attempt_carries_the_same_request(call: Face) -> None:
    refused: Fault = answers(503, headers=SOON)
    with (
        FaultyServer(init=[refused, refused]) as server,
        UpgradeConnection(server.url) as connection,
    ):
        call(connection.client("user", "my-app", client_session_id="session").init)

    first, *others = server.received
    assert len(others) == 2
    for other in others:
        assert (other.path, other.headers, other.body) == (first.path, first.headers, first.body)


def test_the_default_leaves_two_retries() -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers=SOON, times=3)

    with pytest.raises(ServerError) as caught:
        INIT.call(blocking, client_of(upgrade))

    assert caught.value.attempts == 3
