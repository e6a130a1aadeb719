"""Decisions for many users at once, in bounded memory: whole schools from a file or a table.

>>> from upgrade_client_lib import UpgradeConnection
>>> from upgrade_client_lib.batch import decide_many
>>> with UpgradeConnection("https://upgrade.example.org", breaker=False) as connection:
...     for row in decide_many(connection, "my-app", ["u1", "u2"], [("home", "banner")]):
...         print(row.user, row.condition, row.reason)
"""

# Marks are handed over under ids of their own, which is no public option:
# pyright: reportPrivateUsage=false

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Union

import attrs

from ._in_order import in_tasks, in_threads
from ._narrow import items_or_none
from ._rules import arguments
from ._sync import ASYNC, SYNC, Backend, run_sync
from ._user import MarkDetails
from .client import UpgradeClient
from .connection import UpgradeConnection
from .decision import Decision
from .exceptions import OutboxError
from .types import (
    DecisionPoint,
    DecisionReason,
    DecisionSource,
    MarkedDecisionPointStatus,
    Payload,
)

__all__ = ["BatchRow", "BatchRows", "BatchUser", "decide_many"]

APPLIED = MarkedDecisionPointStatus.CONDITION_APPLIED
NONE_ASSIGNED = MarkedDecisionPointStatus.NO_CONDITION_ASSIGNED


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
    ``TypeError`` of a user who cannot be asked for, such as one whose id no header carries. An
    ``OutboxError`` beside a condition says that it could not be marked.
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
    mark: bool = False,
    job: str = "",
) -> BatchRows:
    """Return the rows of these users at these decision points, for ``for`` and ``async for``.

    A row comes for each user and point: the users in their order, and each user's points in
    theirs. A user who fails is a row with the error, for each point, and the others go on. Rows
    are asked for while they are iterated over, and ``users`` are taken as they are needed: a file
    or a generator of millions takes no more memory than one of thousands. With ``async for``,
    they may be an async iterable too.

    One request is sent for each user, however many points there are. For one with groups whom the
    server does not know, ``init`` follows, and the request is sent again; with a store that does
    not know them, ``init`` comes first. Nothing is marked without ``mark=True``, no flags are asked
    for, and a user's rows are decided by ``UpgradeClient.decide``, so that hooks hear of them and a
    store knows them afterwards.

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
        mark: whether what is decided is marked, by the connection's outbox: a condition as applied,
            and none as none. A row has an ``error`` beside its condition where that could not be
            handed over.
        job: the name of this job. Under the same name, context, user and point, a mark is handed
            over once, however often the job runs within the connection's ``max_event_age``. All
            jobs without a name are one: name those that are to mark a point each.

    Raises ``TypeError`` or ``ValueError``, which names the argument, before anything is sent. What
    ``users`` raises is raised after the rows of the users before. Leaving the loop early lets
    calls that are under way end, when it blocks; in an event loop they are cancelled.
    """
    _check_users(users)
    if arguments.boolean("mark", mark) and not connection.has_outbox:
        raise ValueError("mark=True goes through an outbox: make the connection with outbox=")
    name = arguments.text("job", job)
    if name and not mark:
        raise ValueError("job goes with mark=True")
    return BatchRows(
        _Batch(
            connection,
            arguments.nonempty("context", context),
            users,
            _checked_points(points),
            arguments.positive("concurrency", concurrency),
            name if mark else None,
        )
    )


class BatchRows(Iterator[BatchRow], AsyncIterator[BatchRow]):
    """The rows of :func:`decide_many`, once: by ``for`` or by ``async for``."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._users: Generator[list[BatchRow], None, None] | None = None
        self._async_users: AsyncGenerator[list[BatchRow], None] | None = None
        self._rows: deque[BatchRow] = deque()
        """Those of a user whose first ones were taken."""

    def __next__(self) -> BatchRow:
        batch = self._batch
        if self._users is None:
            if not isinstance(batch.users, Iterable):
                raise TypeError("users of an async iterable are for `async for`")
            self._users = in_threads(batch.decide_sync, batch.users, batch.concurrency)
        if not self._rows:
            self._rows.extend(next(self._users))
        return self._rows.popleft()

    def __aiter__(self) -> BatchRows:
        return self

    async def __anext__(self) -> BatchRow:
        batch = self._batch
        if self._async_users is None:
            self._async_users = in_tasks(batch.decide, batch.users, batch.concurrency)
        if not self._rows:
            self._rows.extend(await self._async_users.__anext__())
        return self._rows.popleft()

    def close(self) -> None:
        """End the iteration: no further user is begun, and calls under way have ended."""
        self._rows.clear()
        if self._users is not None:
            self._users.close()

    async def aclose(self) -> None:
        """End the async iteration: calls under way are cancelled."""
        self._rows.clear()
        if self._async_users is not None:
            await self._async_users.aclose()


@attrs.frozen
class _Batch:
    """What is asked for, and how one user is."""

    connection: UpgradeConnection
    context: str
    users: Iterable[AnyUser] | AsyncIterable[AnyUser]
    points: tuple[tuple[str, str], ...]
    concurrency: int
    job: str | None
    """Under which name marks are handed over; ``None`` where nothing is marked."""

    async def decide(self, user: AnyUser) -> list[BatchRow]:
        """Return a user's rows, in an event loop."""
        return await self._rows_of(ASYNC, user)

    def decide_sync(self, user: AnyUser) -> list[BatchRow]:
        """Return a user's rows, blocking."""
        return run_sync(self._rows_of(SYNC, user))

    async def _rows_of(self, backend: Backend, user: AnyUser) -> list[BatchRow]:
        try:
            client = self._client(user)
        except (TypeError, ValueError) as error:
            return self._failed(user, error)
        decisions: list[Decision] = []
        for point in self.points:
            decision = client.decide_sync(*point) if backend.blocks else await client.decide(*point)
            if decision.error is not None:  # one response serves all points
                return self._failed(user, decision.error)
            decisions.append(decision)
        rows = [_row(decision) for decision in decisions]
        if self.job is not None:
            for place, decision in enumerate(decisions):
                problem = await self._hand_over(backend, client, decision)
                if problem is not None:
                    rows[place] = attrs.evolve(rows[place], error=problem)
        return rows

    async def _hand_over(
        self, backend: Backend, client: UpgradeClient, decision: Decision
    ) -> OutboxError | None:
        """Hand the mark of a decision over to the outbox, once for the job; return what failed."""
        point = decision.site, decision.target
        named = "\0".join([str(self.job), self.context, client.user_id, *point])
        event_id = hashlib.sha256(named.encode()).hexdigest()
        assignment = decision.assignment
        try:
            if assignment is not None:
                await assignment._client_marker.enqueue(
                    backend, assignment, APPLIED, "", "", event_id=event_id
                )
            elif decision.source is not DecisionSource.STALE:
                marker = client._user.marker(client._options)
                details = MarkDetails.validated(NONE_ASSIGNED, "", "")
                await marker.enqueue_unassigned(backend, point, details, event_id=event_id)
        except OutboxError as error:
            return error
        return None

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


def _row(decision: Decision) -> BatchRow:
    return BatchRow(
        decision.user_id,
        decision.site,
        decision.target,
        decision.condition,
        decision.payload,
        decision.reason,
    )


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
