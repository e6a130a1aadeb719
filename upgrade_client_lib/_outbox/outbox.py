"""What an application does with its outbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from .._rules import arguments
from .._sync import ASYNC, SYNC, Backend, run_sync
from ..types import OutboxEvent, OutboxEventState
from .event import decode, encode, shown
from .event_queue import STORE_SECONDS, EventQueue


class Outbox:
    """The marks, logs and rewards that were handed over and wait for delivery.

    It is ``connection.outbox`` of a connection that has one. Methods have an async form and a
    ``_sync`` form. They concern the events for the connection's server, of all processes that share
    the store. Where the store fails, they raise what it raises. Outboxes are equal where they are
    for one server and have one store object.

    >>> connection.outbox.counts_sync()
    {'waiting': 3, 'undecided': 1}
    """

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outbox) and self._queue.key == other._queue.key

    def __hash__(self) -> int:
        return hash(self._queue.key)

    def __repr__(self) -> str:
        return f"Outbox({self._queue.host_url!r})"

    async def counts(self) -> dict[str, int]:
        """Return how many events there are of each state that there is one of."""
        return await self._counts(ASYNC)

    def counts_sync(self) -> dict[str, int]:
        """Return, blocking, how many events there are of each state that there is one of."""
        return run_sync(self._counts(SYNC))

    async def events(
        self, state: OutboxEventState | str, *, limit: int = 1_000
    ) -> list[OutboxEvent]:
        """Return the events of a state, the oldest first, ``limit`` at the most.

        >>> for event in await connection.outbox.events("undecided"):
        ...     print(event.id, event.user_id, event.problem)
        """
        return await self._events(ASYNC, state, limit)

    def events_sync(
        self, state: OutboxEventState | str, *, limit: int = 1_000
    ) -> list[OutboxEvent]:
        """Return, blocking, the events of a state. Arguments are those of :meth:`events`."""
        return run_sync(self._events(SYNC, state, limit))

    async def retry(self, event_id: str) -> None:
        """Have an event that was set aside wait for delivery again, before the user's later ones.

        A ``ValueError`` where it is not one that was set aside, or a later mark of the user was
        sent meanwhile, which it would now come after, or a later event is just being sent. What is
        ``UNDECIDED`` may be counted twice.
        """
        await self._retry(ASYNC, event_id)

    def retry_sync(self, event_id: str) -> None:
        """Have an event wait for delivery again, blocking. Errors are those of :meth:`retry`."""
        run_sync(self._retry(SYNC, event_id))

    async def discard(self, event_id: str) -> None:
        """Remove an event, which is not sent then.

        A ``ValueError`` where there is none of this id, or it is being sent.
        """
        await self._discard(ASYNC, event_id)

    def discard_sync(self, event_id: str) -> None:
        """Remove an event, blocking. Errors are those of :meth:`discard`."""
        run_sync(self._discard(SYNC, event_id))

    async def flush(self, timeout: float) -> int:
        """Wait until everything was delivered, for ``timeout`` seconds; return how many are left.

        It returns earlier where the rest cannot be delivered in time. What was set aside does not
        count.
        """
        seconds = arguments.seconds("timeout", timeout)
        given_up = threading.Event()
        try:
            most = seconds + STORE_SECONDS
            await ASYNC.call_either(self._queue, "flush", most, seconds, given_up)
        finally:
            given_up.set()  # where this was cancelled: the event loop ends once its threads do
        return await self._left(ASYNC)

    def flush_sync(self, timeout: float) -> int:
        """Wait, blocking, until everything was delivered; see :meth:`flush`."""
        self._queue.flush(arguments.seconds("timeout", timeout))
        return run_sync(self._left(SYNC))

    async def _counts(self, backend: Backend) -> dict[str, int]:
        counts: Mapping[str, int] = await self._queue.ask(backend, "count_events")
        return dict(counts)

    async def _left(self, backend: Backend) -> int:
        counts = await self._counts(backend)
        return counts.get("waiting", 0) + counts.get("sending", 0)

    async def _events(
        self, backend: Backend, state: OutboxEventState | str, limit: int
    ) -> list[OutboxEvent]:
        try:
            checked = OutboxEventState(state)
        except ValueError:
            known = ", ".join(repr(str(one)) for one in OutboxEventState)
            raise ValueError(f"state must be one of {known}, not {state!r}") from None
        most = arguments.positive("limit", limit)
        stored = await self._queue.ask(backend, "list_events", str(checked), most)
        return [event for event in map(shown, stored) if event is not None]

    async def _retry(self, backend: Backend, event_id: str) -> None:
        checked = arguments.nonempty("event_id", event_id)
        stored = await self._queue.ask(backend, "get_event", checked)
        event = None if stored is None else decode(stored.data)
        if event is None:
            raise ValueError(f"the outbox has no event {event_id!r}")
        fresh = encode(event.begun_again(time.time()))
        if not await self._queue.ask(backend, "reopen_event", checked, fresh):
            raise ValueError(
                f"event {event_id!r} cannot be retried: it waits already, or a later mark of user"
                f" {event.user_id!r} was sent meanwhile (then discard it, if it need not be sent),"
                " or a later event is just being sent"
            )
        await self._queue.drop_answers(backend, event.user_id)
        self._queue.try_now()

    async def _discard(self, backend: Backend, event_id: str) -> None:
        checked = arguments.nonempty("event_id", event_id)
        stored = await self._queue.ask(backend, "get_event", checked)
        if stored is None or not await self._queue.ask(backend, "remove_event", checked):
            raise ValueError(f"there is no event {event_id!r}, or it is just being sent")
        await self._queue.drop_answers(backend, stored.line)
