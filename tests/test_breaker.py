"""The circuit breaker: reads fail at once while the server is away, and one at a time tries it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs
import httpx
import pytest

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint, upgrade_with_user
from tests.support_clock import MARGIN, Clock, taking
from tests.support_faulty_server import FaultyServer, hangs_up, refusing_address
from tests.support_forms import Form, blocking, both_forms, in_event_loop
from tests.support_server import Background, SteeredServer
from upgrade_client_lib import (
    CircuitOpenError,
    NoConnectionError,
    RequestTimeoutError,
    Timeout,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason

READS = [operation for operation in HARMLESS if operation.endpoint in ("assign", "featureflag")]
WRITES = [
    *(operation for operation in HARMLESS if operation not in READS),
    *COUNTED,
]


@attrs.frozen
class Place:
    """A server that a test takes away, a connection to it, and the time."""

    local: LocalUpgrade
    server: SteeredServer
    connection: UpgradeConnection
    clock: Clock

    def client(self) -> UpgradeClient:
        return self.connection.client("user", "my-app")

    def read(self, call: Form = blocking) -> None:
        """Ask the server for something that nobody has asked for."""
        call(self.client().get_all_experiment_conditions)

    def fail(self, times: int, call: Form = blocking, how: Any = httpx.ConnectError) -> None:
        """Let reads fail, each of which is sent."""
        for _ in range(times):
            self.server.lose_next("assign", "before", how)
            with pytest.raises(UpgradeApiError) as caught:
                self.read(call)
            assert not isinstance(caught.value, CircuitOpenError)

    def is_open(self) -> bool:
        """Whether a read fails without being sent."""
        before = len(self.server.sent)
        decision = self.client().decide_sync("home", "banner")
        is_open = isinstance(decision.error, CircuitOpenError)
        assert is_open is (len(self.server.sent) == before)
        return is_open


def place_with(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Place:
    local = upgrade_with_user()
    server = SteeredServer(local.transport)
    options.setdefault("retries", 0)
    connection = UpgradeConnection("http://upgrade", transport=server, **options)
    clock = Clock.running(monkeypatch)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    return Place(local, server, connection, clock)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    return place_with(monkeypatch)


# ---- When it opens ----


@both_forms
def test_the_fifth_failure_in_a_row_opens_it(call: Form, place: Place) -> None:
    place.fail(4, call)
    place.fail(1, call)
    assert place.is_open()


@both_forms
def test_a_success_in_between_begins_the_row_anew(call: Form, place: Place) -> None:
    place.fail(4, call)
    place.read(call)
    place.fail(4, call)
    assert not place.is_open()


@both_forms
def test_failures_of_both_kinds_of_read_and_both_kinds_of_call_add_up(
    call: Form, place: Place
) -> None:
    place.local.down()
    for method in ("get_all_feature_flags", "get_all_experiment_conditions") * 2:
        with pytest.raises(NoConnectionError):
            call(getattr(place.client(), method))
    assert place.client().decide_sync("home", "banner").reason is DecisionReason.ERROR
    assert place.is_open()


@both_forms
def test_making_a_user_known_before_a_read_is_part_of_the_read(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a store, users whose groups were stated are made known before they are asked for."""
    place = place_with(monkeypatch, store=MemoryStore())
    place.local.down()

    def decided(number: int) -> Exception | None:
        client = place.connection.client(f"new-{number}", "my-app", group={"class": ["class-1"]})
        error: Exception | None = call(client.decide, "home", "banner").error
        return error

    assert {type(decided(number)) for number in range(5)} == {NoConnectionError}
    before = len(place.server.sent)
    assert isinstance(decided(5), CircuitOpenError)
    assert len(place.server.sent) == before
    place.local.up()
    place.clock.let_pass(2)
    assert decided(6) is None
    assert not place.connection.circuit_open


