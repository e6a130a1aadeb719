"""Handing over: what is checked, what is kept, what comes back, and what is never sent."""

from __future__ import annotations

import asyncio
import pickle
from datetime import datetime, timezone
from typing import Any, Callable

import pytest

from tests.outbox.support_outbox import LOG, STATUS, Served, decided, known_user, served
from tests.support_clock import until
from tests.support_forms import Form, both_forms
from tests.support_server import HOST, PATIENCE, one_factor
from upgrade_client_lib import OutboxError, OutboxFullError, UpgradeConnection
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.types import (
    DecisionReason,
    MarkedDecisionPoint,
    OutboxEvent,
    OutboxEventKind,
    OutboxEventState,
)

__all__ = ["served"]


class FailingStore(MemoryStore):
    """A store of events that fails as often as it is told to."""

    failures = 0

    def add_event(self, *args: Any, **kwargs: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        return super().add_event(*args, **kwargs)


# ---- Marks ----


@both_forms
def test_a_mark_of_a_decision_is_handed_over_and_delivered(call: Form, served: Served) -> None:
    connection = served.connect()
    decision = decided(known_user(connection))
    event = call(decision.mark, uniquifier="attempt 1", client_error="none")

    assert isinstance(event, OutboxEvent)
    assert (event.kind, event.state) == (OutboxEventKind.MARK, OutboxEventState.WAITING)
    assert (event.user_id, event.context) == ("user", "my-app")
    assert (event.site, event.target) == ("home", "banner")
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert decision.assignment is not None
    (mark,) = served.marks()
    assert mark["data"] == {
        "site": "home",
        "target": "banner",
        "assignedCondition": {
            "conditionCode": decision.condition,
            "experimentId": decision.assignment.experiment_id,
            "id": decision.assignment.condition_id,
        },
    }
    assert (mark["status"], mark["uniquifier"]) == ("condition applied", "attempt 1")
    assert mark["clientError"] == "none"
    assert event.id not in str(served.server.sent)
    assert [told.id for told in served.heard.delivered] == [event.id]


@both_forms
def test_a_mark_of_an_assignment_is_handed_over_with_its_status(call: Form, served: Served) -> None:
    connection = served.connect()
    assignment = decided(known_user(connection)).assignment
    assert assignment is not None
    before = datetime.now(timezone.utc)
    event = call(assignment.enqueue_mark, STATUS.CONDITION_FAILED_TO_APPLY)
    assert before <= event.created_at <= datetime.now(timezone.utc)
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert [mark["status"] for mark in served.marks()] == ["condition not applied"]


@both_forms
def test_the_mark_of_one_factor_is_handed_over_by_factor_and_level(
    call: Form, served: Served
) -> None:
    served.server.behind = one_factor().transport
    connection = served.connect()
    decision = decided(known_user(connection), "lesson", "hint")
    call(decision.mark)
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert served.conditions() == [f"tone={decision.get_factor_level('tone')}"]
    assert connection.outbox.counts_sync() == {}


@both_forms
def test_a_default_that_was_shown_is_marked_without_a_condition(call: Form, served: Served) -> None:
    connection = served.connect()
    decision = decided(known_user(connection), "home", "footer")
    assert isinstance(call(decision.mark), OutboxEvent)
    assert connection.outbox.flush_sync(PATIENCE) == 0
    (mark,) = served.marks()
    assert mark["status"] == "no condition assigned"
    assert mark["data"]["assignedCondition"] == {"conditionCode": None}


def test_nothing_is_handed_over_after_an_error(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("assign", "before")
    decision = decided(client)
    assert decision.reason is DecisionReason.ERROR
    assert decision.mark_sync() is None
    assert connection.outbox.counts_sync() == {}


def test_a_copied_assignment_hands_over_and_an_unpickled_one_says_what_to_do(
    served: Served,
) -> None:
    assignment = decided(known_user(served.connect())).assignment
    assert assignment is not None
    unpickled = pickle.loads(pickle.dumps(assignment))
    with pytest.raises(RuntimeError, match="has no client"):
        unpickled.enqueue_mark_sync("condition applied")


# ---- Logs and rewards ----


@both_forms
def test_a_log_is_handed_over(call: Form, served: Served) -> None:
    connection = served.connect()
    event = call(known_user(connection).enqueue_log, LOG)
    assert (event.kind, event.site, event.target) == (OutboxEventKind.LOG, "", "")
    assert connection.outbox.flush_sync(PATIENCE) == 0
    (body,) = served.server.bodies("log")
    assert body["value"][0]["timestamp"] == "2026-11-20T08:00:00.000Z"
    assert body["value"][0]["metrics"]["attributes"] == {"seconds": 95}


@both_forms
def test_grouped_metrics_are_handed_over(call: Form, served: Served) -> None:
    group = {
        "groupClass": "workspace",
        "groupKey": "fractions",
        "groupUniquifier": "1",
        "attributes": {"hints": 2},
    }
    entry = {"timestamp": "2026-11-20", "metrics": {"groupedMetrics": [group]}}
    connection = served.connect()
    call(known_user(connection).enqueue_log, [entry])
    assert connection.outbox.flush_sync(PATIENCE) == 0
    (body,) = served.server.bodies("log")
    assert body["value"][0]["metrics"]["groupedMetrics"] == [group]


@both_forms
def test_a_reward_is_handed_over_by_point_or_by_experiment(call: Form, served: Served) -> None:
    served.server.answer("reward", {"message": "ok", "request": {}})
    connection = served.connect()
    client = known_user(connection)
    point = {"site": "home", "target": "hint"}
    event = call(client.enqueue_reward, "SUCCESS", decision_point=point)
    assert (event.site, event.target) == ("home", "hint")
    call(client.enqueue_reward, "FAILURE", "an id")
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert served.server.bodies("reward") == [
        {"rewardValue": "SUCCESS", "context": "my-app", "decisionPoint": point},
        {"rewardValue": "FAILURE", "experimentId": "an id"},
    ]


def test_an_event_becomes_plain_data(served: Served) -> None:
    event = known_user(served.connect()).enqueue_log_sync(LOG)
    assert event.as_dict() == {
        "id": event.id,
        "kind": "log",
        "state": "waiting",
        "user_id": "user",
        "context": "my-app",
        "site": "",
        "target": "",
        "created_at": event.created_at.isoformat(),
        "attempts": 0,
        "problem": None,
    }


# ---- What is refused at once ----


@both_forms
def test_wrong_arguments_raise_before_anything_is_kept(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    decision = decided(client)
    assert decision.assignment is not None
    with pytest.raises(ValueError, match="status"):
        call(decision.assignment.enqueue_mark, "shown")
    with pytest.raises(ValueError, match="status"):
        call(decision.mark, "shown")
    with pytest.raises(TypeError, match="metrics"):
        call(client.enqueue_log, 3)
    with pytest.raises(ValueError, match="an entry to log"):
        call(client.enqueue_log, [])
    with pytest.raises(ValueError, match="reward_value"):
        call(client.enqueue_reward, "GOOD", "an id")
    with pytest.raises(ValueError, match="experiment_id or a decision_point"):
        call(client.enqueue_reward, "SUCCESS")
    assert connection.outbox.counts_sync() == {}


@both_forms
def test_without_an_outbox_nothing_can_be_handed_over(call: Form, served: Served) -> None:
    connection = served.connect(outbox=None)
    client = known_user(connection)
    decision = decided(client)
    assert decision.assignment is not None
    ways: list[tuple[Callable[..., Any], list[Any]]] = [
        (client.enqueue_log, [LOG]),
        (client.enqueue_reward, ["SUCCESS", "an id"]),
        (decision.assignment.enqueue_mark, ["condition applied"]),
    ]
    for method, given in ways:
        with pytest.raises(RuntimeError, match="outbox=store"):
            call(method, *given)
    assert isinstance(call(decision.mark), MarkedDecisionPoint)
    assert not connection.has_outbox
    with pytest.raises(RuntimeError, match="made without outbox="):
        connection.outbox  # noqa: B018


@both_forms
def test_a_client_with_a_token_of_its_own_hands_nothing_over(call: Form, served: Served) -> None:
    connection = served.connect()
    assert connection.has_outbox
    client = known_user(connection, token="secret-of-the-client")
    decision = decided(client)
    with pytest.raises(ValueError, match=r"give the token to the connection") as raised:
        call(client.enqueue_log, LOG)
    assert "secret" not in str(raised.value)
    assert isinstance(call(decision.mark), MarkedDecisionPoint)


def test_no_token_is_kept(served: Served) -> None:
    connection = served.connect(token="secret-of-the-connection")
    served.server.answer("log", "busy", 401)
    event = known_user(connection).enqueue_log_sync(LOG)
    stored = served.store.get_event(HOST, event.id)
    assert stored is not None
    assert b"secret" not in stored.data
    served.server.forget_answers()
    assert connection.outbox.flush_sync(PATIENCE) == 0


@both_forms
def test_a_closed_client_or_connection_hands_nothing_over(call: Form, served: Served) -> None:
    connection = served.connect()
    client, other = known_user(connection), known_user(connection, "other")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        call(client.enqueue_log, LOG)
    connection.close()
    with pytest.raises(RuntimeError, match="closed"):
        call(other.enqueue_log, LOG)


def test_the_outbox_must_keep_events() -> None:
    with pytest.raises(TypeError, match="outbox must be a store that keeps events"):
        UpgradeConnection(HOST, outbox=object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"max_events": 0}, {"max_event_age": -1}, {"flush_at_exit": float("inf")}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UpgradeConnection(HOST, **wrong)


# ---- What may fail ----


@both_forms
def test_a_full_outbox_refuses_the_newest(call: Form, served: Served) -> None:
    served.server.answer("log", "no", 401)
    connection = served.connect(max_events=2, flush_at_exit=0)
    client = known_user(connection)
    for _ in range(2):
        call(client.enqueue_log, LOG)
    with pytest.raises(OutboxFullError, match="its max_events"):
        call(client.enqueue_log, LOG)
    decision = decided(client)
    assert call(decision.mark) is None
    (error,) = served.heard.errors
    assert isinstance(error, OutboxFullError)
    assert decided(client).condition == decision.condition


@both_forms
def test_a_store_that_fails_is_tried_twice(
    call: Form, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore()
    served = Served(store)
    client = known_user(served.connect())
    store.failures = 1
    assert isinstance(call(client.enqueue_log, LOG), OutboxEvent)
    store.failures = 2
    with pytest.raises(OutboxError, match="OSError: the disk is full") as raised:
        call(client.enqueue_log, LOG)
    assert isinstance(raised.value.__cause__, OSError)
    decision = decided(client)
    store.failures = 2
    assert call(decision.mark) is None
    assert [type(error) for error in served.heard.errors] == [OutboxError]
    assert "was not handed over" in caplog.text
    served.close()


def test_what_was_kept_for_a_caller_who_was_cancelled_is_delivered() -> None:
    class SlowStore(MemoryStore):
        async def add_event_async(self, *args: Any, **kwargs: Any) -> Any:
            self.add_event(*args, **kwargs)
            await asyncio.Event().wait()

    served = Served(SlowStore())
    client = known_user(served.connect())

    async def scenario() -> None:
        task = asyncio.create_task(client.enqueue_log(LOG))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    until(lambda: served.server.count("log") == 1)
    served.close()
