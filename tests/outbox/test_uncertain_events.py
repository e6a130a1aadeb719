"""An event is called refused or expired only if no attempt to send it may have been applied."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from tests.outbox.support_outbox import (
    LOG,
    Served,
    counts_when,
    decided,
    hurry,
    known_user,
    said,
    served,
)
from tests.support_clock import Clock
from tests.support_forms import Form, both_forms
from upgrade_client_lib import UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib._outbox.delivery import LEASE_SECONDS
from upgrade_client_lib._rules import delivery
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.stores.event_protocol import StoredEvent
from upgrade_client_lib.types import OutboxEvent

__all__ = ["served"]


@pytest.mark.parametrize("status", [400, 500])
def test_what_is_refused_after_an_attempt_that_may_have_been_applied_is_undecided(
    served: Served, status: int
) -> None:
    connection = served.connect()
    decision = decided(known_user(connection))
    served.server.lose_next("mark", "after")
    served.server.answer("mark", said(status), status)
    decision.mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    served.server.forget_answers()
    (event,) = connection.outbox.events_sync("undecided")
    assert event.attempts == (2 if status == 400 else 8)
    connection.outbox.retry_sync(event.id)
    assert counts_when(connection) == {}


def test_what_expires_after_an_attempt_that_may_have_been_applied_is_undecided(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = served.connect(max_event_age=3600.0)
    client = known_user(connection)
    clock = Clock.stopped(monkeypatch, "time")
    served.server.answer("assign", "wait", 401)
    served.server.lose_next("log", "after")
    client.enqueue_log_sync(LOG)
    while connection.outbox.counts_sync() != {"waiting": 1} or not served.server.count("assign"):
        pass
    clock.let_pass(3600.0)
    served.server.forget_answers()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert served.server.count("log") == 1


class Interrupted(MemoryStore):
    """A store whose process is stopped just after it took its first event, past the lease."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = LEASE_SECONDS

    def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
        event = super().take_event(queue, owner, lease)
        if event is not None:
            self._clock.let_pass(self._seconds)
            self._seconds = 0.0
        return event


@pytest.mark.parametrize(
    ("kind", "sent", "left"), [("log", 1, {}), ("reward", 0, {"undecided": 1})]
)
def test_a_process_that_was_stopped_past_its_lease_leaves_the_event_to_others(
    monkeypatch: pytest.MonkeyPatch, kind: str, sent: int, left: dict[str, int]
) -> None:
    hurry(monkeypatch)
    served = Served(Interrupted(Clock.running(monkeypatch)))
    connection = served.connect()
    _enqueue(connection, kind)
    assert counts_when(connection, *left) == left
    assert served.server.count(kind) == sent
    served.close()


def _enqueue(connection: UpgradeConnection, kind: str) -> Any:
    client = known_user(connection)
    return (
        client.enqueue_log_sync(LOG)
        if kind == "log"
        else client.enqueue_reward_sync("SUCCESS", "id")
    )


def test_a_mark_is_not_retried_once_a_later_one_may_have_been_applied(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 0)
    monkeypatch.setattr(delivery, "QUIET_SECONDS", 60.0)
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("mark", "after")
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    served.server.lose_next("mark", "after")
    decided(client).mark_sync()
    connection.outbox.flush_sync(1.0)
    assert counts_when(connection, "undecided", "waiting") == {"undecided": 1, "waiting": 1}
    (event,) = connection.outbox.events_sync("undecided")
    with pytest.raises(ValueError, match="a later mark of user 'user' was sent"):
        connection.outbox.retry_sync(event.id)


def set_aside(served: Served) -> tuple[UpgradeConnection, UpgradeClient, OutboxEvent]:
    """Have a mark that may have been applied be set aside."""
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("mark", "after")
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    (event,) = connection.outbox.events_sync("undecided")
    return connection, client, event


@both_forms
@pytest.mark.parametrize(
    ("answers", "is_retried"),
    [(None, False), ((500, "lost"), False), ((400, "refused"), True)],
)
def test_a_mark_is_not_retried_once_a_later_one_was_sent_past_the_outbox(
    call: Form, served: Served, answers: tuple[int, str] | None, is_retried: bool
) -> None:
    connection, client, event = set_aside(served)
    if answers is not None:
        status, answer = answers
        served.server.answer("mark", answer, status)
    with nullcontext() if answers is None else pytest.raises(UpgradeApiError):
        call(client.mark_decision_point, "home", "banner", "control", "condition applied")
    with nullcontext() if is_retried else pytest.raises(ValueError, match="a later mark"):
        connection.outbox.retry_sync(event.id)


def test_a_mark_that_is_cancelled_past_the_outbox_counts_as_sent(served: Served) -> None:
    connection, client, event = set_aside(served)
    hold = served.server.hold_next("mark")

    async def scenario() -> None:
        marking = asyncio.ensure_future(
            client.mark_decision_point("home", "banner", "control", "condition applied")
        )
        await hold.wait_async()
        marking.cancel()
        await asyncio.wait([marking])
        hold.release()
        with pytest.raises(ValueError, match="a later mark"):
            await connection.outbox.retry(event.id)
        await connection.aclose()

    asyncio.run(scenario())


def test_a_mark_that_is_cancelled_before_it_is_sent_passes_nothing(served: Served) -> None:
    connection, client, event = set_aside(served)
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()

    async def scenario() -> None:
        marking = asyncio.ensure_future(
            client.mark_decision_point("home", "banner", "control", "condition applied")
        )
        await asyncio.wait([marking], timeout=0.1)
        marking.cancel()
        await asyncio.wait([marking])
        await connection.aclose()

    asyncio.run(scenario())
    hold.release()
    connection = served.connect()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    connection.outbox.retry_sync(event.id)


def test_a_mark_past_an_outbox_whose_store_fails_is_told_and_sent(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(MemoryStore):
        def pass_line(self, queue: str, line: str) -> None:
            raise OSError("no room")

    served.store = Failing()
    client = known_user(served.connect())
    client.mark_decision_point_sync("home", "banner", "control", "condition applied")
    assert served.server.count("mark") == 1
    assert "the outbox's store failed: OSError: no room" in caplog.text


def test_using_a_closed_client_passes_nothing(served: Served) -> None:
    connection, client, event = set_aside(served)
    assignment = client.get_decision_point_assignment_sync("home", "banner")
    assert assignment is not None
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        assignment.mark_decision_point_sync("condition applied")
    connection.outbox.retry_sync(event.id)


def test_a_flush_that_delivers_itself_rests_while_it_has_to_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    class Watched(MemoryStore):
        def seconds_until_due(self, queue: str) -> float | None:
            looks.append(queue)
            return super().seconds_until_due(queue)

    monkeypatch.setattr(deliverer, "MAX_THREADS", 0)
    monkeypatch.setattr(delivery, "PAUSES", (0.1,))
    served.store = Watched()
    connection = served.connect()
    known_user(connection).enqueue_log_sync(LOG)
    served.server.answer("log", "wait", 401)
    assert connection.outbox.flush_sync(0.5) == 1
    assert len(looks) < 100


def test_the_next_page_shows_the_queue_beside_a_mark_that_is_retried(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 0)  # who waits delivers
    connection = served.connect()
    client = known_user(connection)
    served.server.lose_next("mark", "before")
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert decided(client, "single", "queue").condition == "first"
    (event,) = connection.outbox.events_sync("undecided")
    connection.outbox.retry_sync(event.id)
    assert decided(client, "single", "queue").condition == "second"
    assert counts_when(connection) == {}
