"""Running in a task of its own what asyncio must not cancel in the middle.

httpcore completes its bookkeeping when anyio cancels it, but not when asyncio does: a cancelled
task can leave a connection pool that is full for ever (https://github.com/encode/httpx/issues/1461).
And anyio, up to 4.12 at least, loses the socket if it is cancelled just as it has connected.

What these tasks wait for is referred to by their event loop, which so keeps them. They are kept
nowhere else: a loop that was dropped with tasks in it takes them with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import anyio


class _SupportsAclose(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T")
S = TypeVar("S", bound=_SupportsAclose)


async def run_in_own_task(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns; a cancellation reaches it through an anyio scope."""
    scope = anyio.CancelScope()

    async def within_scope() -> T:
        with scope:
            return await work
        raise asyncio.CancelledError

    task = asyncio.get_running_loop().create_task(within_scope())
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        scope.cancel()
        task.add_done_callback(_retrieve)
        raise
    return task.result()


async def open_in_own_task(opening: Coroutine[Any, Any, S]) -> S:
    """Return what a coroutine opens; a cancellation does not reach it, but has that closed."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(opening)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        loop.create_task(_close_when_open(task))  # noqa: RUF006  # kept by what it waits for
        raise
    return task.result()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of how a task ended that nobody waits for any longer."""
    with suppress(asyncio.CancelledError):
        task.exception()


async def _close_when_open(opening: asyncio.Task[S]) -> None:
    with suppress(Exception):  # it may have failed
        await (await opening).aclose()
