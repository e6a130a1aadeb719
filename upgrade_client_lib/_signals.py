"""Programs that run until they are told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


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
