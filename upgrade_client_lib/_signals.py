"""Programs that run until they are told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPED = 130
"""The exit status of what was stopped before it was done, as shells have it for Ctrl-C."""


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Generator[threading.Event, None, None]:
    """Have Ctrl-C and SIGTERM set an event, in the main thread, while the block runs."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_until_stopped(stop: threading.Event) -> None:
    """Wait until the event is set."""
    while not stop.wait(0.5):  # not for ever, or Windows would not see Ctrl-C
        pass


def run_until_ctrl_c(work: Coroutine[Any, Any, None]) -> None:
    """Run work in an event loop. Ctrl-C cancels it and raises ``KeyboardInterrupt`` when it ended.

    ``asyncio.run`` does so from Python 3.11 on. Before, the exception is raised wherever the main
    thread is, and it is lost where that is the callback of a weak reference or a finalizer.
    """
    before: Any = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(_cancelled_by_ctrl_c(work, before))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


async def _cancelled_by_ctrl_c(work: Coroutine[Any, Any, None], before: Any) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def handle(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)  # a second one ends what cancelling does not
        loop.call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGINT, handle if callable(before) else before)  # it may be ignored
    await task
