"""Delivery: in order, tried again where that is safe, set aside where it is not; and pauses."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import httpx
import pytest

from tests.outbox.support_outbox import (
    LOG,
    STATUS,
    Served,
    counts_when,
    decided,
    known_user,
    said,
    served,
)
from tests.support_clock import Clock, until
from tests.support_server import HOST, PATIENCE, one_factor
from upgrade_client_lib import NoConnectionError, UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib._rules import delivery
from upgrade_client_lib.stores import MemoryStore, StoredEvent
from upgrade_client_lib.types import LogRecord, OutboxEventState

__all__ = ["served"]


def delivered(connection: UpgradeConnection) -> bool:
    return connection.outbox.flush_sync(PATIENCE) == 0


def problem_of(connection: UpgradeConnection, state: str) -> str:
    (event,) = connection.outbox.events_sync(state)
    assert event.state == OutboxEventState(state)
    assert event.problem is not None
    return event.problem


# ---- Order ----


def test_the_events_of_a_user_arrive_in_their_order(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    decided(client)
    for endpoint in ["mark", "assign"]:
        served.server.answer(endpoint, "wait", 401)
    for code in ["first", "second", "third"]:
        decision = decided(client, "single", "queue")
        assert decision.condition == code
        decision.mark_sync()
    served.server.forget_answers()
    assert delivered(connection)
    assert served.conditions()[-3:] == ["first", "second", "third"]
    assert [mark.condition for mark in served.local.marks] == ["first", "second", "third"]


def test_many_users_are_served_by_a_few_threads(served: Served) -> None:
    connection = served.connect()
    clients = [known_user(connection, f"user-{number}") for number in range(30)]
    for _ in range(3):
        for client in clients:
            client.enqueue_log_sync(LOG)
    assert delivered(connection)
    assert served.server.count("log") == 90
    assert len(served.heard.delivered) == 90


# ---- What the server refuses ----


def test_what_the_server_refuses_is_set_aside_with_its_reason(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("reward", said(409, message="no such experiment"), 409)
    client.enqueue_reward_sync("SUCCESS", "an id")
    client.enqueue_log_sync(LOG)
    assert delivered(connection)
    assert connection.outbox.counts_sync() == {"refused": 1}
    assert "no such experiment" in problem_of(connection, "refused")
    assert served.server.count("log") == 1
    assert [event.state for event in served.heard.set_aside] == [OutboxEventState.REFUSED]
    assert "was refused" in caplog.text


def test_a_server_that_fails_on_one_event_is_tried_eight_times(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("reward", said(500, "Query Failed"), 500)
    client.enqueue_reward_sync("SUCCESS", "an id")
    known_user(connection, "other").enqueue_log_sync(LOG)
    assert counts_when(connection, "refused") == {"refused": 1}
    assert served.server.count("reward") == delivery.MAX_ATTEMPTS == 8
    assert connection.outbox.events_sync("refused")[0].attempts == 8
    assert served.server.count("log") == 1


def test_a_server_that_comes_back_in_time_gets_the_event(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("log", said(500, "Query Failed"), 500)
    client.enqueue_log_sync(LOG)
    until(lambda: served.server.count("log") >= 3)
    served.server.forget_answers()
    assert counts_when(connection) == {}


# ---- What may have been applied ----


def test_a_mark_of_a_queue_that_may_have_been_applied_waits_for_a_person(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("mark", "after")
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert served.server.count("mark") == 1
    assert "no answer from" in problem_of(connection, "undecided")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mark_that_is_stored_once_is_sent_again(served: Served, when: Any) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("mark", when)
    decided(client).mark_sync()
    assert counts_when(connection) == {}
    assert served.server.count("mark") == 2
    assert len(served.local.marks) == (1 if when == "before" else 2)


def test_a_log_is_sent_again_and_overwrites(served: Served) -> None:
    served.local.metric("seconds")
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("log", "after")
    client.enqueue_log_sync(LOG)
    assert counts_when(connection) == {}
    assert served.server.count("log") == 2
    assert all(isinstance(row, LogRecord) for row in client.log_sync(LOG))


def test_a_reward_that_may_have_been_applied_waits_for_a_person(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("reward", "before")
    client.enqueue_reward_sync("SUCCESS", "an id")
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert served.server.count("reward") == 1


def test_what_a_deliverer_left_behind_may_have_been_applied(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("log", "wait", 401)
    client.enqueue_log_sync(LOG)
    until(lambda: served.server.count("assign") >= 1)  # it pauses
    until(lambda: served.store.take_event(HOST, "another process", 0.05) is not None)
    served.server.forget_answers()
    assert counts_when(connection) == {}


def test_a_reward_that_was_left_behind_waits_for_a_person() -> None:
    served = Served()
    first = served.connect(flush_at_exit=0)
    client = known_user(first)
    served.server.answer("reward", "wait", 401)
    client.enqueue_reward_sync("SUCCESS", "an id")
    first.close()
    until(lambda: served.store.take_event(HOST, "another process", 0.001) is not None)
    served.server.forget_answers()
    second = served.connect()
    assert counts_when(second, "undecided") == {"undecided": 1}
    assert "whoever sent it" in problem_of(second, "undecided")
    served.close()


# ---- Pauses ----


@pytest.mark.parametrize("status", [401, 403, 404, 408])
def test_what_concerns_all_pauses_all_and_nothing_is_lost(
    served: Served, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "upgrade_client_lib")
    connection = served.connect()
    clients = [known_user(connection, f"user-{number}") for number in range(5)]
    for endpoint in ["log", "assign"]:
        served.server.answer(endpoint, "<html>", status)
    for client in clients:
        client.enqueue_log_sync(LOG)
    until(lambda: served.server.count("assign") >= 3)
    tried = served.server.count("log")
    assert tried <= len(clients)
    assert connection.outbox.counts_sync() == {"waiting": 5}
    served.server.forget_answers()
    assert counts_when(connection) == {}
    assert served.server.count("log") == tried + 5
    assert caplog.text.count("the outbox pauses") == 1
    assert "the outbox delivers again" in caplog.text


def test_an_event_that_was_taken_as_another_one_paused_all_waits_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 1)

    class Interrupted(MemoryStore):
        taken = 0

        def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
            event = super().take_event(queue, owner, lease)
            if event is not None:
                self.taken += 1
                if self.taken == 1:
                    internals._server.outbox._deliverer._pause(NoConnectionError("it is away"))
            return event

    store = served.store = Interrupted()
    connection = served.connect()
    internals: Any = connection
    known_user(connection).enqueue_log_sync(LOG)
    assert counts_when(connection) == {}
    assert (store.taken, served.server.count("log")) == (3, 1), "one look for what has expired"
    assert [sent.endpoint for sent in served.server.sent][-2:] == ["assign", "log"]


def test_while_the_server_is_silent_reads_find_out_and_no_further_event(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 1)  # another may be about to send as one pauses
    connection = served.connect()
    clients = [known_user(connection, f"user-{number}") for number in range(3)]
    served.server.lose_next("reward", "before")
    clients[0].enqueue_reward_sync("SUCCESS", "an id")
    assert counts_when(connection, "undecided") == {"undecided": 1}
    for _ in range(10_000):  # more than it may ask before the test looks
        served.server.lose_next("assign", "before")
    for client in clients:
        client.enqueue_reward_sync("SUCCESS", "another id")
    until(lambda: served.server.count("assign") >= 3)
    assert served.server.count("reward") == 1
    served.server.forget_answers()
    assert counts_when(connection, "undecided", "refused") == {"undecided": 1, "refused": 3}
    assert served.server.count("reward") == 4


def test_a_pause_lasts_while_there_is_no_event_to_ask_the_server_with(served: Served) -> None:
    connection: Any = served.connect()
    client = known_user(connection)
    served.server.lose_next("reward", "before")
    client.enqueue_reward_sync("SUCCESS", "an id")
    assert counts_when(connection, "undecided") == {"undecided": 1}
    deliverer = connection._server.outbox._deliverer
    until(lambda: time.monotonic() > deliverer._paused_until)
    assert not deliverer._may_send("owner")
    unreadable = StoredEvent("1", "user", 1, "waiting", b"?")
    assert deliverer._delivery.probe(unreadable) is None


def test_several_events_that_fail_at_once_pause_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="upgrade_client_lib")
    monkeypatch.setattr(delivery, "PAUSES", (60.0,))
    connection: Any = served.connect()
    for _ in range(3):
        connection._server.outbox._deliverer._pause(NoConnectionError("it is away"))
    (said,) = caplog.messages
    assert said == "the outbox pauses for 60 s, since it is away"


def test_a_closed_connection_ends_a_pause() -> None:
    served = Served()
    connection = served.connect(flush_at_exit=0.05)
    client = known_user(connection)
    served.server.answer("log", "wait", 401)
    served.server.answer("assign", "wait", 401)
    client.enqueue_log_sync(LOG)
    connection.close()
    assert served.store.count_events(HOST) == {"waiting": 1}


# ---- Users whom the server does not know ----


@pytest.mark.parametrize("stated", [True, False])
def test_an_unknown_user_is_initialised_with_the_groups_that_are_known(
    served: Served, stated: bool
) -> None:
    connection = served.connect()
    group = {"class": ["class-1"]}
    client = connection.client("user", "my-app", group=group if stated else None)
    client.init_sync(group=group, working_group={"class": "class-1"})
    decision = decided(client)
    served.local.reset()
    served.local.experiment("home", "banner", conditions={"control": 50, "treatment": 50})
    decision.mark_sync()
    assert delivered(connection)
    assert connection.outbox.counts_sync() in ({}, {"refused": 1})
    assert served.server.bodies("init")[-1]["group"] == group
    assert served.server.count("mark") == 2


def test_an_unknown_user_of_whom_no_groups_are_known_is_refused(served: Served) -> None:
    connection = served.connect()
    connection.client("stranger", "my-app").enqueue_log_sync(LOG)
    assert delivered(connection)
    assert connection.outbox.counts_sync() == {"refused": 1}
    assert served.server.count("init") == 0
    assert "Call init()" in problem_of(connection, "refused")


def test_an_init_that_fails_leaves_the_event_where_it_is(served: Served) -> None:
    connection = served.connect()
    client = connection.client("stranger", "my-app", group={})
    served.server.lose_next("init", "after")
    client.enqueue_log_sync(LOG)
    assert counts_when(connection) == {}
    assert served.server.count("log") == 2


# ---- Age ----


def test_an_event_that_waited_for_too_long_expires(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    connection = served.connect(max_event_age=0)
    known_user(connection).enqueue_log_sync(LOG)
    assert delivered(connection)
    assert connection.outbox.counts_sync() == {"expired": 1}
    assert served.server.count("log") == 0
    assert "max_event_age" in caplog.text
    assert [event.state for event in served.heard.set_aside] == [OutboxEventState.EXPIRED]


def test_what_waits_for_too_long_expires_while_the_server_is_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = served.connect(max_event_age=60)
    served.local.down()
    for number in range(3):
        connection.client(f"old-{number}", "my-app", group={}).enqueue_log_sync(LOG)
    assert counts_when(connection, "waiting") == {"waiting": 3}
    Clock.stopped(monkeypatch, "time").let_pass(61)
    connection.client("new", "my-app", group={}).enqueue_log_sync(LOG)
    assert counts_when(connection, "waiting", "expired") == {"waiting": 1, "expired": 3}
    served.local.up()
    assert counts_when(connection, "expired") == {"expired": 3}
    assert [event.user_id for event in served.heard.delivered] == ["new"]


# ---- Answers that may no longer hold ----


def stale_decision(served: Served, connection: UpgradeConnection, **where: str) -> Any:
    client = known_user(connection)
    decided(client, **where)
    client.close()
    again = connection.client("user", "my-app")
    served.server.answer("assign", "away", 503)
    decision = decided(again, **where)
    served.server.forget_answers()
    return decision


def test_a_mark_of_an_outdated_answer_is_sent_if_the_server_says_the_same(
    served: Served,
) -> None:
    connection = served.connect(store=MemoryStore(), max_age=0)
    decision = stale_decision(served, connection)
    assert decision.source == "stale"
    decision.mark_sync()
    assert delivered(connection)
    assert connection.outbox.counts_sync() == {}
    assert served.conditions() == [decision.condition]


def test_a_mark_of_an_outdated_payload_is_sent_if_the_server_says_the_same(served: Served) -> None:
    served.server.behind = one_factor().transport
    connection = served.connect(store=MemoryStore(), max_age=0)
    decision = stale_decision(served, connection, site="lesson", target="hint")
    decision.mark_sync()
    assert delivered(connection)
    assert served.conditions() == [f"tone={decision.get_factor_level('tone')}"]


def test_a_mark_of_an_outdated_answer_is_refused_if_the_server_says_another(
    served: Served,
) -> None:
    connection = served.connect(store=MemoryStore(), max_age=0)
    decision = stale_decision(served, connection)
    served.server.answer("assign", [])
    decision.mark_sync()
    assert delivered(connection)
    assert served.marks() == []
    assert "no longer assigns" in problem_of(connection, "refused")


def test_an_answer_that_cannot_be_verified_leaves_the_mark_waiting(served: Served) -> None:
    connection = served.connect(store=MemoryStore(), max_age=0)
    decision = stale_decision(served, connection)
    served.server.lose_next("assign", "before")
    decision.mark_sync()
    assert counts_when(connection) == {}
    assert served.server.count("mark") == 1


def test_that_nothing_was_assigned_is_verified_once_it_is_old(
    monkeypatch: pytest.MonkeyPatch, served: Served
) -> None:
    connection = served.connect()
    client = known_user(connection)
    decision = decided(client, "home", "footer")
    served.server.answer("mark", "wait", 401)
    decision.mark_sync()
    until(lambda: served.server.count("mark") >= 1)
    served.local.experiment("home", "footer", conditions=["one", "two"])
    Clock.stopped(monkeypatch, "time").let_pass(301)
    served.server.forget_answers()
    assert counts_when(connection, "refused") == {"refused": 1}
    assert "no longer assigns" in problem_of(connection, "refused")


def test_a_mark_that_enrols_after_all_has_the_answers_asked_for_anew(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    decision = decided(client, "home", "footer")
    answer = {"id": "1", "userId": "user", "site": "home", "target": "footer"}
    served.server.answer("mark", {**answer, "experimentId": "new", "condition": "one"})
    asked = served.server.count("assign")
    decision.mark_sync()
    assert delivered(connection)
    decided(client, "home", "footer")
    assert served.server.count("assign") == asked + 1


# ---- What is damaged, and what fails here ----


def test_an_event_that_cannot_be_read_is_set_aside(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for number, data in enumerate([b"\xff", b'{"format": 99}', b"[]"]):
        served.store.add_event(HOST, str(number), "user", data, max_events=9, remember=0)
    connection = served.connect()
    assert delivered(connection)
    assert connection.outbox.counts_sync() == {"refused": 3}
    assert connection.outbox.events_sync("refused") == []
    assert "cannot be read" in caplog.text
    with pytest.raises(ValueError, match="no event"):
        connection.outbox.retry_sync("0")
    connection.outbox.discard_sync("0")


def test_an_error_of_the_program_leaves_the_event_undecided(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = served.connect()
    client = known_user(connection)
    client.enqueue_log_sync(LOG)
    assert delivered(connection)

    def fail(request: httpx.Request) -> httpx.Response:
        raise MemoryError("no memory")

    monkeypatch.setattr(served.server, "handle_request", fail)
    client.enqueue_reward_sync("SUCCESS", "an id")
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert "delivering" in caplog.text


class Interrupted(MemoryStore):
    """A store of events that fails in one of its methods for some time."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: dict[str, int] = {}

    def _fail(self, method: str) -> None:
        if self.failing.get(method):
            self.failing[method] -= 1
            raise OSError("the store is away")

    def take_event(self, *args: Any, **kwargs: Any) -> Any:
        self._fail("take")
        return super().take_event(*args, **kwargs)

    def settle_event(self, *args: Any, **kwargs: Any) -> Any:
        self._fail("settle")
        return super().settle_event(*args, **kwargs)

    def seconds_until_due(self, queue: str) -> float | None:
        self._fail("due")
        return super().seconds_until_due(queue)


