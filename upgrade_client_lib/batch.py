"""Decisions for many users at once, in bounded memory: whole schools from a file or a table.

>>> from upgrade_client_lib import UpgradeConnection
>>> from upgrade_client_lib.batch import decide_many
>>> with UpgradeConnection("https://upgrade.example.org", breaker=False) as connection:
...     for row in decide_many(connection, "my-app", ["u1", "u2"], [("home", "banner")]):
...         print(row.user, row.condition, row.reason)
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
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Union

import attrs

from ._narrow import items_or_none
from ._rules import arguments
from ._sync import run_sync
from .client import UpgradeClient
from .connection import UpgradeConnection
from .decision import Decision
from .types import DecisionPoint, DecisionReason, Payload

__all__ = ["BatchRow", "BatchRows", "BatchUser", "decide_many"]

AHEAD = 50
"""How many users are begun before the rows of the slowest are there, for each that is in flight."""


@attrs.frozen
class BatchUser:
    """A user of a batch, with their groups.

    With ``group``, a user whom the server does not know is made known, as by ``UpgradeClient``;
    ``group={}`` is for one who has none. Without it, such a user is a row with a
    ``UserNotInitializedError``.

    >>> BatchUser("u1", group={"class": ["class-1"]}, working_group={"class": "class-1"})
    """

    user_id: str
    group: Mapping[str, Sequence[str]] | None = attrs.field(default=None, kw_only=True)
    working_group: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class BatchRow:
    """What one user gets at one decision point.

    ``condition`` is the code of the assigned condition, ``""`` where none is assigned; ``reason``
    says which, or that there was an ``error``: an ``UpgradeApiError``, or the ``ValueError`` or
    ``TypeError`` of a user who cannot be asked for, such as one whose id no header carries.
    """

    user: str
    site: str
    target: str
    condition: str
    payload: Payload | None
    reason: DecisionReason
    error: Exception | None = attrs.field(default=None, eq=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything it says as a new ``dict`` of text and further such, for JSON.

        >>> row.as_dict()
        {'user': 'student-4', 'site': 'home', 'target': 'banner', 'condition': 'treatment',
         'payload': {'type': 'string', 'value': 'Welcome back!'}, 'reason': 'assigned',
         'error': None}
        """
        payload = self.payload
        return {
            "user": self.user,
            "site": self.site,
            "target": self.target,
            "condition": self.condition,
            "payload": None
            if payload is None
            else {"type": str(payload.type), "value": payload.value},
            "reason": str(self.reason),
            "error": None if self.error is None else str(self.error),
        }


AnyUser = Union[BatchUser, str]
AnyPoint = Union[DecisionPoint, tuple[str, str]]


def decide_many(
    connection: UpgradeConnection,
    context: str,
    users: Iterable[AnyUser] | AsyncIterable[AnyUser],
    points: Iterable[AnyPoint],
    *,
    concurrency: int = 20,
) -> BatchRows:
    """Return the rows of these users at these decision points, for ``for`` and ``async for``.

    A row comes for each user and point: the users in their order, and each user's points in
    theirs. A user who fails is a row with the error, for each point, and the others go on. Rows
    are asked for while they are iterated over, and ``users`` are taken as they are needed: a file
    or a generator of millions takes no more memory than one of thousands. With ``async for``,
    they may be an async iterable too.

    One request is sent for each user, however many points there are, and one to make them known
    where that is needed. Nothing is marked, no flags are asked for, and one user's rows are
    decided by ``UpgradeClient.decide``, so that hooks hear of them and a store knows them
    afterwards.

    >>> rows = decide_many(connection, "my-app", ["u1", BatchUser("u2", group={})], points)
    >>> async for row in rows:
    ...     print(row.as_dict())

    Args:
        connection: with ``breaker=False``, or else an outage fails many users in no time.
        context: the application's context, exactly as UpGrade has it.
        users: user ids, or ``BatchUser`` for users with groups.
        points: decision points, as pairs of site and target or as ``DecisionPoint``.
        concurrency: how many users are asked for at a time; a connection sends
            ``max_connections`` at once, 20 by default.

    Raises ``TypeError`` or ``ValueError``, which names the argument, before anything is sent. What
    ``users`` raises is raised after the rows of the users before. Leaving the loop early lets
    calls that are under way end, when it blocks; in an event loop they are cancelled.
    """
    _check_users(users)
    return BatchRows(
        _Batch(
            connection,
            arguments.nonempty("context", context),
            users,
            _checked_points(points),
            arguments.positive("concurrency", concurrency),
        )
    )


