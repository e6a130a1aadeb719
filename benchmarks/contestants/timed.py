"""How the calls of a contestant are timed. Nothing here needs this project's library."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from itertools import repeat
from typing import Any, Callable

Timed = Callable[[int], float]
"""Makes a number of calls, and gives the seconds that they took."""

clock: Callable[[], float] = time.perf_counter
"""What tells the time; ``pair.py`` sets another if it is asked to."""


def blocking(function: Callable[..., object], *arguments: Any) -> Timed:
    """Time a blocking call."""

    def timed(loops: int) -> float:
        begun = clock()
        for _ in repeat(None, loops):
            function(*arguments)
        return clock() - begun

    return timed


def in_event_loop(function: Callable[..., Awaitable[object]], *arguments: Any) -> Timed:
    """Time an async call, awaited again and again in one task of one event loop."""
    loop = event_loop()

    async def awaited(loops: int) -> float:
        begun = clock()
        for _ in repeat(None, loops):
            await function(*arguments)
        return clock() - begun

    return lambda loops: loop.run_until_complete(awaited(loops))


def many_in_flight(function: Callable[[], Awaitable[object]], tasks: int = 20) -> Timed:
    """Measure the processor's time for an async call, with so many of them in flight at a time."""
    loop = event_loop()

    async def some(calls: Iterator[None]) -> None:
        for _ in calls:
            await function()

    async def all_of(loops: int) -> float:
        calls = repeat(None, loops)
        begun = time.process_time()
        await asyncio.gather(*[some(calls) for _ in range(tasks)])
        return time.process_time() - begun

    return lambda loops: loop.run_until_complete(all_of(loops))


def event_loop() -> asyncio.AbstractEventLoop:
    """Give the one event loop of this process."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


_loop: asyncio.AbstractEventLoop | None = None
