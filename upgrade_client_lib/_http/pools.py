"""Pools of connections, for threads and for one event loop, and how many requests use each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Callable

import anyio


class PoolIsFullError(TimeoutError):
    """No slot came free in time; nothing was sent."""


class SyncPool:
    """An httpx transport for all threads. One that is not ``owned`` is closed by its owner."""

    def __init__(self, transport: Any, slots: int, *, owned: bool) -> None:
        self.transport = transport
        self.owned = owned
        self._size = slots
        # Threads must not wait in httpcore's pool: it closes sockets that others of them are using.
        self._slots = threading.Semaphore(slots)

    def acquire(self, seconds: float) -> None:
        """Take a slot for one request; a ``PoolIsFullError`` after ``seconds``."""
        if not self._slots.acquire(timeout=seconds):
            raise PoolIsFullError(f"all {self._size} are in use")

    def release(self) -> None:
        """Give the slot back."""
        self._slots.release()

    def close(self) -> None:
        """Close the sockets; may be called twice."""
        if self.owned:
            self.transport.close()


class AsyncPool:
    """An httpx transport for one event loop, closed when the loop shuts down.

    A transport that is not ``owned`` is closed by its owner.
    """

    def __init__(
        self,
        transport: Any,
        slots: int,
        *,
        owned: bool,
        on_close: Callable[[AsyncPool], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.owned = owned
        self._on_close = on_close
        self._size = slots
        # httpcore searches its pool for each request: more of them at a time make each one slower.
        # Not asyncio's semaphore: Python 3.9's hangs when a task is cancelled as it gets a slot.
        self._slots = anyio.Semaphore(slots)
        self._shutdown_signal: AsyncIterator[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def acquire(self, seconds: float) -> None:
        """Take a slot for one request; a ``PoolIsFullError`` after ``seconds``."""
        if self._shutdown_signal is None and self.owned:
            # An event loop that shuts down closes its asynchronous generators.
            self._shutdown_signal = self._closed_with_the_loop()
            await self._shutdown_signal.__anext__()
        try:
            self._slots.acquire_nowait()
            return
        except anyio.WouldBlock:
            pass
        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation now and then.
        with anyio.move_on_after(seconds):
            await self._slots.acquire()
            return
        raise PoolIsFullError(f"all {self._size} are in use")

    def release(self) -> None:
        """Give the slot back."""
        self._slots.release()

    async def aclose(self) -> None:
        """Close the sockets; called in their own loop."""
        if self.owned:
            await self.transport.aclose()

    def close_soon(self) -> None:
        """Have the loop close the sockets; may be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self._start_closing)

    def _start_closing(self) -> None:
        self._closing = self.loop.create_task(self.aclose())

    async def _closed_with_the_loop(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._on_close(self)
            await self.aclose()