class BatchRows(Iterator[BatchRow], AsyncIterator[BatchRow]):
    """The rows of :func:`decide_many`, once: by ``for`` or by ``async for``."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._rows: Generator[BatchRow, None, None] | None = None
        self._async_rows: AsyncGenerator[BatchRow, None] | None = None

    def __next__(self) -> BatchRow:
        if self._rows is None:
            self._rows = _rows(self._batch)
        return next(self._rows)

    def __aiter__(self) -> BatchRows:
        return self

    async def __anext__(self) -> BatchRow:
        if self._async_rows is None:
            self._async_rows = _AsyncRun(self._batch).rows()
        return await self._async_rows.__anext__()

    def close(self) -> None:
        """End the iteration: no further user is begun, and calls under way have ended."""
        if self._rows is not None:
            self._rows.close()

    async def aclose(self) -> None:
        """End the async iteration: calls under way are cancelled."""
        if self._async_rows is not None:
            await self._async_rows.aclose()


@attrs.frozen
class _Batch:
    """What is asked for, and how one user is."""

    connection: UpgradeConnection
    context: str
    users: Iterable[AnyUser] | AsyncIterable[AnyUser]
    points: tuple[tuple[str, str], ...]
    concurrency: int

    @property
    def most_begun(self) -> int:
        """How many users may be begun whose rows are not all taken yet."""
        return self.concurrency * AHEAD

    async def decide(self, user: AnyUser) -> list[BatchRow]:
        """Return a user's rows, in an event loop."""
        return await self._rows_of(user, _decide)

    def decide_sync(self, user: AnyUser) -> list[BatchRow]:
        """Return a user's rows, blocking."""
        return run_sync(self._rows_of(user, _decide_blocking))

    async def _rows_of(
        self, user: AnyUser, decide: Callable[[UpgradeClient, str, str], Awaitable[Decision]]
    ) -> list[BatchRow]:
        try:
            client = self._client(user)
        except (TypeError, ValueError) as error:
            return self._failed(user, error)
        rows: list[BatchRow] = []
        for site, target in self.points:
            decision = await decide(client, site, target)
            if decision.error is not None:  # one response serves all points
                return self._failed(user, decision.error)
            rows.append(
                BatchRow(
                    decision.user_id,
                    site,
                    target,
                    decision.condition,
                    decision.payload,
                    decision.reason,
                )
            )
        return rows

    def _client(self, user: object) -> UpgradeClient:
        if isinstance(user, str):
            return self.connection.client(user, self.context)
        if isinstance(user, BatchUser):
            return self.connection.client(
                user.user_id, self.context, group=user.group, working_group=user.working_group
            )
        raise TypeError(f"a user must be a string or a BatchUser, not {type(user).__name__}")

    def _failed(self, user: AnyUser, error: Exception) -> list[BatchRow]:
        user_id = user.user_id if isinstance(user, BatchUser) else user
        return [
            BatchRow(str(user_id), site, target, "", None, DecisionReason.ERROR, error)
            for site, target in self.points
        ]


async def _decide(client: UpgradeClient, site: str, target: str) -> Decision:
    return await client.decide(site, target)


async def _decide_blocking(client: UpgradeClient, site: str, target: str) -> Decision:
    return client.decide_sync(site, target)


def _rows(batch: _Batch) -> Generator[BatchRow, None, None]:
    """Yield the rows in the order of the users, for whom a few threads decide."""
    if not isinstance(batch.users, Iterable):
        raise TypeError("users of an async iterable are for `async for`")
    users = iter(batch.users)
    begun: deque[Future[list[BatchRow]]] = deque()
    end: Exception | None = None
    threads = ThreadPoolExecutor(batch.concurrency, "upgrade-batch")
    try:
        while end is None:
            try:
                begun.append(threads.submit(batch.decide_sync, next(users)))
            except Exception as error:
                end = error
            while begun and (end or len(begun) >= batch.most_begun or begun[0].done()):
                yield from begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
    if not isinstance(end, StopIteration):
        raise end


class _AsyncRun:
    """One iteration in an event loop, whose tasks take users from one iterator.

    With a user, a task takes a place in the order, where it puts their rows; whoever iterates waits
    for those of the first place. One that ends with an error, or finds no more users, puts that.
    """

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._users = _async_iterator(batch.users)
        self._taking = asyncio.Lock()  # an async generator gives one user at a time
        self._places: deque[list[list[BatchRow] | Exception]] = deque()
        self._first_is_filled = asyncio.Event()
        self._has_room = asyncio.Event()

    async def rows(self) -> AsyncGenerator[BatchRow, None]:
        """Yield the rows in the order of the users."""
        places = self._places
        tasks = [asyncio.create_task(self._work()) for _ in range(self._batch.concurrency)]
        try:
            while True:
                while not (places and places[0]):
                    self._first_is_filled.clear()
                    await self._first_is_filled.wait()
                (rows,) = places.popleft()
                self._has_room.set()
                if isinstance(rows, StopAsyncIteration):
                    return
                if isinstance(rows, Exception):
                    raise rows
                for row in rows:
                    yield row
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        rows: list[BatchRow] | Exception = []
        while not isinstance(rows, Exception):
            place: list[list[BatchRow] | Exception] = []
            try:
                rows = await self._batch.decide(await self._next_user(place))
            except Exception as error:  # or the end of the users
                rows = error
            place.append(rows)
            if self._places[0] is place:
                self._first_is_filled.set()

    async def _next_user(self, place: list[list[BatchRow] | Exception]) -> AnyUser:
        async with self._taking:
            while len(self._places) >= self._batch.most_begun:
                self._has_room.clear()
                await self._has_room.wait()
            self._places.append(place)
            return await self._users.__anext__()


async def _async_iterator(
    users: Iterable[AnyUser] | AsyncIterable[AnyUser],
) -> AsyncIterator[AnyUser]:
    if isinstance(users, AsyncIterable):
        async for user in users:
            yield user
    else:
        for user in users:
            yield user


def _check_users(users: object) -> None:
    if isinstance(users, (str, bytes)) or not isinstance(users, (Iterable, AsyncIterable)):
        raise TypeError(f"users must be an iterable of users, not {type(users).__name__}")


def _checked_points(points: Iterable[AnyPoint]) -> tuple[tuple[str, str], ...]:
    given = items_or_none(points)
    if given is None:
        raise TypeError(f"points must be a list of decision points, not {type(points).__name__}")
    checked = tuple(_checked_point(point) for point in given)
    if not checked:
        raise ValueError("points must not be empty")
    return checked


def _checked_point(point: object) -> tuple[str, str]:
    if isinstance(point, DecisionPoint):
        return arguments.point(point.site, point.target)
    pair = items_or_none(point)
    if pair is None or len(pair) != 2:
        raise TypeError(f"a decision point must be a pair of site and target, not {point!r}")
    return arguments.point(*pair)
