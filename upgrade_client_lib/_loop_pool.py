"""The sockets that belong to one event loop: how many requests use them, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Callable

import anyio


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
        # httpx searches its pool for each request, so more in flight makes each one slower.
        self._slots = asyncio.Semaphore(in_flight)
        self._guard: AsyncIterator[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def acquire(self, seconds: float) -> bool:
        """Take the right to have one request in flight; ``False`` if none comes free in time."""
        if self._guard is None and self.owned:
            # An event loop that shuts down closes its asynchronous generators: our signal.
            self._guard = self._closed_with_the_loop()
            await self._guard.__anext__()
        if not self._slots.locked():
            return await self._slots.acquire()
        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation now and then.
        with anyio.move_on_after(seconds):
            return await self._slots.acquire()
        return False

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
