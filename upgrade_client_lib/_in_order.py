"""Work on many items at once, whose results come in the order of the items, in bounded memory.

``AHEAD`` items are begun at most for each that is in work, so that a slow one holds no more back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Generator,
    Iterable,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 50
"""How many items are begun before the result of the slowest is there, for each that is in work."""


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], concurrency: int
) -> Generator[Result, None, None]:
    """Yield what so many threads make of the items.

    What the items raise is raised after the results of those before. Closing it lets work that is
    under way end, and begins no more.
    """
    remaining = iter(items)
    begun: deque[Future[Result]] = deque()
    end: Exception | None = None
    threads = ThreadPoolExecutor(concurrency, "upgrade-batch")
    try:
        while end is None:
            try:
                begun.append(threads.submit(work, next(remaining)))
            except Exception as error:
                end = error
            while begun and (end or len(begun) >= concurrency * AHEAD or begun[0].done()):
                yield begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
    if not isinstance(end, StopIteration):
        raise end


def in_tasks(
    work: Callable[[Item], Awaitable[Result]],
    items: Iterable[Item] | AsyncIterable[Item],
    concurrency: int,
) -> AsyncGenerator[Result, None]:
    """Yield what so many tasks make of the items; closing it cancels the tasks."""
    return _Tasks(work, items, concurrency).results()


class _Tasks(Generic[Item, Result]):
    """Tasks that take items from one iterator.

    With an item, a task takes a place in the order, where it puts the result; whoever iterates
    waits for that of the first place. One that ends with an error, or finds no more items, puts
    that.
    """

    def __init__(
        self,
        work: Callable[[Item], Awaitable[Result]],
        items: Iterable[Item] | AsyncIterable[Item],
        concurrency: int,
    ) -> None:
        self._work_on = work
        self._items = _async_iterator(items)
        self._concurrency = concurrency
        self._taking = asyncio.Lock()  # an async generator gives one item at a time
        self._places: deque[list[Result | BaseException]] = deque()
        self._first_is_filled = asyncio.Event()
        self._has_room = asyncio.Event()

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yield the results in the order of the items."""
        places = self._places
        tasks = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        try:
            while True:
                while not (places and places[0]):
                    self._first_is_filled.clear()
                    await self._first_is_filled.wait()
                (result,) = places.popleft()
                self._has_room.set()
                if isinstance(result, StopAsyncIteration):
                    return
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        result: Result | BaseException | None = None
        while not isinstance(result, BaseException):
            place: list[Result | BaseException] = []
            try:
                result = await self._work_on(await self._next_item(place))
            except BaseException as error:  # or the end of the items
                result = error
            place.append(result)
            if self._places and self._places[0] is place:
                self._first_is_filled.set()
        if not isinstance(result, Exception):
            raise result

    async def _next_item(self, place: list[Result | BaseException]) -> Item:
        async with self._taking:
            while len(self._places) >= self._concurrency * AHEAD:
                self._has_room.clear()
                await self._has_room.wait()
            self._places.append(place)
            return await self._items.__anext__()


async def _async_iterator(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
