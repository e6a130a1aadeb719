"""How many requests may be in flight at once: first come, first served.

Slots are counted from the leases that exist, not by counting up and down: a lease that was dropped
anywhere, by an exception of a signal handler for example, is a free slot again.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from typing import Any

RECHECK_SECONDS = 0.05
"""How soon a waiting thread notices a lease that was dropped without being released."""


class PoolIsFullError(TimeoutError):
    """No slot came free in time; nothing was sent."""


class Lease:
    """The right to have one request in flight, and its transport.

    It ends when it is released or dropped.
    """

    __slots__ = ("__weakref__", "transport")

    def __init__(self) -> None:
        self.transport: Any = None


class _Waiter:
    """A thread in the queue; ``wake`` is released when it may be its turn."""

    __slots__ = ("__weakref__", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()


class SyncSlots:
    """Slots for threads.

    The queue refers to its waiters weakly, so one whose thread was interrupted leaves it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.RLock()
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._queue: deque[weakref.ref[_Waiter]] = deque()

    def acquire(self, seconds: float) -> Lease:
        """Return a lease; a ``PoolIsFullError`` after ``seconds``."""
        with self._lock:
            if self._first() is None and len(self._leases) < self._size:
                return self._new_lease()
            waiter = _Waiter()
            entry = weakref.ref(waiter)
            self._queue.append(entry)
        deadline = time.monotonic() + seconds
        try:
            while True:
                left = deadline - time.monotonic()
                waiter.wake.acquire(timeout=max(min(left, RECHECK_SECONDS), 0.0))
                with self._lock:
                    if self._first() is waiter and len(self._leases) < self._size:
                        return self._new_lease()
                if left <= 0:
                    raise PoolIsFullError(f"all {self._size} are in use")
        finally:
            with self._lock:
                self._queue.remove(entry)
                self._wake_first()

    def release(self, lease: Lease) -> None:
        """End a lease; the first thread of the queue is woken."""
        with self._lock:
            self._leases.discard(lease)
            self._wake_first()

    def transports(self) -> list[Any]:
        """Return the transports in use."""
        with self._lock:
            return [lease.transport for lease in self._leases if lease.transport is not None]

    def _new_lease(self) -> Lease:
        lease = Lease()
        self._leases.add(lease)
        return lease

    def _first(self) -> _Waiter | None:
        """Return the waiter whose turn it is; called under the lock."""
        while self._queue:
            waiter = self._queue[0]()
            if waiter is not None:
                return waiter
            self._queue.popleft()
        return None

    def _wake_first(self) -> None:
        """Wake the first waiter if there is a slot for it; called under the lock."""
        waiter = self._first()
        if waiter is not None and len(self._leases) < self._size and waiter.wake.locked():
            waiter.wake.release()


class AsyncSlots:
    """Slots for the tasks of one event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._queue: deque[asyncio.Future[Lease]] = deque()

    async def acquire(self, seconds: float) -> Lease:
        """Return a lease; a ``PoolIsFullError`` after ``seconds``."""
        self._grant()
        if not self._queue and len(self._leases) < self._size:
            return self._new_lease()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Lease] = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(max(seconds, 0.0), self._give_up, turn)
        try:
            return await turn
        finally:
            # If this task was cancelled as its turn came, the lease is dropped with the future.
            timer.cancel()
            if turn in self._queue:
                self._queue.remove(turn)
            del turn
            self._grant()

    def release(self, lease: Lease) -> None:
        """End a lease; the first task of the queue has it."""
        self._leases.discard(lease)
        self._grant()

    def transports(self) -> list[Any]:
        """Return the transports in use."""
        return [lease.transport for lease in self._leases if lease.transport is not None]

    def _new_lease(self) -> Lease:
        lease = Lease()
        self._leases.add(lease)
        return lease

    def _grant(self) -> None:
        while self._queue and len(self._leases) < self._size:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(self._new_lease())

    def _give_up(self, turn: asyncio.Future[Lease]) -> None:
        if not turn.done():
            turn.set_exception(PoolIsFullError(f"all {self._size} are in use"))