def test_a_store_that_fails_for_some_time_loses_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "upgrade_client_lib")
    monkeypatch.setattr(deliverer, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(deliverer, "STORE_PAUSE_SECONDS", 0.01)
    store = Interrupted()
    served = Served(store)
    connection = served.connect()
    client = known_user(connection)
    store.failing = {"take": 3, "settle": 4, "due": 2}
    client.enqueue_reward_sync("SUCCESS", "an id")
    assert counts_when(connection, "refused") == {"refused": 1}
    assert served.server.count("reward") == 1
    warned = caplog.text.count("the outbox's store failed")
    assert 1 <= warned <= 2  # not for each failure
    assert caplog.text.count("works again") == warned
    assert {str(error) for error in served.heard.errors} == {"the store is away"}
    served.close()


def test_a_store_that_fails_for_too_long_to_note_what_was_done_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from upgrade_client_lib._outbox import delivery as delivering

    monkeypatch.setattr(delivering, "SETTLE_SECONDS", 0.0)
    store = Interrupted()
    served = Served(store)
    client = known_user(served.connect())
    store.failing = {"settle": 1}
    client.enqueue_log_sync(LOG)
    until(lambda: "does not know that event" in caplog.text)
    assert store.count_events(HOST) == {"sending": 1}
    served.close()


def test_an_event_that_another_deliverer_took_over_is_left_to_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = served.connect()
    client = known_user(connection)
    hold = served.server.hold_next("log")
    event = client.enqueue_log_sync(LOG)
    hold.wait()
    queues: Any = served.store
    queue = queues._queues[HOST]
    queue.schedule("user", queue.lines["user"], 0.0)  # as if the lease had expired
    assert served.store.take_event(HOST, "another", 60) is not None
    hold.release()
    until(lambda: "took event" in caplog.text)
    assert served.store.settle_event(HOST, event.id, "another", state=None)


def test_events_are_kept_as_json_that_a_later_version_can_add_to(served: Served) -> None:
    connection = served.connect(flush_at_exit=0)
    served.server.answer("mark", "wait", 401)
    event = decided(known_user(connection)).mark_sync()
    assert event is not None
    stored = served.store.get_event(HOST, event.id)
    assert stored is not None
    known = json.loads(stored.data)
    assert known["format"] == 1
    assert known["to_send"]["status"] == STATUS.CONDITION_APPLIED.value
    known["to_send"]["new"] = known["new"] = "what a later version keeps"
    again = json.dumps(known).encode()
    served.store.add_event(HOST, "later", "other", again, max_events=9, remember=0)
    served.server.forget_answers()
    assert counts_when(connection) == {}
    assert served.server.count("mark") >= 2
