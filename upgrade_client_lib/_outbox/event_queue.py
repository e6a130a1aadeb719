"""The events for one server: handed over here, and delivered beside the calls of this process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable
from functools import partial
from multiprocessing import util
from typing import Any, Callable, Protocol

from .._fork import call_after_fork_on
from .._locks import held
from .._rules import arguments
from .._server import Server
from .._sync import Backend
from ..exceptions import OutboxError, OutboxFullError, RequestTimeoutError, UpgradeApiError
from ..stores.event_protocol import EventStore
from ..types import OutboxEvent, OutboxEventState
from .deliverer import Deliverer
from .delivery import Delivery, DropAnswers
from .event import Event, decode, describe, encode

_logger = logging.getLogger("upgrade_client_lib")

STORE_SECONDS = 5.0
"""How long a store may take, in an event loop."""

OVERTAKE_SECONDS = 0.5
"""How long a mark that was sent waits for a store, in an event loop."""

FIRST_LOOK_SECONDS = 0.002
LONGEST_LOOK_SECONDS = 0.1
"""How often it is looked whether a user's events were delivered."""


_METHODS = [name for name in vars(EventStore) if not name.startswith("_")]


class Answers(Protocol):
    """What is cached of the answers for a user."""

    def clear(self) -> None: ...


