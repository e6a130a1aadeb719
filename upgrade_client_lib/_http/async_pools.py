"""Idle connections of event loops, each of which has its own; see ``pools.py``."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Callable

from .async_slots import AsyncSlots
from .idle import IdleTransports


class AsyncPool:
    """The connections of one event loop; ``make`` returns a new transport for one of them.

    The loop keeps the pool, by a timer, as long as there are idle connections to close; so a loop
    that is dropped takes its pool with it. A loop that shuts down closes them at once.
    """

    def __init__(self, make: Callable[[], Any], size: int, keepalive_expiry: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._keepalive_expiry = keepalive_expiry
        self._slots = AsyncSlots(size)
        self._idle = IdleTransports(make, size, keepalive_expiry)
        self._discarding: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._shutdown_signal: AsyncGenerator[None, None] | None = None
        self._closed = False

    @asynccontextmanager
    async def transport(self, seconds: float, max_idle: float) -> AsyncGenerator[Any, None]:
        """Lend a transport to one request, if a slot is free within ``seconds``.

        ``max_idle`` is for how many seconds its connection may have been idle.
        """
        if self._shutdown_signal is None:
            self._shutdown_signal = await _shutdown_signal(weakref.ref(self))
        lease = await self._slots.acquire(seconds)
        try:
            lease.transport = transport = self._idle.take(max_idle)
            try:
                yield transport
            except BaseException:
                # httpcore closed its connection, unless it was cancelled as it did so, or it was
                # still making it.
                if transport.is_open() and _is_running(self.loop):
                    self._discard(transport)
                raise
            lease.transport = None
            if self._closed or transport.is_out_of_step():
                self._discard(transport)
            else:
                self._idle.put(transport)
                self._close_expired()
        finally:
            self._slots.release(lease)

    async def aclose(self) -> None:
        """Close all connections, those in use too; called in their own loop."""
        self._start_closing()
        if self._discarding:
            await asyncio.wait(self._discarding)

    def close_soon(self) -> None:
        """Have the loop close the connections; may be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self._start_closing)

    def _start_closing(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        in_use = self._slots.transports()
        for transport in in_use:
            transport.abort()
        for transport in [*self._idle.take_all(), *in_use]:
            self._discard(transport)

    def _close_expired(self) -> None:
        """Close connections that were idle for long; again later, while there are others."""
        for transport in self._idle.take_expired():
            self._discard(transport)
        if self._timer is None and self._idle:
            self._timer = self.loop.call_later(self._keepalive_expiry, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._close_expired()

    def _discard(self, transport: Any) -> None:
        """Close a transport in a task of its own, which no cancellation of a caller reaches."""
        task = self.loop.create_task(_aclose(transport))
        self._discarding.add(task)

        def discarded(task: asyncio.Task[None]) -> None:
            self._discarding.remove(task)
            if task.cancelled():  # by a loop that shuts down, perhaps before it began
                self._discard(transport)

        task.add_done_callback(discarded)


class BorrowedAsyncPool:
    """A user's own transport, for one event loop; closing it is theirs."""

    def __init__(self, transport: Any, size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._slots = AsyncSlots(size)
        self._transport = transport

    @asynccontextmanager
    async def transport(self, seconds: float, max_idle: float) -> AsyncGenerator[Any, None]:
        """Lend the transport to one request, if a slot is free within ``seconds``."""
        lease = await self._slots.acquire(seconds)
        try:
            yield self._transport
        finally:
            self._slots.release(lease)

    async def aclose(self) -> None:
        """Do nothing."""

    def close_soon(self) -> None:
        """Do nothing."""


async def _shutdown_signal(pool: weakref.ref[AsyncPool]) -> AsyncGenerator[None, None]:
    """Return what has a pool closed when its event loop shuts down, for as long as it is kept.

    A loop that shuts down closes the asynchronous generators that were begun in it.
    """
    signal = _closing_at_the_end(pool)
    finalizer = sys.get_asyncgen_hooks().finalizer
    # A loop would close in a task of its own, with a warning if it is gone, what was only dropped.
    sys.set_asyncgen_hooks(finalizer=None)
    try:
        begun = signal.__anext__()
    finally:
        sys.set_asyncgen_hooks(finalizer=finalizer)
    await begun
    return signal


async def _closing_at_the_end(pool: weakref.ref[AsyncPool]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        closing = pool()
        if closing is not None:
            await closing.aclose()


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread runs in the loop, so that something can be awaited in it."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _aclose(transport: Any) -> None:
    with suppress(Exception):  # an interrupted request may have left it in any state
        await transport.aclose()
