"""Running a user's own httpx client or transport out of reach of cancellations.

httpcore completes its bookkeeping when anyio cancels it, but not when asyncio does: a cancelled
task can leave a connection pool that is full for ever (https://github.com/encode/httpx/issues/1461).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


async def run_in_own_task(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns; a cancellation reaches it through an anyio scope."""
    scope = anyio.CancelScope()

    async def within_scope() -> T:
        with scope:
            return await work
        raise asyncio.CancelledError

    task = asyncio.get_running_loop().create_task(within_scope())
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        scope.cancel()
        task.add_done_callback(_retrieve)
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of how a task ended that nobody waits for any longer."""
    if not task.cancelled():
        task.exception()
