"""Decisions: what they say in each case, and that nothing the server does makes them raise."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import time
import traceback
import weakref
from typing import Any

import attrs
import pytest

from tests.support_assignments import answering, condition, item
from tests.support_clients import client_at
from tests.support_clock import MARGIN, Clock
from tests.support_faults import FAULTS, within
from tests.support_faulty_server import FaultyServer, refusing_address
from tests.support_forms import Form, blocking, both_forms
from tests.support_server import HOST, Background, Hold, SteeredServer
from upgrade_client_lib import (
    Decision,
    NoConnectionError,
    RequestTimeoutError,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
    UserNotInitializedError,
)
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason, DecisionSource

FACTORIAL = item(
    "fact",
    "page",
    experimentType="Factorial",
    assignedCondition=[condition("color=red", payload={"type": "string", "value": "hi"})],
    assignedFactor=[{"color": {"level": "red", "payload": {"type": "string", "value": "#f00"}}}],
)


def decided(call: Form, client: UpgradeClient, *where: Any, **options: Any) -> Decision:
    decision = call(client.decide, *where, **options)
    assert isinstance(decision, Decision)
    return decision


def unreachable() -> UpgradeClient:
    local = LocalUpgrade()
    local.down()
    return client_at(local).with_options(retries=0)


# ---- What a decision says ----


@both_forms
def test_an_assigned_condition_is_decided(call: Form, client: UpgradeClient) -> None:
    decision = decided(call, client, "home", "banner", default="nothing")

    assignment = client.get_decision_point_assignment_sync("home", "banner")
    assert assignment is not None
    assert decision.assignment is assignment
    assert decision.condition == assignment.get_condition()
    assert decision.reason is DecisionReason.ASSIGNED
    assert decision.source is DecisionSource.SERVER
    assert (decision.user_id, decision.context) == ("user", "my-app")
    assert (decision.site, decision.target) == ("home", "banner")
    assert decision.error is None
    assert decision


@both_forms
@pytest.mark.parametrize(("options", "shown"), [({}, ""), ({"default": "control"}, "control")])
def test_a_default_is_decided_where_nothing_is_assigned(
    call: Form, client: UpgradeClient, options: dict[str, str], shown: str
) -> None:
    decision = decided(call, client, "home", "footer", **options)

    assert decision.condition == shown
    assert decision.reason is DecisionReason.NOT_ASSIGNED
    assert decision.source is DecisionSource.SERVER
    assert decision.assignment is None
    assert decision.error is None
    assert not decision


@both_forms
def test_a_default_is_decided_when_the_server_fails(call: Form) -> None:
    decision = decided(call, unreachable(), "home", "banner", default="control")

    assert decision.condition == "control"
    assert decision.reason is DecisionReason.ERROR
    assert decision.source is None
    assert decision.age is None
    assert decision.assignment is None
    assert isinstance(decision.error, NoConnectionError)
    assert not decision


@both_forms
def test_a_user_whom_the_server_does_not_know_gets_the_default(call: Form) -> None:
    decision = decided(call, client_at(LocalUpgrade()), "home", "banner", default="control")

    assert (decision.condition, decision.reason) == ("control", DecisionReason.ERROR)
    assert isinstance(decision.error, UserNotInitializedError)


@both_forms
def test_a_decision_has_the_payload_and_the_factors_of_its_assignment(call: Form) -> None:
    decision = decided(call, answering(FACTORIAL), "fact", "page")

    assert decision.payload is not None
    assert decision.payload.value == "hi"
    assert decision.factors == ["color"]
    assert decision.get_factor_level("color") == "red"
    payload = decision.get_factor_payload("color")
    assert payload is not None
    assert payload.value == "#f00"


@both_forms
def test_a_default_has_neither_payload_nor_factors(call: Form, client: UpgradeClient) -> None:
    decision = decided(call, client, "home", "footer", default="control")

    assert decision.payload is None
    assert decision.factors == []
    assert decision.get_factor_level("color") == ""
    assert decision.get_factor_payload("color") is None


@both_forms
@pytest.mark.parametrize("target", ["", None])
def test_no_target_and_an_empty_one_are_the_same(call: Form, target: str | None) -> None:
    local = LocalUpgrade()
    local.experiment("home", conditions=["control"])
    client = client_at(local, group={})

    for _ in range(3):
        decision = decided(call, client, "home", target)
        assert (decision.condition, decision.target) == ("control", "")
        assert decided(call, client, "home").condition == "control"


# ---- Where an answer comes from, and how old it is ----


@both_forms
@pytest.mark.parametrize("target", ["banner", "footer"])
def test_later_decisions_come_from_the_cache(
    call: Form, client: UpgradeClient, server: SteeredServer, target: str
) -> None:
    first, *later = (decided(call, client, "home", target, default="x") for _ in range(3))

    assert first.source is DecisionSource.SERVER
    assert [decision.source for decision in later] == [DecisionSource.CACHE] * 2
    assert [decision.condition for decision in later] == [first.condition] * 2
    assert later[0] is later[1]
    assert server.count("assign") == 1


@both_forms
def test_a_warm_decision_has_the_default_of_its_call(call: Form, client: UpgradeClient) -> None:
    for default in ["a", "a", "a", "b", "b", "", "a"]:
        assert decided(call, client, "home", "footer", default=default).condition == default


@both_forms
def test_what_other_methods_learned_is_known_to_decisions(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    call(client.get_all_experiment_conditions)

    assert decided(call, client, "home", "banner").source is DecisionSource.CACHE
    assert server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("target", ["banner", "footer"])
def test_a_decision_grows_old(
    call: Form, client: UpgradeClient, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    clock = Clock.stopped(monkeypatch, "time")
    decision = decided(call, client, "home", target)
    assert decision.age == 0.0
    clock.let_pass(12.5)
    assert decision.age == pytest.approx(12.5)
    assert decided(call, client, "home", target).age == pytest.approx(12.5)
    assert pickle.loads(pickle.dumps(decision)).age == pytest.approx(12.5)
    clock.let_pass(-60.0)
    assert decision.age == 0.0, "the clock was set back"


@both_forms
def test_more_points_without_an_assignment_than_are_kept_can_be_decided(
    call: Form, client: UpgradeClient, server: SteeredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upgrade_client_lib._user.record.MAX_EMPTY_POINTS", 2)
    for _ in range(3):
        for number in range(4):
            decision = decided(call, client, "home", f"target-{number}", default="x")
            assert decision.reason is DecisionReason.NOT_ASSIGNED
    assert server.count("assign") == 1


# ---- What changes decisions ----


@both_forms
def test_after_a_mark_the_next_condition_of_a_queue_is_decided(
    call: Form, client: UpgradeClient
) -> None:
    seen: list[str] = []
    for _ in range(4):
        # From the server, made, and kept.
        *_, decision = (decided(call, client, "single", "queue") for _ in range(3))
        seen.append(decision.condition)
        call(decision.mark)

    assert sorted(seen[:3]) == ["first", "second", "third"]
    assert seen[3] == seen[0]


@both_forms
def test_a_mark_at_one_point_changes_what_is_decided_at_its_sister(call: Form) -> None:
    local = LocalUpgrade(server="6.7")
    local.experiment(
        "twin",
        "one",
        conditions=["first", "second", "third"],
        points=[("twin", "two")],
        unit="within-subjects",
        order="ordered round robin",
    )
    client = client_at(local, group={})
    before = [decided(call, client, "twin", "two") for _ in range(3)][-1]
    call(decided(call, client, "twin", "one").mark)
    after = decided(call, client, "twin", "two")

    assert after.source is DecisionSource.SERVER
    assert after.condition != before.condition


@both_forms
def test_init_and_asking_anew_make_new_decisions(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    for _ in range(3):
        decided(call, client, "home", "banner")
    call(client.init)
    assert decided(call, client, "home", "banner").source is DecisionSource.SERVER

    decided(call, client, "home", "banner")
    server.answer("assign", [])
    call(client.get_all_experiment_conditions, ignore_cache=True)
    decision = decided(call, client, "home", "banner")
    assert decision.source is DecisionSource.CACHE
    assert decision.reason is DecisionReason.NOT_ASSIGNED


@both_forms
def test_an_error_is_not_kept(call: Form, client: UpgradeClient, server: SteeredServer) -> None:
    server.lose_next("assign", "before")
    view = client.with_options(retries=0)
    assert decided(call, view, "home", "banner").reason is DecisionReason.ERROR
    assert decided(call, view, "home", "banner").reason is DecisionReason.ASSIGNED


@both_forms
def test_a_failure_to_ask_anew_leaves_decisions_as_they_were(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    decided(call, client, "home", "banner")
    server.answer("assign", {}, status=500)
    with pytest.raises(UpgradeApiError):
        call(client.get_all_experiment_conditions, ignore_cache=True)
    assert decided(call, client, "home", "banner").source is DecisionSource.CACHE


@both_forms
def test_a_view_decides_from_the_same_cache_with_its_own_time(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    decided(call, client, "home", "banner")
    view = client.with_options(timeout=0.5)
    for _ in range(3):
        assert decided(call, view, "home", "banner").source is DecisionSource.CACHE
    call(decided(call, view, "home", "banner").mark)
    assert server.sent[-1].timeouts["read"] <= 0.5
    call(decided(call, client, "home", "banner").mark)
    assert server.sent[-1].timeouts["read"] > 0.5
    assert server.count("assign") == 1


# ---- What may go wrong ----


@pytest.mark.usefixtures("first_calls_made", "no_delay_between_attempts")
@both_forms
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_decision_in_time(call: Form, name: str) -> None:
    fault, kind, status = FAULTS[name]
    with (
        FaultyServer(assign=fault) as server,
        UpgradeConnection(server.url, timeout=within(name), retries=1) as connection,
    ):
        client = connection.client("user", "my-app", group={})
        begun = time.monotonic()
        decision = decided(call, client, "home", "banner", default="control")
        assert time.monotonic() - begun < 1.0 + MARGIN
        server.wait_for(1, "assign")

    assert decision.reason is DecisionReason.ERROR
    assert decision.condition == "control"
    assert decision.error is not None
    assert type(decision.error) is kind
    assert decision.error.status_code == status
    json.dumps(decision.as_dict())


@both_forms
@pytest.mark.parametrize("broken", [7, [condition(payload=7)], [condition({})]])  # type: ignore[arg-type]
def test_an_assignment_that_cannot_be_read_is_none(call: Form, broken: object) -> None:
    client = answering(item(assignedCondition=broken))
    for _ in range(3):
        decision = decided(call, client, "home", "banner", default="control")
        assert (decision.condition, decision.reason) == ("control", DecisionReason.NOT_ASSIGNED)


@both_forms
def test_whoever_waits_for_another_callers_answer_decides_in_time(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    hold = server.hold_next("assign")
    with Background(call) as background:
        loading = background.begin(client.decide, "home", "banner")
        hold.wait()
        waiting = background.begin(client.with_options(timeout=0.05).decide, "home", "banner")
        assert isinstance(waiting.result().error, RequestTimeoutError)
        hold.release()
        assert loading.result().reason is DecisionReason.ASSIGNED


def test_a_cancelled_decision_is_cancelled(client: UpgradeClient, server: SteeredServer) -> None:
    async def scenario() -> Decision:
        hold = server.hold_next("assign")
        task = asyncio.ensure_future(client.decide("home", "banner"))
        await hold.wait_async()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await client.decide("home", "banner")

    assert asyncio.run(scenario()).reason is DecisionReason.ASSIGNED


def test_a_caller_whose_event_loop_stops_does_not_stop_those_who_wait_for_it(
    client: UpgradeClient, server: SteeredServer
) -> None:
    async def stop() -> None:
        task = asyncio.ensure_future(client.decide("home", "banner"))
        await hold.wait_async()
        waiting.append(background.begin(client.decide, "home", "banner"))
        del task  # which the end of the loop cancels

    waiting: list[Any] = []
    hold = server.hold_next("assign")
    with Background(blocking) as background:
        asyncio.run(stop())
        assert waiting[0].result().reason is DecisionReason.ASSIGNED


def test_another_callers_mistake_is_not_mine(
    client: UpgradeClient, server: SteeredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: object) -> None:
        monkeypatch.undo()
        hold.keep()
        raise RuntimeError("a mistake")

    hold = Hold()
    monkeypatch.setattr(server, "handle_request", fail)
    with Background(blocking) as background:
        asking = background.begin(client.decide, "home", "banner")
        hold.wait()
        waiting = background.begin(client.decide, "home", "banner")
        hold.release()
        with pytest.raises(RuntimeError, match="a mistake"):
            asking.result()
        assert waiting.result().reason is DecisionReason.ASSIGNED


@pytest.mark.parametrize(
    ("where", "options", "kind", "said"),
    [
        (("",), {}, ValueError, "site must not be empty"),
        ((7,), {}, TypeError, "site must be a string"),
        ((["home"],), {}, TypeError, "site must be a string"),
        (("home", 7), {}, TypeError, "target must be a string"),
        (("home", [7]), {}, TypeError, "target must be a string"),
        (("ho\0me",), {}, ValueError, "site must not hold a NUL"),
        (("home", "banner"), {"default": None}, TypeError, "default must be a string, not None"),
        (("home", "banner"), {"default": 7}, TypeError, "default must be a string, not int"),
    ],
)
@both_forms
@pytest.mark.parametrize("warm", [False, True])
def test_wrong_arguments_raise(
    call: Form,
    client: UpgradeClient,
    where: tuple[Any, ...],
    options: dict[str, Any],
    kind: type[Exception],
    said: str,
    warm: bool,
) -> None:
    if warm:
        for _ in range(3):
            decided(call, client, "home", "banner")
    with pytest.raises(kind, match=said):
        call(client.decide, *where, **options)


@both_forms
def test_texts_of_a_class_of_their_own_are_texts(call: Form, client: UpgradeClient) -> None:
    class Text(str):
        __slots__ = ()

    for _ in range(3):
        decision = decided(call, client, Text("home"), Text("footer"), default=Text("x"))
        assert decision.condition == "x"


@both_forms
def test_a_closed_client_is_a_mistake_also_during_an_outage(call: Form) -> None:
    client = unreachable()
    for _ in range(6):
        decided(call, client, "home", "banner")
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        call(client.decide, "home", "banner")


@both_forms
def test_a_closed_connection_is_a_mistake_also_during_an_outage(call: Form) -> None:
    local = LocalUpgrade()
    local.down()
    connection = UpgradeConnection("http://upgrade", transport=local.transport, retries=0)
    client = connection.client("user", "my-app")
    for _ in range(6):
        decided(call, client, "home", "banner")
    connection.close()
    with pytest.raises(RuntimeError, match="closed"):
        call(client.decide, "home", "banner")


# ---- What a decision holds on to ----


@both_forms
def test_an_error_in_a_decision_holds_neither_frames_nor_what_was_sent(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    class Tag:
        pass

    def decide() -> tuple[Decision, weakref.ref[Tag]]:
        with refusing_address() as url:
            connection = UpgradeConnection(url, token="secret-token", retries=0)
            with connection:
                client = connection.client("user", "my-app")
                in_frame = Tag()
                return decided(call, client, "home", "banner"), weakref.ref(in_frame)

    caplog.set_level("CRITICAL", "upgrade_client_lib")  # since records hold the errors they show
    decision, tag = decide()
    gc.collect()
    assert decision.error is not None
    assert decision.error.__traceback__ is None
    assert decision.error.__cause__ is None
    assert decision.error.__context__ is None
    assert tag() is None
    shown = "".join(traceback.format_exception(None, decision.error, None))
    assert "secret-token" not in shown + repr(decision) + str(decision.as_dict())
    assert b"secret-token" not in pickle.dumps(decision)


@pytest.mark.parametrize("target", ["banner", "footer"])
@pytest.mark.parametrize("with_store", [False, True])
def test_kept_decisions_do_not_keep_their_client(
    server: SteeredServer, target: str, with_store: bool
) -> None:
    store = MemoryStore() if with_store else None
    connection = UpgradeConnection(HOST, transport=server, store=store)
    gc.collect()
    gc.disable()
    try:
        client = connection.client("user", "my-app", group={})
        decisions = [client.decide_sync("home", target) for _ in range(3)]
        cache = client._assignments  # pyright: ignore[reportPrivateUsage]
        assert cache.value is not None
        gone: list[weakref.ref[Any]] = [
            weakref.ref(client),
            weakref.ref(cache),
            weakref.ref(cache.value),
        ]
        del client, cache
        assert [ref() for ref in gone] == [None, None, None]
        assert decisions[-1].target == target
    finally:
        gc.enable()


# ---- Plain data ----


def each_decision() -> list[Any]:
    known = answering(FACTORIAL, item())
    view = known.with_options(retries=0)
    return [
        pytest.param(known.decide_sync("home", "banner", default="x"), id="assigned"),
        pytest.param(view.decide_sync("fact", "page"), id="factorial"),
        pytest.param(known.decide_sync("home", "footer", default="x"), id="not assigned"),
        pytest.param(unreachable().decide_sync("home", "banner", default="x"), id="error"),
    ]


every_decision = pytest.mark.parametrize("decision", each_decision())


@every_decision
def test_a_decision_copies_and_compares(decision: Decision) -> None:
    assert copy.copy(decision) is decision
    assert copy.deepcopy(decision) is decision
    assert attrs.evolve(decision) == decision
    assert hash(attrs.evolve(decision)) == hash(decision)
    assert attrs.evolve(decision, condition="another") != decision


@every_decision
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_decision_pickles(decision: Decision, protocol: int) -> None:
    unpickled = pickle.loads(pickle.dumps(decision, protocol))

    assert unpickled == decision
    assert unpickled.answered_at == decision.answered_at
    assert str(unpickled.error) == str(decision.error)
    assert type(unpickled.error) is type(decision.error)
    assert unpickled.payload == decision.payload


@every_decision
def test_a_decision_cannot_be_changed(decision: Decision) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decision.condition = "another"  # type: ignore[misc]
    assert not hasattr(decision, "__dict__")


@every_decision
def test_a_decision_goes_into_json(decision: Decision) -> None:
    data = json.loads(json.dumps(decision.as_dict()))

    assert data["condition"] == decision.condition
    assert data["reason"] == str(decision.reason)
    assert data["source"] == (decision.source and str(decision.source))
    assert data["error"] == (decision.error and str(decision.error))
    assert data["assignment"] == (decision.assignment and decision.assignment.as_dict())
    assert set(data) == {
        *("user_id", "context", "site", "target", "condition"),
        *("reason", "source", "age", "error", "assignment"),
    }


def test_a_decision_is_shown_with_what_matters() -> None:
    assigned, factorial, default, error = (param.values[0] for param in each_decision())

    assert repr(assigned) == (
        "Decision(site='home', target='banner', condition='control', reason='assigned',"
        " source='server')"
    )
    assert repr(factorial) == (
        "Decision(site='fact', target='page', condition='color=red', reason='assigned',"
        " source='cache', payload='hi', factors={'color': 'red'})"
    )
    assert repr(default) == (
        "Decision(site='home', target='footer', condition='x', reason='not assigned',"
        " source='cache')"
    )
    assert repr(error).startswith(
        "Decision(site='home', target='banner', condition='x', reason='error', error='no connection"
    )


def test_as_text_a_decision_is_its_condition() -> None:
    texts = [str(param.values[0]) for param in each_decision()]
    assert texts == ["control", "color=red", "x", "x"]


@both_forms
def test_a_notebook_shows_a_decision_as_a_table_whose_texts_are_escaped(
    call: Form, client: UpgradeClient
) -> None:
    decision = decided(call, client, "home", "<b>", default="a & b")

    assert decision._repr_html_() == (  # pyright: ignore[reportPrivateUsage]
        "<table><caption>Decision</caption>"
        "<tr><th>site</th><td>home</td></tr>"
        "<tr><th>target</th><td>&lt;b&gt;</td></tr>"
        "<tr><th>condition</th><td>a &amp; b</td></tr>"
        "<tr><th>reason</th><td>not assigned</td></tr>"
        "<tr><th>source</th><td>server</td></tr></table>"
    )


def test_reasons_and_sources_are_text() -> None:
    assert [str(reason) for reason in DecisionReason] == ["assigned", "not assigned", "error"]
    assert [str(source) for source in DecisionSource] == ["server", "cache", "stale"]
