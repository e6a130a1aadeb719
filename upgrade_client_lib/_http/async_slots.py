"""How many requests of one event loop may be in flight at once: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from .slots import Lease, Leases, PoolIsFullError


class AsyncSlots:
    """Slots for the tasks of one event loop."""

    def __init__(self, size: int) -> None:
        self._leases = Leases(size)
        self._queue: deque[asyncio.Future[Lease]] = deque()

    async def acquire(self, seconds: float) -> Lease:
        """Return a lease; a ``PoolIsFullError`` after ``seconds``."""
        self._grant()
        if not self._queue and not self._leases.is_full():
            return self._leases.add()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Lease] = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(max(seconds, 0.0), self._give_up, turn)
        try:
            return await turn
        except BaseException:
            if _is_granted(turn):  # this task was cancelled as its turn came
                self._leases.remove(turn.result())
            raise
        finally:
            timer.cancel()
            with suppress(ValueError):  # one whose turn came is in the queue no longer
                self._queue.remove(turn)
            self._grant()

    def release(self, lease: Lease) -> None:
        """End a lease; the first task of the queue has it."""
        self._leases.remove(lease)
        self._grant()

    def transports(self) -> list[Any]:
        """Return the transports in use."""
        return self._leases.transports()

    def _grant(self) -> None:
        while self._queue and not self._leases.is_full():
            turn = self._queue.popleft()
            # A loop that was closed with calls in flight wakes nobody.
            if not turn.done() and not turn.get_loop().is_closed():
                turn.set_result(self._leases.add())

    def _give_up(self, turn: asyncio.Future[Lease]) -> None:
        if not turn.done():
            turn.set_exception(PoolIsFullError(self._leases.size))


def _is_granted(turn: asyncio.Future[Lease]) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None
