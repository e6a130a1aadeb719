"""Slow, silent and dropped calls, in process and on a socket, for sync and async clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any, Literal

import httpx
import pytest

from tests.testing.support_local import CONDITIONS
from upgrade_client_lib import UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.exceptions import NoConnectionError, RequestTimeoutError
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.testing._http.disruptions import Delivery, Disruptions

LATE = 0.25
"""Seconds by which a slow response is late."""

DONE: Literal["condition applied"] = "condition applied"


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    return local


@pytest.fixture(params=["in process", "on a socket"])
def connection(request: pytest.FixtureRequest, local: LocalUpgrade) -> Iterator[UpgradeConnection]:
    with ExitStack() as stack:
        if request.param == "in process":
            made = UpgradeConnection("http://upgrade.local", transport=local.transport, retries=0)
        else:
            made = UpgradeConnection(stack.enter_context(local.serve()), retries=0)
        yield stack.enter_context(made)


@pytest.fixture
def client(connection: UpgradeConnection) -> UpgradeClient:
    client = connection.client("u1", "my-app")
    client.init_sync()
    client.get_decision_point_assignment_sync(
        "home", "banner"
    )  # a mark asks first where it was not
    return client


def failure(client: UpgradeClient, in_loop: bool, **options: Any) -> UpgradeApiError:
    """The error of a mark."""
    with pytest.raises(UpgradeApiError) as caught:
        _mark(client.with_options(**options), in_loop)
    return caught.value


def _mark(client: UpgradeClient, in_loop: bool) -> None:
    if in_loop:
        asyncio.run(client.mark_decision_point("home", "banner", "control", DONE))
    else:
        client.mark_decision_point_sync("home", "banner", "control", DONE)


def test_a_slow_response_comes_late_and_then_in_time_again(
    local: LocalUpgrade, client: UpgradeClient
) -> None:
    local.slow(LATE, endpoint="init", times=1)
    for slow in (True, False):
        started = time.monotonic()
        client.init_sync()
        assert (time.monotonic() - started >= LATE) is slow


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_client_that_does_not_wait_cannot_know_that_a_slow_call_was_applied(
    local: LocalUpgrade, client: UpgradeClient, in_loop: bool
) -> None:
    local.slow(60)
    error = failure(client, in_loop, timeout=LATE)
    assert isinstance(error, RequestTimeoutError)
    assert error.may_have_been_applied
    assert len(local.marks) == 1


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_call_that_hangs_is_not_applied(
    local: LocalUpgrade, client: UpgradeClient, in_loop: bool
) -> None:
    local.hang(endpoint="mark")
    assert failure(client, in_loop, timeout=LATE).may_have_been_applied
    assert local.marks == ()
    assert [request.endpoint for request in local.requests] == ["init", "assign"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("in_loop", [False, True])
def test_a_dropped_call_was_applied_or_not_and_the_client_cannot_know(
    local: LocalUpgrade, client: UpgradeClient, in_loop: bool, applied: bool
) -> None:
    local.drop(applied=applied, times=2)
    for _ in range(2):
        assert failure(client, in_loop).may_have_been_applied
    assert len(local.marks) == 2 * applied
    client.mark_decision_point_sync("home", "banner", "control", DONE)
    assert len(local.marks) == 2 * applied + 1


def test_only_calls_of_the_user_and_endpoint_are_disrupted(
    local: LocalUpgrade, connection: UpgradeConnection, client: UpgradeClient
) -> None:
    local.drop(user="u2", endpoint="featureflag")
    other = connection.client("u2", "my-app")
    other.init_sync()
    with pytest.raises(NoConnectionError):
        other.get_all_feature_flags_sync()
    assert client.get_all_feature_flags_sync() == []
    local.up()
    assert other.get_all_feature_flags_sync() == []


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Set when a disrupted call has reached the server."""
    event, choose = Event(), Disruptions.next

    def observed(*arguments: Any) -> Delivery:
        delivery = choose(*arguments)
        event.set()
        return delivery

    monkeypatch.setattr(Disruptions, "next", observed)
    return event


@pytest.mark.parametrize("end", ["up", "down", "reset"])
def test_a_call_that_hangs_fails_when_that_is_over(
    local: LocalUpgrade, client: UpgradeClient, arrived: Event, end: str
) -> None:
    local.hang()
    errors: list[UpgradeApiError] = []
    caller = Thread(target=lambda: errors.append(failure(client, False, timeout=60)))
    caller.start()
    arrived.wait()
    getattr(local, end)()
    caller.join()
    assert errors[0].may_have_been_applied


@pytest.mark.parametrize("end", ["up", "down"])
def test_a_slow_response_is_sent_at_once_when_that_is_over_unless_the_server_is_down(
    local: LocalUpgrade, client: UpgradeClient, arrived: Event, end: str
) -> None:
    local.slow(60)
    flags: list[Any] = []

    def call() -> None:
        try:
            flags.append(client.get_all_feature_flags_sync())
        except NoConnectionError as error:
            flags.append(error)

    caller = Thread(target=call)
    caller.start()
    arrived.wait()
    getattr(local, end)()
    caller.join()
    assert (flags == [[]]) is (end == "up")


def test_a_transport_without_a_timeout_waits_until_that_is_over(
    local: LocalUpgrade, arrived: Event
) -> None:
    local.hang()
    outcomes: list[Exception] = []

    def call() -> None:
        with httpx.Client(transport=local.transport, timeout=None) as http:
            try:
                http.get("http://upgrade.local/api/version")
            except httpx.RemoteProtocolError as error:
                outcomes.append(error)

    caller = Thread(target=call)
    caller.start()
    arrived.wait()
    local.up()
    caller.join()
    assert str(outcomes[0]) == "Server disconnected without sending a response."


def test_the_end_of_serving_ends_calls_that_hang(local: LocalUpgrade, arrived: Event) -> None:
    local.hang()
    with local.serve() as url:
        connection = UpgradeConnection(url, retries=0)
        client = connection.client("u1", "my-app")
        caller = Thread(target=lambda: failure(client, False, timeout=60))
        caller.start()
        arrived.wait()
    caller.join()
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": -1}, "seconds must not be negative: -1"),
        ({"seconds": float("nan")}, "seconds must not be negative: nan"),
        ({"seconds": 1, "times": 0}, "times must be at least 1, not 0"),
        ({"seconds": 1, "endpoint": "marks"}, "endpoint 'marks' is not one of init, "),
    ],
)
def test_a_disruption_that_cannot_be_is_a_value_error(
    local: LocalUpgrade, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        local.slow(**arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": "x"}, "seconds must be a number, not 'x'"),
        ({"seconds": True}, "seconds must be a number, not True"),
        ({"seconds": 1, "times": 1.5}, "times must be a whole number, not 1.5"),
        ({"seconds": 1, "user": 5}, "user must be a string, not 5"),
    ],
)
def test_a_disruption_of_another_type_is_a_type_error_at_once(
    local: LocalUpgrade, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TypeError, match=complaint):
        local.slow(**arguments)
