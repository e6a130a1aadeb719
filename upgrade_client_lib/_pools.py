"""The sockets of threads, and those of one event loop: how many requests use them at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Callable

import anyio


class PoolIsFullError(TimeoutError):
    """No socket came free in time; nothing was sent."""


class BlockingPool:
    """An httpx transport for all threads. One that is not ``owned`` is somebody else's to close."""

    def __init__(self, transport: Any, in_flight: int, *, owned: bool) -> None:
        self.transport = transport
        self.owned = owned
        self._in_flight = in_flight
        # Where threads queue for httpcore's pool, it closes sockets that others of them are using.
        self._slots = threading.Semaphore(in_flight)

    def acquire(self, seconds: float) -> None:
        """Take the right to have one request in flight; a ``PoolIsFullError`` after ``seconds``."""
        if not self._slots.acquire(timeout=seconds):
            raise PoolIsFullError(f"all {self._in_flight} are in use")

    def release(self) -> None:
        """Give the right back."""
        self._slots.release()

    def close(self) -> None:
        """Close the sockets; may be called twice."""
        if self.owned:
            self.transport.close()


class LoopPool:
    """An httpx transport for one event loop, closed when the loop shuts down.

    A transport that is not ``owned`` is somebody else's to close.
    """

    def __init__(
        self,
        transport: Any,
        in_flight: int,
        *,
        owned: bool,
        on_close: Callable[[LoopPool], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.owned = owned
        self._on_close = on_close
        self._in_flight = in_flight
        # httpx searches its pool for each request, so more in flight makes each one slower. Not
        # asyncio's semaphore: Python 3.9's hangs when a task is cancelled as its turn comes.
        self._slots = anyio.Semaphore(in_flight)
        self._guard: AsyncIterator[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def acquire(self, seconds: float) -> None:
        """Take the right to have one request in flight; a ``PoolIsFullError`` after ``seconds``."""
        if self._guard is None and self.owned:
            # An event loop that shuts down closes its asynchronous generators: our signal.
            self._guard = self._closed_with_the_loop()
            await self._guard.__anext__()
        try:
            self._slots.acquire_nowait()
            return
        except anyio.WouldBlock:
            pass
        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation now and then.
        with anyio.move_on_after(seconds):
            await self._slots.acquire()
            return
        raise PoolIsFullError(f"all {self._in_flight} are in use")

    def release(self) -> None:
        """Give the right back."""
        self._slots.release()

    async def aclose(self) -> None:
        """Close the sockets, in their own loop."""
        if self.owned:
            await self.transport.aclose()

    def close_soon(self) -> None:
        """Have the loop close them, from whatever thread."""
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
