"""What an application does with its outbox: look, retry, discard, flush; and how it ends."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from tests.outbox.support_outbox import LOG, Served, counts_when, decided, known_user, said, served
from tests.support_clock import MARGIN, taking, until
from tests.support_forms import Form, both_forms
from tests.support_server import HOST, PATIENCE
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade

__all__ = ["served"]

NAME = "upgrade_client_lib outbox"


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == NAME}


def refused_reward(served: Served, connection: Any, user_id: str = "user") -> str:
    served.server.answer("reward", said(409), 409)
    event = known_user(connection, user_id).enqueue_reward_sync("SUCCESS", "an id")
    connection.outbox.flush_sync(PATIENCE)
    id_: str = event.id
    return id_


# ---- Looking ----


@both_forms
def test_counts_and_events_tell_what_is_there(call: Form, served: Served) -> None:
    connection = served.connect()
    first = refused_reward(served, connection)
    second = refused_reward(served, connection, "other")
    assert call(connection.outbox.counts) == {"refused": 2}
    events = call(connection.outbox.events, "refused")
    assert [event.id for event in events] == [first, second]
    assert [event.attempts for event in events] == [1, 1]
    assert [event.id for event in call(connection.outbox.events, "refused", limit=1)] == [first]
    assert call(connection.outbox.events, "undecided") == []
    assert repr(connection.outbox) == f"Outbox({HOST!r})"


def test_outboxes_of_one_server_and_store_are_equal() -> None:
    store = MemoryStore()
    one, same, elsewhere, apart = (
        UpgradeConnection(host, outbox=kept).outbox
        for host, kept in (
            (HOST, store),
            (HOST, store),
            ("http://elsewhere", store),
            (HOST, MemoryStore()),
        )
    )
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same, elsewhere, apart}) == 3
    assert one != store


@both_forms
def test_wrong_questions_raise(call: Form, served: Served) -> None:
    outbox = served.connect().outbox
    with pytest.raises(ValueError, match="state must be one of 'waiting'"):
        call(outbox.events, "lost")
    with pytest.raises(ValueError, match="limit"):
        call(outbox.events, "waiting", limit=0)
    with pytest.raises(ValueError, match="event_id"):
        call(outbox.retry, "")
    with pytest.raises(TypeError, match="timeout"):
        call(outbox.flush, "soon")
    with pytest.raises(ValueError, match="no event 'unknown'"):
        call(outbox.retry, "unknown")
    with pytest.raises(ValueError, match="no event 'unknown'"):
        call(outbox.discard, "unknown")


# ---- Retrying and discarding ----


@both_forms
def test_an_event_that_was_set_aside_is_retried(call: Form, served: Served) -> None:
    connection = served.connect(max_event_age=3600)
    event_id = refused_reward(served, connection)
    served.server.answer("reward", {"message": "ok", "request": {}})
    call(connection.outbox.retry, event_id)
    assert counts_when(connection) == {}
    assert served.server.count("reward") == 2
    with pytest.raises(ValueError, match="no event"):
        call(connection.outbox.retry, event_id)


@both_forms
def test_an_expired_event_that_is_retried_is_given_its_time_again(
    call: Form, served: Served
) -> None:
    first = served.connect(max_event_age=0)
    event = known_user(first).enqueue_log_sync(LOG)
    assert counts_when(first, "expired") == {"expired": 1}
    first.close()
    second = served.connect()
    call(second.outbox.retry, event.id)
    assert counts_when(second) == {}
    assert served.server.count("log") == 1


@both_forms
def test_a_mark_is_not_retried_after_a_later_one_was_sent(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("mark", said(400), 400)
    refused = decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "refused") == {"refused": 1}
    served.server.forget_answers()
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "refused") == {"refused": 1}
    assert refused is not None
    with pytest.raises(ValueError, match="a later mark of user 'user' was sent"):
        call(connection.outbox.retry, refused.id)
    call(connection.outbox.discard, refused.id)
    assert call(connection.outbox.counts) == {}


@both_forms
def test_an_event_that_is_discarded_is_never_sent(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    served.server.answer("mark", "wait", 401)
    served.server.answer("log", "wait", 401)
    client.enqueue_log_sync(LOG)
    event = decided(client, "single", "queue").mark_sync()
    assert event is not None
    call(connection.outbox.discard, event.id)
    assert decided(client, "single", "queue").condition == "first"
    served.server.forget_answers()
    assert counts_when(connection) == {}
    assert served.server.count("mark") == 0


@both_forms
def test_an_event_that_is_being_sent_is_not_discarded(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    hold = served.server.hold_next("log")
    event = client.enqueue_log_sync(LOG)
    hold.wait()
    with pytest.raises(ValueError, match="just being sent"):
        call(connection.outbox.discard, event.id)
    hold.release()
    assert call(connection.outbox.flush, PATIENCE) == 0


# ---- Flushing ----


@both_forms
def test_flush_waits_for_delivery_and_tells_how_many_are_left(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    assert call(connection.outbox.flush, 0) == 0
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    assert call(connection.outbox.flush, 0.01) == 1
    hold.release()
    assert call(connection.outbox.flush, PATIENCE) == 0


@both_forms
def test_flush_returns_early_where_nothing_can_be_sent_in_time(
    call: Form, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upgrade_client_lib._rules import delivery

    monkeypatch.setattr(delivery, "PAUSES", (3600.0,))
    connection = served.connect()
    for endpoint in ["log", "assign"]:
        served.server.answer(endpoint, "wait", 401)
    known_user(connection).enqueue_log_sync(LOG)
    with taking(0, MARGIN):
        assert call(connection.outbox.flush, 60) == 1
    served.server.forget_answers()
    assert call(connection.outbox.flush, PATIENCE) == 0


@both_forms
def test_flush_waits_for_what_another_process_is_sending(
    call: Form, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "LEASE_SECONDS", 3600.0)
    other, connection = served.connect(), served.connect()
    client = known_user(other)
    holds = [served.server.hold_next("log")]
    client.enqueue_log_sync(LOG)
    holds[0].wait()
    look = served.store.seconds_until_due

    def look_and_release(queue: str) -> float | None:
        due: float | None = look(queue)
        while holds:
            holds.pop().release()
        return due

    monkeypatch.setattr(served.store, "seconds_until_due", look_and_release)
    assert call(connection.outbox.flush, PATIENCE) == 0


def test_a_flush_that_is_cancelled_does_not_keep_the_event_loop_from_ending(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = served.connect()
    client = known_user(connection)
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    is_waiting = threading.Event()
    look = served.store.seconds_until_due

    def look_and_tell(queue: str) -> float | None:
        is_waiting.set()
        due: float | None = look(queue)
        return due

    monkeypatch.setattr(served.store, "seconds_until_due", look_and_tell)

    async def scenario() -> None:
        flush = asyncio.create_task(connection.outbox.flush(10 * MARGIN))
        assert await asyncio.to_thread(is_waiting.wait, PATIENCE)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush

    with taking(0, MARGIN):
        asyncio.run(scenario())
    hold.release()


# ---- Ends ----


def test_closing_delivers_what_was_handed_over(served: Served) -> None:
    with served.connect() as connection:
        known_user(connection).enqueue_log_sync(LOG)
    assert served.server.count("log") == 1


def test_closing_in_an_event_loop_delivers_what_was_handed_over(served: Served) -> None:
    async def scenario() -> None:
        async with served.connect() as connection:
            client = connection.client("user", "my-app")
            await client.init()
            await client.enqueue_log(LOG)

    asyncio.run(scenario())
    assert served.server.count("log") == 1


def test_closing_waits_no_longer_than_it_is_told(served: Served) -> None:
    connection = served.connect(flush_at_exit=0.05)
    client = known_user(connection)
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    with taking(0, MARGIN):
        connection.close()
    hold.release()


def test_closing_may_be_given_any_finite_time(served: Served) -> None:
    connection = served.connect(flush_at_exit=1e300)
    known_user(connection).enqueue_log_sync(LOG)
    connection.close()
    assert served.server.count("log") == 1


def test_threads_end_when_there_is_nothing_to_do_but_for_one(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threads()
    connection = served.connect()
    assert not threads() - before
    holds = [served.server.hold_next("log") for _ in range(3)]
    for number in range(3):
        known_user(connection, f"user-{number}").enqueue_log_sync(LOG)
    for hold in holds:
        hold.wait()
    assert len(threads() - before) >= 3
    monkeypatch.setattr(deliverer, "IDLE_SECONDS", 0.0)
    for hold in holds:
        hold.release()
    until(lambda: len(threads() - before) <= 1)
    assert len(threads() - before) == 1
    connection.close()
    until(lambda: not threads() - before)


def test_threads_end_with_a_connection_that_is_dropped(served: Served) -> None:
    before = threads()
    connection = UpgradeConnection(HOST, transport=served.server, outbox=served.store)
    known_user(connection).enqueue_log_sync(LOG)
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert threads() - before
    del connection
    until(lambda: gc.collect() >= 0 and not threads() - before)


def test_what_delivered_leaves_no_socket_where_a_connection_is_dropped() -> None:
    local = LocalUpgrade()
    local.metric("seconds")
    before = threads()
    with local.serve() as url:
        connection = UpgradeConnection(url, outbox=MemoryStore())
        connection.client("user", "my-app", group={}).enqueue_log_sync(LOG)
        assert connection.outbox.flush_sync(PATIENCE) == 0
        del connection
        until(lambda: gc.collect() >= 0 and not threads() - before)
    assert local.logs


def test_what_a_connection_that_is_dropped_has_not_delivered_arrives(served: Served) -> None:
    connection = UpgradeConnection(HOST, transport=served.server, outbox=served.store)
    client = known_user(connection)
    for endpoint in ("log", "assign"):
        served.server.answer(endpoint, "wait", 401)
    client.enqueue_log_sync(LOG)
    until(lambda: served.server.count("assign") >= 1)
    del client, connection
    gc.collect()
    served.server.forget_answers()
    until(lambda: served.store.count_events(HOST) == {})
    assert served.local.logs


def test_no_more_threads_are_started_than_are_allowed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 2)
    before = threads()
    connection = served.connect()
    holds = [served.server.hold_next("log") for _ in range(2)]
    for number in range(5):
        known_user(connection, f"user-{number}").enqueue_log_sync(LOG)
    for hold in holds:
        hold.wait()
    assert len(threads() - before) == 2
    for hold in holds:
        hold.release()
    assert connection.outbox.flush_sync(PATIENCE) == 0


def test_where_no_thread_can_be_started_a_flush_delivers(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    connection = served.connect()
    client = known_user(connection)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        client.enqueue_log_sync(LOG)
        assert served.server.count("log") == 0
        assert connection.outbox.flush_sync(PATIENCE) == 0
    assert served.server.count("log") == 1


def test_after_the_end_nobody_is_woken(served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    connection.close()
    before = threads()
    with pytest.raises(RuntimeError, match="closed"):
        client.enqueue_log_sync(LOG)
    connection.outbox.flush_sync(0)
    assert not threads() - before


def test_connections_to_other_servers_share_a_store_but_no_events(served: Served) -> None:
    store = MemoryStore()
    first = served.connect(outbox=store)
    served.server.answer("log", "wait", 401)
    known_user(first).enqueue_log_sync(LOG)
    assert store.count_events("https://other.example.org") == {}
    assert store.count_events(HOST) == {"waiting": 1}