@pytest.mark.parametrize(
    "how", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError]
)
def test_no_connection_and_no_answer_count(place: Place, how: type[httpx.TransportError]) -> None:
    place.fail(5, how=how)
    assert place.is_open()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxys_word_that_the_server_is_away_counts(place: Place, status: int) -> None:
    place.server.answer("assign", "<html>", status=status)
    for _ in range(5):
        with pytest.raises(UpgradeApiError):
            place.read()
    assert place.is_open()


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 501, 520, 200, 302])
def test_any_other_answer_begins_the_row_anew(place: Place, status: int) -> None:
    for _ in range(3):
        place.fail(4)
        place.server.answer("assign", "something", status=status)
        with pytest.raises(UpgradeApiError):
            place.read()
        place.server.forget_answers()
    assert not place.is_open()


def test_waiting_in_vain_for_a_free_connection_does_not_count(place: Place) -> None:
    place.fail(10, how=httpx.PoolTimeout)
    assert not place.is_open()
    place.fail(4)
    place.fail(5, how=httpx.PoolTimeout)
    place.fail(1)
    assert place.is_open()


@both_forms
@pytest.mark.parametrize(
    "short", [1.0, Timeout(read=0.5), Timeout(connect=0.5), Timeout(total=5.0, write=0.5)]
)
def test_a_call_with_less_than_the_connections_time_does_not_count(
    call: Form, place: Place, short: Any
) -> None:
    for _ in range(10):
        place.server.lose_next("assign", "before")
        view = place.client().with_options(timeout=short)
        with pytest.raises(RequestTimeoutError):
            call(view.get_all_experiment_conditions)
    assert not place.is_open()


def test_a_call_with_more_time_counts(place: Place) -> None:
    for _ in range(5):
        place.server.lose_next("assign", "before")
        decision = place.client().with_options(timeout=60.0).decide_sync("home", "banner")
        assert decision.reason is DecisionReason.ERROR
    assert place.is_open()


def test_retries_are_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", min)
    place = place_with(monkeypatch, retries=3)
    place.local.down()
    for _ in range(4):
        with pytest.raises(NoConnectionError):
            place.read()
    assert place.server.count("assign") == 16
    assert not place.is_open()
    assert place.is_open()


@both_forms
def test_it_is_one_for_all_users_of_a_connection(call: Form, place: Place) -> None:
    place.fail(5)
    other = place.connection.client("other", "my-app", group={})
    assert isinstance(call(other.decide, "home", "banner").error, CircuitOpenError)
    assert isinstance(call(other.decide_flag, "new-dashboard").error, CircuitOpenError)


@pytest.mark.usefixtures("first_calls_made")
@both_forms
def test_it_opens_with_httpx_clients_of_the_users_own(call: Form) -> None:
    own: dict[str, Any] = {"http_client": httpx.Client(), "async_http_client": None}
    if call is in_event_loop:  # one client for all loops will not do
        own = {}
    with (
        refusing_address() as url,
        UpgradeConnection(url, retries=0, **own) as connection,
    ):
        errors = [
            call(connection.client("user", "my-app").decide, "home", "banner").error
            for _ in range(6)
        ]
    assert [type(error) for error in errors] == [NoConnectionError] * 5 + [CircuitOpenError]


# ---- While it is open ----


@both_forms
@pytest.mark.parametrize("operation", by_endpoint(READS))
def test_reads_fail_at_once_and_say_so(call: Form, place: Place, operation: Operation) -> None:
    place.fail(5)
    sent = len(place.server.sent)
    with pytest.raises(CircuitOpenError) as caught:
        operation.call(call, place.client())

    error = caught.value
    assert isinstance(error, NoConnectionError)
    assert error.attempts == 0
    assert error.may_have_been_applied is False
    assert error.status_code is None
    assert error.message.startswith("http://upgrade did not answer lately: no reads are sent to it")
    assert error.message.endswith("for 1.0 s")
    assert len(place.server.sent) == sent


@both_forms
@pytest.mark.parametrize("operation", by_endpoint(WRITES))
def test_whatever_changes_something_is_sent(call: Form, place: Place, operation: Operation) -> None:
    place.fail(5)
    operation.call(call, place.client())
    assert place.server.count(operation.endpoint) == 1
    assert place.is_open()


@both_forms
def test_a_mark_without_known_ids_is_sent_without_them(call: Form, place: Place) -> None:
    place.fail(5)
    reads = place.server.count("assign")
    call(place.client().mark_decision_point, "home", "banner", "first", "condition applied")

    assert place.server.count("assign") == reads
    [sent] = place.server.bodies("mark")
    assert sent["data"]["assignedCondition"] == {"conditionCode": "first"}


