"""The two ways to wait: blocking a thread, or in an event loop.

Each operation is written once, as a coroutine that awaits nothing but its face. Driven with
``BLOCKING`` it never suspends, so :func:`run` finishes it in one step, without an event loop:
that is why the ``_sync`` methods work inside a running loop (in Jupyter, say) as well.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ._wire import Answer, Attempt, WireRequest
from .exceptions import UpgradeApiError

T = TypeVar("T")


class Sender(Protocol):
    """What carries requests to a server, either way."""

    def send(self, request: WireRequest, attempt: Attempt) -> Answer: ...

    async def send_async(self, request: WireRequest, attempt: Attempt) -> Answer: ...

    def blames_server(self, error: UpgradeApiError) -> bool: ...


class Face(Protocol):
    """What an operation may await."""

    @property
    def blocks(self) -> bool: ...

    async def send(self, sender: Sender, request: WireRequest, attempt: Attempt) -> Answer: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, future: Future[T], seconds: float) -> T:
        """Give the future's result; ``TimeoutError`` when it takes longer than ``seconds``."""
        ...


class _Blocking:
    blocks = True

    async def send(self, sender: Sender, request: WireRequest, attempt: Attempt) -> Answer:
        return sender.send(request, attempt)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def wait(self, future: Future[T], seconds: float) -> T:
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError as error:
            raise TimeoutError from error


class _InEventLoop:
    blocks = False

    async def send(self, sender: Sender, request: WireRequest, attempt: Attempt) -> Answer:
        return await sender.send_async(request, attempt)

    async def sleep(self, seconds: float) -> None:
        import asyncio  # late, since the types load this module, and should load little

        await asyncio.sleep(seconds)

    async def wait(self, future: Future[T], seconds: float) -> T:
        import asyncio

        import anyio

        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation now and then.
        with anyio.fail_after(seconds):
            return await asyncio.wrap_future(future)


BLOCKING: Face = _Blocking()
IN_EVENT_LOOP: Face = _InEventLoop()


def run(operation: Coroutine[Any, Any, T]) -> T:
    """Finish an operation that was given the ``BLOCKING`` face."""
    try:
        operation.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    operation.close()
    raise AssertionError("a blocking operation awaited something that its face does not offer")
