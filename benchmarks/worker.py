"""One contestant in a process of its own.

Started as ``python worker.py MODULE BENCHMARK ADDRESS``, where the module is one of
``contestants``. It prints ``ready``, or why it cannot run; then, for each number that it reads, it
makes so many calls and prints the seconds that they took. It imports nothing of this project's
library itself, so that an interpreter with another release of it can run it too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from importlib import import_module
from itertools import repeat
from typing import Any, Callable

Timed = Callable[[int], float]
"""Makes a number of calls, and gives the seconds that they took."""


def blocking(function: Callable[..., object], *arguments: Any) -> Timed:
    """Time a blocking call."""

    def timed(loops: int) -> float:
        begun = time.perf_counter()
        for _ in repeat(None, loops):
            function(*arguments)
        return time.perf_counter() - begun

    return timed


def in_event_loop(function: Callable[..., Awaitable[object]], *arguments: Any) -> Timed:
    """Time an async call, awaited again and again in one task of one event loop."""
    loop = event_loop()

    async def awaited(loops: int) -> float:
        begun = time.perf_counter()
        for _ in repeat(None, loops):
            await function(*arguments)
        return time.perf_counter() - begun

    return lambda loops: loop.run_until_complete(awaited(loops))


def event_loop() -> asyncio.AbstractEventLoop:
    """Give the one event loop of this process."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


_loop: asyncio.AbstractEventLoop | None = None


def main(module: str, benchmark: str, address: str) -> None:
    try:
        timed: Timed = getattr(import_module(f"contestants.{module}"), benchmark)(address)
        timed(1)
    except Exception as why:
        print(f"{type(why).__name__}: {why}".replace("\n", " "), flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(timed(int(line)), flush=True)


if __name__ == "__main__":
    sys.modules["worker"] = sys.modules["__main__"]
    main(*sys.argv[1:])