@both_forms
def test_what_is_known_is_still_decided(call: Form, place: Place) -> None:
    client = place.client()
    call(client.get_all_experiment_conditions)
    place.fail(5)
    for _ in range(3):
        decision = call(client.decide, "home", "banner")
        assert decision.reason is DecisionReason.ASSIGNED
        assert call(decision.mark) is not None


def test_reads_that_began_before_do_not_make_the_pause_longer(place: Place) -> None:
    with Background(blocking, threads=8) as background:
        holds = [place.server.hold_next("assign", error=httpx.ConnectError) for _ in range(8)]
        asking = [background.begin(place.client().decide, "home", "banner") for _ in range(8)]
        for hold in holds:
            hold.wait()
        for hold in holds:
            hold.release()
        assert all(one.result().reason is DecisionReason.ERROR for one in asking)
    assert place.is_open()
    place.clock.let_pass(1.0)
    assert not place.is_open()


def test_a_read_that_began_before_and_succeeds_closes_it(place: Place) -> None:
    hold = place.server.hold_next("featureflag")
    with Background(blocking) as background:
        asking = background.begin(place.client().get_all_feature_flags)
        hold.wait()
        place.fail(5)
        hold.release()
        assert asking.result()
    assert not place.is_open()


@pytest.mark.usefixtures("first_calls_made")
@both_forms
def test_it_may_be_turned_off(call: Form) -> None:
    with (
        FaultyServer(assign=hangs_up) as server,
        UpgradeConnection(server.url, retries=0, breaker=False) as connection,
    ):
        for _ in range(8):
            error = call(connection.client("user", "my-app").decide, "home", "banner").error
            assert type(error) is NoConnectionError
        assert server.count("assign") == 8


@pytest.mark.parametrize("wrong", [None, 1, "no"])
def test_breaker_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(TypeError, match="breaker must be True or False"):
        UpgradeConnection("http://upgrade", breaker=wrong)


# ---- How it closes ----


@both_forms
def test_after_the_pause_a_read_that_succeeds_closes_it(call: Form, place: Place) -> None:
    place.fail(5)
    place.clock.let_pass(0.5)
    assert place.is_open()
    place.clock.let_pass(0.5)
    place.read(call)
    place.fail(4)
    assert not place.is_open(), "the row began anew"


@both_forms
@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_servers_closes_it(call: Form, place: Place, status: int) -> None:
    place.fail(5)
    place.clock.let_pass(1.0)
    place.server.answer("assign", {"message": "no"}, status=status)
    with pytest.raises(UpgradeApiError):
        place.read(call)
    place.server.forget_answers()
    assert not place.is_open()


@both_forms
def test_each_failed_probe_opens_it_for_twice_as_long_half_a_minute_at_most(
    call: Form, place: Place
) -> None:
    place.fail(5)
    for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        place.clock.let_pass(pause - 0.5)
        assert place.is_open()
        place.clock.let_pass(0.5)
        place.fail(1, call)
        assert place.is_open()
    place.clock.let_pass(30.0)
    place.read(call)
    place.fail(5)
    place.clock.let_pass(1.0)
    place.read(call)


