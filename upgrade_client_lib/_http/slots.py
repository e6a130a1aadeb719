"""How many requests may be in flight at once: first come, first served.

Slots are counted from the leases that exist, not by counting up and down: a lease that was dropped
anywhere, by an exception of a signal handler for example, is a free slot again.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any

from .._locks import held

RECHECK_SECONDS = 0.05
"""How soon a waiting thread notices a lease that was dropped without being released."""


class PoolIsFullError(TimeoutError):
    """No slot came free in time; nothing was sent."""

    def __init__(self, size: int) -> None:
        super().__init__(f"all {size} are in use")


class Lease:
    """The right to have one request in flight, and its transport.

    It ends when it is released or dropped.
    """

    __slots__ = ("__weakref__", "transport")

    def __init__(self) -> None:
        self.transport: Any = None


class Leases:
    """The leases that exist, as many as ``size``."""

    def __init__(self, size: int) -> None:
        self.size = size
        # No callback removes those that were dropped: one that is interrupted would never run.
        self._leases: set[weakref.ref[Lease]] = set()

    def is_full(self) -> bool:
        if len(self._leases) >= self.size:
            self._leases = {lease for lease in tuple(self._leases) if lease() is not None}
        return len(self._leases) >= self.size

    def add(self) -> Lease:
        lease = Lease()
        self._leases.add(weakref.ref(lease))
        return lease

    def remove(self, lease: Lease) -> None:
        self._leases.discard(weakref.ref(lease))

    def transports(self) -> list[Any]:
        """Return the transports in use."""
        leases = [lease() for lease in tuple(self._leases)]
        return [
            lease.transport for lease in leases if lease is not None and lease.transport is not None
        ]


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
        self._lock = threading.RLock()
        self._leases = Leases(size)
        self._queue: deque[weakref.ref[_Waiter]] = deque()

    def acquire(self, seconds: float) -> Lease:
        """Return a lease; a ``PoolIsFullError`` after ``seconds``."""
        with held(self._lock):
            if self._first() is None and not self._leases.is_full():
                return self._leases.add()
            waiter = _Waiter()
            entry = weakref.ref(waiter)
            self._queue.append(entry)
        deadline = time.monotonic() + seconds
        try:
            while True:
                left = deadline - time.monotonic()
                waiter.wake.acquire(timeout=max(min(left, RECHECK_SECONDS), 0.0))
                with held(self._lock):
                    if self._first() is waiter and not self._leases.is_full():
                        return self._leases.add()
                if left <= 0:
                    raise PoolIsFullError(self._leases.size)
        finally:
            with held(self._lock):
                self._queue.remove(entry)
                self._wake_first()

    def release(self, lease: Lease) -> None:
        """End a lease; the first thread of the queue is woken."""
        with held(self._lock):
            self._leases.remove(lease)
            self._wake_first()

    def transports(self) -> list[Any]:
        """Return the transports in use."""
        with held(self._lock):
            return self._leases.transports()

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
        if waiter is not None and not self._leases.is_full() and waiter.wake.locked():
            waiter.wake.release()