class EventQueue:
    """The events for one server, which all processes share that share the store."""

    def __init__(
        self,
        server: Server,
        store: EventStore,
        drop_answers: DropAnswers,
        max_events: int,
        max_event_age: float,
        flush_at_exit: float,
    ) -> None:
        arguments.store("outbox", store, "a store that keeps events", _METHODS)
        if not getattr(store, "_serves_threads", True):
            raise TypeError(
                "outbox must serve threads, which deliver, and this store has an asyncio client,"
                " which serves async calls alone: make it from an address or a redis.Redis"
            )
        self._store = store
        self._queue = server.host_url
        self._max_events = max_events
        self._max_event_age = max_event_age
        self._flush_at_exit = flush_at_exit
        self._is_closed = False
        self._drop_answers = drop_answers
        self._watched: weakref.WeakKeyDictionary[Answers, str] = weakref.WeakKeyDictionary()
        self._replace_lock()
        call_after_fork_on(self, EventQueue._replace_lock)
        delivery = Delivery(server, store, max_event_age, self.drop_answers)
        self._deliverer = Deliverer(delivery, server.hooks)
        self._close_idle = server.close_idle
        server.close_when_dropped()  # its threads connect by themselves
        _queues.add(self)

    def _replace_lock(self) -> None:
        self._lock = threading.RLock()  # in a child process: a thread of the parent may have it

    @property
    def host_url(self) -> str:
        """The server's address."""
        return self._queue

    @property
    def key(self) -> tuple[int, str]:
        """What is the same for queues of the same events, as far as this process can tell."""
        return id(self._store), self._queue

    @property
    def has_begun(self) -> bool:
        """Whether this process delivers events."""
        return self._deliverer.has_threads

    def watch(self, user_id: str, answers: Answers) -> None:
        """Have a user's cached answers cleared once one of their marks is set aside."""
        with held(self._lock):
            self._watched[answers] = user_id

    async def drop_answers(self, backend: Backend, user_id: str) -> None:
        """Have all clients ask anew what the server answers a user."""
        with held(self._lock):
            watched = [known for known, owner in self._watched.items() if owner == user_id]
        for answers in watched:
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
        add = partial(
            backend.call_either,
            self._store,
            "add_event",
            STORE_SECONDS,
            self._queue,
            event_id,
            event.user_id,
            data,
            **named,
        )
        try:
            result = await _tried_twice(add)
        except Exception as error:
            raise OutboxError(
                f"the {event.kind} was not handed over, since the outbox's store failed:"
                f" {type(error).__name__}: {error}"
            ) from error
        finally:
            self._deliverer.wake()  # also where it failed or was cancelled: it may have been kept
        if result == "full":
            raise OutboxFullError(
                f"the {event.kind} was not handed over: the outbox holds {self._max_events} events,"
                " which is its max_events; see to what was set aside, or to the server"
            )
        return describe(event, event_id, OutboxEventState.WAITING)

    async def standing(
        self, backend: Backend, user_id: str, deadline: float
    ) -> tuple[tuple[str, Event], ...]:
        """Return a user's events that wait or are being sent, each with its state, in order."""
        stored = await self._line_events(backend, user_id, deadline)
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
                standing = await self._line_events(backend, user_id, deadline)
            except Exception as error:  # what is sent now may overtake what waits
                _logger.warning("the outbox's store failed: %s: %s", type(error).__name__, error)
                if time.monotonic() >= deadline:
                    raise RequestTimeoutError(
                        "not sent: events of this user may wait in the outbox, and come first; its"
                        " store did not tell in time",
                        attempts=0,
                    ) from error
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

    async def overtake(self, backend: Backend, user_id: str) -> None:
        """Note that a mark was sent past the outbox: no earlier event is to come after it."""
        try:
            # In an event loop, the caller waits for a moment; a thread goes on.
            await backend.call_either(
                self._store, "pass_line", OVERTAKE_SECONDS, self._queue, user_id
            )
        except Exception as error:
            _logger.warning("the outbox's store failed: %s: %s", type(error).__name__, error)

    def flush(self, seconds: float, given_up: threading.Event | None = None) -> None:
        """Wait until everything was delivered, or cannot be in time, or ``given_up`` is set."""
        self._deliverer.flush(seconds, given_up)

    def try_now(self) -> None:
        """End a pause: the server is tried again at once."""
        self._deliverer.try_now()

    def close(self) -> None:
        """Deliver what can be delivered in ``flush_at_exit`` seconds, and stop."""
        deadline = time.monotonic() + self._flush_at_exit
        self._is_closed = True
        if self._flush_at_exit:  # else nothing is begun that it would not wait for
            self._deliverer.flush(self._flush_at_exit)
        self._deliverer.stop(max(deadline - time.monotonic(), 0.1))

    def flush_at_exit(self, waited: float) -> None:
        """Deliver what can be delivered, if the process waited for others so many seconds."""
        if self._flush_at_exit and not self._is_closed:
            self._deliverer.flush(max(self._flush_at_exit - waited, 0.0))
        self._close_idle()  # later handlers may hand over still, and connect again

    def _still_standing(self, number: int, error: UpgradeApiError | None) -> UpgradeApiError:
        waiting = "an event" if number == 1 else f"{number} events"
        said = f"not sent: the outbox has {waiting} of this user to send first"
        if error is None:
            return RequestTimeoutError(said, attempts=0)
        return type(error)(f"{said}: {error.message}", attempts=0)

    async def _line_events(self, backend: Backend, user_id: str, deadline: float) -> Any:
        """Return what stands in a user's line; in an event loop, in time for the call."""
        left = max(deadline - time.monotonic(), LONGEST_LOOK_SECONDS)
        seconds = min(left, STORE_SECONDS)
        return await backend.call_either(self._store, "line_events", seconds, self._queue, user_id)

    async def ask(self, backend: Backend, method: str, *asked: object) -> Any:
        """Return what a method of the store returns."""
        return await backend.call_either(self._store, method, STORE_SECONDS, self._queue, *asked)


async def _tried_twice(add: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a store did with an event. One that failed may have kept it: its id says so."""
    try:
        return await add()
    except Exception:
        return await add()


_queues: weakref.WeakSet[EventQueue] = weakref.WeakSet()
_seconds_waited = 0.0


def _flush_all(*, only_begun: bool = False) -> None:
    """At exit, before those handlers run that were registered earlier."""
    global _seconds_waited
    for queue in list(_queues):
        if only_begun and not queue.has_begun:
            continue
        began = time.monotonic()
        queue.flush_at_exit(_seconds_waited)
        _seconds_waited += time.monotonic() - began


def _flush_at_end_of_child(_: object = None) -> None:
    """In a child of multiprocessing, which may end without the handlers of atexit.

    It waits for what it began to deliver, not for what others share with it.
    """
    util.Finalize(None, _flush_all, kwargs={"only_begun": True}, exitpriority=0)


atexit.register(_flush_all)
util.register_after_fork(_queues, _flush_at_end_of_child)
_flush_at_end_of_child()  # this may be such a child already