def test_pauses_are_shorter_by_chance(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    place.fail(5)
    place.clock.let_pass(0.7)
    assert place.is_open()
    place.clock.let_pass(0.2)
    assert not place.is_open()


@both_forms
def test_a_probe_with_less_time_opens_it_for_as_long_as_before(call: Form, place: Place) -> None:
    place.fail(5)
    for _ in range(3):
        place.clock.let_pass(1.0)
        place.server.lose_next("assign", "before")
        decision = call(place.client().with_options(timeout=1.0).decide, "home", "banner")
        assert isinstance(decision.error, RequestTimeoutError)
        assert place.is_open()


def test_a_probe_that_finds_no_free_connection_lets_another_probe(place: Place) -> None:
    place.fail(5)
    place.clock.let_pass(1.0)
    place.fail(1, how=httpx.PoolTimeout)
    assert not place.is_open()


@pytest.mark.parametrize("prober", [blocking, in_event_loop])
def test_one_read_probes_and_all_others_fail_at_once(prober: Form, place: Place) -> None:
    place.fail(5)
    place.clock.let_pass(1.0)
    hold = place.server.hold_next("assign")
    with Background(prober) as background:
        probing = background.begin(place.client().decide, "home", "banner")
        hold.wait()
        before = len(place.server.sent)
        with taking(0.0, MARGIN):
            for call in (blocking, in_event_loop):
                error = call(place.client().decide, "home", "banner").error
                assert isinstance(error, CircuitOpenError)
                assert error.message.endswith("until one that is under way has an answer")
                with pytest.raises(CircuitOpenError):
                    call(place.client().get_all_feature_flags)
        assert len(place.server.sent) == before
        hold.release()
        assert probing.result().reason is DecisionReason.ASSIGNED
    assert not place.is_open()


def test_whoever_asks_for_what_the_probe_asks_for_gets_its_answer(place: Place) -> None:
    place.fail(5)
    place.clock.let_pass(1.0)
    client = place.client()
    hold = place.server.hold_next("assign")
    with Background(blocking) as background:
        probing = background.begin(client.decide, "home", "banner")
        hold.wait()
        waiting = background.begin(client.get_all_experiment_conditions)
        hold.release()
        assert probing.result().reason is DecisionReason.ASSIGNED
        assert waiting.result()
    assert place.server.count("assign") == 6


def test_a_probe_that_takes_too_long_makes_room_for_another(place: Place) -> None:
    place.fail(5)
    place.clock.let_pass(1.0)
    hold = place.server.hold_next("assign", error=httpx.ReadTimeout)
    with Background(blocking) as background:
        probing = background.begin(place.client().decide, "home", "banner")
        hold.wait()
        assert place.is_open()
        place.clock.let_pass(6.0)
        later = place.server.hold_next("assign")
        second = background.begin(place.client().decide, "home", "banner")
        later.wait()
        hold.release()
        assert probing.result().reason is DecisionReason.ERROR
        assert place.is_open(), "the second one still probes"
        later.release()
        assert second.result().reason is DecisionReason.ASSIGNED
    assert not place.is_open()


def test_a_cancelled_probe_lets_another_probe(place: Place) -> None:
    async def scenario() -> None:
        hold = place.server.hold_next("assign")
        probing = asyncio.ensure_future(place.client().decide("home", "banner"))
        await hold.wait_async()
        probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing

    place.fail(5)
    place.clock.let_pass(1.0)
    asyncio.run(scenario())
    assert not place.is_open()


def test_an_interrupted_probe_lets_another_probe(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(request: object) -> None:
        raise KeyboardInterrupt

    place.fail(5)
    place.clock.let_pass(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(place.server, "handle_request", interrupt)
        with pytest.raises(KeyboardInterrupt):
            place.client().decide_sync("home", "banner")
    assert not place.is_open()


def test_a_read_that_is_cancelled_while_it_is_closed_changes_nothing(place: Place) -> None:
    async def scenario() -> None:
        hold = place.server.hold_next("assign")
        reading = asyncio.ensure_future(place.client().decide("home", "banner"))
        await hold.wait_async()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    place.fail(4)
    asyncio.run(scenario())
    place.fail(1)
    assert place.is_open()


@pytest.mark.parametrize("took", [5.0, 100.0])
def test_a_server_that_comes_back_is_found_after_the_pause(place: Place, took: float) -> None:
    place.local.down()
    for _ in range(5):
        assert place.client().decide_sync("home", "banner").reason is DecisionReason.ERROR
    place.clock.let_pass(took)
    place.local.up()
    assert place.client().decide_sync("home", "banner").reason is DecisionReason.ASSIGNED


def test_a_circuit_error_is_none_while_a_probe_may_be_sent(place: Place) -> None:
    """A decision asks first whether a read would fail, and then is the read that probes."""
    place.fail(5)
    place.clock.let_pass(1.0)
    for call in (blocking, in_event_loop):
        assert call(place.client().decide, "home", "banner").reason is DecisionReason.ASSIGNED
