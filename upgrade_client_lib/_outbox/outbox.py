"""What an application does with its outbox."""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

from .._rules import arguments
from .._server import Server
from .._sync import ASYNC, SYNC, Backend, run_sync
from ..exceptions import OutboxError, OutboxFullError, RequestTimeoutError, UpgradeApiError
from ..stores.event_protocol import EventStore, StoredEvent
from ..types import OutboxEvent, OutboxEventState
from .deliverer import Deliverer
from .delivery import Delivery, DropAnswers
from .event import Event, decode, encode, shown

_logger = logging.getLogger("upgrade_client_lib")

MAX_EVENTS = 100_000
MAX_EVENT_AGE = 7 * 24 * 3600.0
FLUSH_AT_EXIT = 2.0

STORE_SECONDS = 5.0
"""How long a store may take, in an event loop."""

FIRST_LOOK_SECONDS = 0.002
LONGEST_LOOK_SECONDS = 0.1
"""How often it is looked whether a user's events were delivered."""


_METHODS = [name for name in vars(EventStore) if not name.startswith("_")]


class Answers(Protocol):
    """What is cached of the answers for a user."""

    def clear(self) -> None: ...


class Outbox:
    """The marks, logs and rewards that were handed over and wait for delivery.

    It is ``connection.outbox`` of a connection that has one. Methods have an async form and a
    ``_sync`` form. They concern the events for the connection's server, of all processes that share
    the store. Where the store fails, they raise what it raises.

    >>> connection.outbox.counts_sync()
    {'waiting': 3, 'undecided': 1}
    """

    def __init__(
        self,
        server: Server,
        store: EventStore,
        drop_answers: DropAnswers,
        max_events: int,
        max_event_age: float,
        flush_at_exit: float,
    ) -> None:
        for method in _METHODS:
            if not hasattr(store, method):
                raise TypeError(
                    f"outbox must be a store that keeps events, which {type(store).__name__} does"
                    f" not: it has no {method}()"
                )
        self._store = store
        self._queue = server.host_url
        self._max_events = max_events
        self._max_event_age = max_event_age
        self._flush_at_exit = flush_at_exit
        self._is_closed = False
        self._drop_answers = drop_answers
        self._watched: weakref.WeakKeyDictionary[Answers, str] = weakref.WeakKeyDictionary()

        delivery = Delivery(server, store, max_event_age, self.drop_answers)
        self._deliverer = Deliverer(delivery, server.hooks)
        _outboxes.add(self)

    def __repr__(self) -> str:
        return f"Outbox({self._queue!r})"

    # ---- For the application ----

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
        sent meanwhile, which it would now come after. What is ``UNDECIDED`` may be counted twice.
        """
        await self._retry(ASYNC, event_id)

    def retry_sync(self, event_id: str) -> None:
        """Have an event wait for delivery again, blocking. Errors are those of :meth:`retry`."""
        run_sync(self._retry(SYNC, event_id))

    async def discard(self, event_id: str) -> None:
        """Remove an event, which is not sent then. A ``ValueError`` while it is being sent."""
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
        await ASYNC.call_either(self._deliverer, "flush", seconds + STORE_SECONDS, seconds)
        return await self._left(ASYNC)

    def flush_sync(self, timeout: float) -> int:
        """Wait, blocking, until everything was delivered; see :meth:`flush`."""
        self._deliverer.flush(arguments.seconds("timeout", timeout))
        return run_sync(self._left(SYNC))

    # ---- For the library ----

    def watch(self, user_id: str, answers: Answers) -> None:
        """Have a user's cached answers cleared once one of their marks is set aside."""
        self._watched[answers] = user_id

    async def drop_answers(self, backend: Backend, user_id: str) -> None:
        """Have all clients ask anew what the server answers a user."""
        for answers, owner in list(self._watched.items()):
            if owner == user_id:
                answers.clear()
        await self._drop_answers(backend, user_id)

    async def add(
        self, backend: Backend, event: Event, event_id: str = "", *, remember: bool = False
    ) -> OutboxEvent:
        """Hand an event over; an ``OutboxError`` where that fails.

        With an ``event_id`` that was added before, and is remembered, nothing is added.
        """
        if self._is_closed:
            raise RuntimeError("this connection is closed")
        event_id = event_id or os.urandom(16).hex()
        data = encode(event)
        kept = self._max_event_age if remember else 0.0
        named = {"max_events": self._max_events, "remember": kept}
        added = ""
        for is_last in (False, True):
            try:
                added = await backend.call_either(
                    self._store,
                    "add_event",
                    STORE_SECONDS,
                    self._queue,
                    event_id,
                    event.user_id,
                    data,
                    **named,
                )
                break
            except Exception as error:  # the first may have been stored: its id says so
                if is_last:
                    raise OutboxError(
                        f"the {event.kind} was not handed over, since the outbox's store failed:"
                        f" {type(error).__name__}: {error}"
                    ) from error
        if added == "full":
            raise OutboxFullError(
                f"the {event.kind} was not handed over: the outbox holds {self._max_events} events,"
                " which is its max_events; see to what was set aside, or to the server"
            )
        self._deliverer.wake()
        told = shown(StoredEvent(event_id, event.user_id, 0, "waiting", data))
        assert told is not None
        return told

    async def standing(self, backend: Backend, user_id: str) -> tuple[tuple[str, Event], ...]:
        """Return a user's events that wait or are being sent, each with its state, in order."""
        stored = await self._ask(backend, "line_events", user_id)
        events = [(one.state, decode(one.data)) for one in stored]
        return tuple((state, event) for state, event in events if event is not None)

    async def deliver_first(self, backend: Backend, user_id: str, seconds: float) -> float:
        """Have a user's events delivered before something else is sent; return the seconds left.

        An ``UpgradeApiError`` where that takes too long, or the server cannot be used.
        """
        deadline = time.monotonic() + seconds
        pause = FIRST_LOOK_SECONDS
        is_first = True
        while True:
            try:
                standing = await self._ask(backend, "line_events", user_id)
            except Exception as error:  # what is sent now may overtake what waits
                _logger.warning("the outbox's store failed: %s: %s", type(error).__name__, error)
                standing = ()
            left = deadline - time.monotonic()
            if not standing:
                return left
            if is_first:
                is_first = False
                self._deliverer.try_now()
            else:
                pausing = self._deliverer.pausing_error
                if left <= pause or pausing is not None:
                    raise self._still_standing(len(standing), pausing)
            await backend.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)

    def close(self) -> None:
        """Deliver what can be delivered in ``flush_at_exit`` seconds, and stop."""
        deadline = time.monotonic() + self._flush_at_exit
        self._is_closed = True
        self._deliverer.flush(self._flush_at_exit)
        self._deliverer.stop(max(deadline - time.monotonic(), 0.1))

    def flush_at_exit(self, waited: float) -> None:
        """Deliver what can be delivered, if the process waited for others so many seconds."""
        if not self._is_closed:
            self._deliverer.flush(max(self._flush_at_exit - waited, 0.0))

    def _still_standing(self, number: int, error: UpgradeApiError | None) -> UpgradeApiError:
        said = f"not sent: {number} events of this user wait in the outbox, and come first"
        if error is None:
            return RequestTimeoutError(said, attempts=0)
        return type(error)(f"{said}: {error.message}", attempts=0)

    async def _counts(self, backend: Backend) -> dict[str, int]:
        counts: Mapping[str, int] = await self._ask(backend, "count_events")
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
        stored = await self._ask(backend, "list_events", str(checked), most)
        return [event for event in map(shown, stored) if event is not None]

    async def _retry(self, backend: Backend, event_id: str) -> None:
        checked = arguments.nonempty("event_id", event_id)
        stored = await self._ask(backend, "get_event", checked)
        event = None if stored is None else decode(stored.data)
        if event is None:
            raise ValueError(f"the outbox has no event {event_id!r}")
        fresh = encode(event.begun_again(time.time()))
        if not await self._ask(backend, "reopen_event", checked, fresh):
            raise ValueError(
                f"event {event_id!r} cannot be retried: it waits already, or a later mark of user"
                f" {event.user_id!r} was sent meanwhile; discard it, if it need not be sent"
            )
        self._deliverer.try_now()

    async def _discard(self, backend: Backend, event_id: str) -> None:
        checked = arguments.nonempty("event_id", event_id)
        stored = await self._ask(backend, "get_event", checked)
        if not await self._ask(backend, "remove_event", checked):
            raise ValueError(f"there is no event {event_id!r}, or it is just being sent")
        if stored is not None:
            await self.drop_answers(backend, stored.line)

    async def _ask(self, backend: Backend, method: str, *asked: object) -> Any:
        return await backend.call_either(self._store, method, STORE_SECONDS, self._queue, *asked)


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _flush_all() -> None:
    """At exit, before those handlers run that were registered earlier."""
    began = time.monotonic()
    for outbox in list(_outboxes):
        outbox.flush_at_exit(time.monotonic() - began)


atexit.register(_flush_all)
