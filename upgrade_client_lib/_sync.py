"""The two ways to wait, blocking or in an event loop, and how a coroutine is driven without one.

Each operation is written once, as a coroutine that awaits nothing but the methods of a backend.
With ``SYNC`` these never suspend, so :func:`run_sync` finishes the coroutine in one step: the
``_sync`` methods need no event loop and no thread, and work inside a running loop (Jupyter) too.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

    from ._http import AttemptLimits, Request, Response
    from .exceptions import UpgradeApiError

T = TypeVar("T")


class SupportsSend(Protocol):
    """What sends one request, in both ways."""

    def send(self, request: Request, limits: AttemptLimits) -> Response: ...

    async def send_async(self, request: Request, limits: AttemptLimits) -> Response: ...

    def is_server_failure(self, error: UpgradeApiError) -> bool: ...


class Backend(Protocol):
    """What an operation may await."""

    @property
    def blocks(self) -> bool: ...

    async def send(
        self, sender: SupportsSend, request: Request, limits: AttemptLimits
    ) -> Response: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, future: Future[T], seconds: float) -> T:
        """Return the future's result; ``TimeoutError`` when it takes longer than ``seconds``."""
        ...

    async def call_either(
        self, owner: object, method: str, seconds: float, *arguments: Any, **named: Any
    ) -> Any:
        """Call a blocking method, or in an event loop its form ``..._async``, or it in a thread.

        In an event loop, a ``TimeoutError`` after ``seconds``.
        """
        ...

    async def complete(self, work: Coroutine[Any, Any, object]) -> None:
        """Await work, which goes on if the caller is cancelled meanwhile."""
        ...

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Have work done although the caller is being cancelled or interrupted."""
        ...


class _SyncBackend:
    blocks = True

    async def send(self, sender: SupportsSend, request: Request, limits: AttemptLimits) -> Response:
        return sender.send(request, limits)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def wait(self, future: Future[T], seconds: float) -> T:
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError as error:
            raise TimeoutError from error

    async def call_either(
        self, owner: object, method: str, seconds: float, *arguments: Any, **named: Any
    ) -> Any:
        return getattr(owner, method)(*arguments, **named)

    async def complete(self, work: Coroutine[Any, Any, object]) -> None:
        await work

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        run_sync(work)


class _AsyncBackend:
    blocks = False

    async def send(self, sender: SupportsSend, request: Request, limits: AttemptLimits) -> Response:
        check_asyncio()
        return await sender.send_async(request, limits)

    async def sleep(self, seconds: float) -> None:
        import asyncio  # late, since the public types load this module

        await asyncio.sleep(seconds)

    async def wait(self, future: Future[T], seconds: float) -> T:
        import asyncio

        import anyio

        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation now and then.
        with anyio.fail_after(seconds):
            return await asyncio.wrap_future(future)

    async def call_either(
        self, owner: object, method: str, seconds: float, *arguments: Any, **named: Any
    ) -> Any:
        import asyncio

        import anyio

        in_loop = getattr(owner, f"{method}_async", None)
        with anyio.fail_after(seconds):
            if in_loop is not None:
                return await in_loop(*arguments, **named)
            return await asyncio.to_thread(getattr(owner, method), *arguments, **named)

    async def complete(self, work: Coroutine[Any, Any, object]) -> None:
        import asyncio

        await asyncio.shield(_task_of(work))

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            _task_of(work)
        except RuntimeError:  # the caller's task is being destroyed
            work.close()


def _task_of(work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """Begin work in the running event loop."""
    import asyncio

    task = asyncio.get_running_loop().create_task(work)
    _finishing.add(task)
    task.add_done_callback(_finishing.discard)
    return task


_finishing: set[Any] = set()
"""Tasks that nobody waits for: an event loop refers to its tasks weakly."""


def check_asyncio() -> None:
    """Say what is missing where no event loop of asyncio is running, under trio for example."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "the async methods need a running event loop of asyncio, and there is none here: use"
            " the _sync methods, in a thread if they must not block"
        ) from None


SYNC: Backend = _SyncBackend()
ASYNC: Backend = _AsyncBackend()


def run_sync(operation: Coroutine[Any, Any, T]) -> T:
    """Finish an operation that was given the ``SYNC`` backend, and return its result."""
    try:
        operation.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    operation.close()
    raise AssertionError("a blocking operation awaited something that its backend does not offer")
