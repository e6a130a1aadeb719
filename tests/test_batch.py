"""Many users at once: a row for each user and decision point, in order, whatever happens."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest

from tests.support_server import SteeredServer, local_upgrade
from upgrade_client_lib import (
    NoConnectionError,
    OutboxFullError,
    UpgradeConnection,
    UserNotInitializedError,
)
from upgrade_client_lib.batch import AnyPoint, AnyUser, BatchRow, BatchRows, BatchUser, decide_many
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionPoint, DecisionReason, Payload, PayloadType

BANNER = ("home", "banner")
ASSIGNED, NOT_ASSIGNED, ERROR = DecisionReason

Collect = Callable[[Callable[[], BatchRows]], list[BatchRow]]


def collect(rows: Callable[[], BatchRows]) -> list[BatchRow]:
    return list(rows())


def collect_async(rows: Callable[[], BatchRows]) -> list[BatchRow]:
    async def collected() -> list[BatchRow]:
        return [row async for row in rows()]

    return asyncio.run(collected())


@pytest.fixture(params=[collect, collect_async], ids=["for", "async for"])
def collected(request: pytest.FixtureRequest) -> Collect:
    function: Collect = request.param
    return function


@pytest.fixture
def local() -> LocalUpgrade:
    upgrade = LocalUpgrade()
    upgrade.experiment("home", "banner", conditions=["warm"], payloads={"warm": "Welcome!"})
    return upgrade


@pytest.fixture
def connection(local: LocalUpgrade) -> Iterator[UpgradeConnection]:
    with UpgradeConnection("http://upgrade.local", timeout=60.0, transport=local.transport) as one:
        yield one


def known(*user_ids: str) -> list[BatchUser]:
    return [BatchUser(user_id, group={}) for user_id in user_ids]


def asked(local: LocalUpgrade) -> list[str]:
    return sorted({request.endpoint for request in local.requests})


def test_a_row_comes_for_each_user_and_point_in_their_order(
    connection: UpgradeConnection, collected: Collect
) -> None:
    points: list[AnyPoint] = [BANNER, DecisionPoint("home", "footer")]
    rows = collected(lambda: decide_many(connection, "my-app", known("u1", "u2"), points))
    welcome = Payload(PayloadType.STRING, "Welcome!")
    assert rows == [
        BatchRow("u1", "home", "banner", "warm", welcome, ASSIGNED),
        BatchRow("u1", "home", "footer", "", None, NOT_ASSIGNED),
        BatchRow("u2", "home", "banner", "warm", welcome, ASSIGNED),
        BatchRow("u2", "home", "footer", "", None, NOT_ASSIGNED),
    ]


def test_rows_are_those_of_the_users_own_clients(collected: Collect) -> None:
    local = local_upgrade()
    ids = [f"user-{number}" for number in range(50)]
    with UpgradeConnection(
        "http://upgrade.local", timeout=60.0, transport=local.transport
    ) as connection:
        rows = collected(lambda: decide_many(connection, "my-app", known(*ids), [BANNER]))
        alone = [connection.client(one, "my-app").decide_sync(*BANNER) for one in ids]
    assert [row.user for row in rows] == ids
    assert [row.condition for row in rows] == [decision.condition for decision in alone]
    assert {row.condition for row in rows} == {"control", "treatment"}


def test_one_request_serves_all_points_of_a_user_and_nothing_else_is_asked(
    connection: UpgradeConnection, local: LocalUpgrade, collected: Collect
) -> None:
    connection.client("u1", "my-app").init_sync()
    points = [("home", f"target-{number}") for number in range(10)]
    assert len(collected(lambda: decide_many(connection, "my-app", ["u1"], points))) == 10
    assert [request.endpoint for request in local.requests] == ["init", "assign"]


def test_a_user_with_groups_is_made_known_with_them(
    connection: UpgradeConnection, local: LocalUpgrade, collected: Collect
) -> None:
    local.experiment("classroom", "board", conditions=["shown"], unit="group", group_type="class")
    user = BatchUser("u1", group={"class": ["class-1"]}, working_group={"class": "class-1"})
    (row,) = collected(lambda: decide_many(connection, "my-app", [user], [("classroom", "board")]))
    assert row.condition == "shown"
    assert asked(local) == ["assign", "init"]


def test_an_unknown_user_without_groups_is_a_row_and_is_not_made_known(
    connection: UpgradeConnection, local: LocalUpgrade, collected: Collect
) -> None:
    points = [BANNER, ("home", "footer")]
    rows = collected(lambda: decide_many(connection, "my-app", ["nobody", *known("u2")], points))
    assert [(row.user, row.reason) for row in rows] == [
        ("nobody", ERROR),
        ("nobody", ERROR),
        ("u2", ASSIGNED),
        ("u2", NOT_ASSIGNED),
    ]
    assert all(isinstance(row.error, UserNotInitializedError) for row in rows[:2])
    assert [request.user for request in local.requests if request.user == "nobody"] == ["nobody"]


@pytest.mark.parametrize(
    ("user", "named", "error"),
    [
        ("snowman-☃", "snowman-☃", ValueError),
        (BatchUser(""), "", ValueError),
        (BatchUser("u1", working_group={"class": "class-1"}), "u1", ValueError),
        (BatchUser("u1", group=5), "u1", TypeError),  # type: ignore[arg-type]
        (17, "17", TypeError),
        (None, "None", TypeError),
    ],
)
def test_a_user_who_cannot_be_asked_for_is_a_row(
    connection: UpgradeConnection, collected: Collect, user: Any, named: str, error: type[Exception]
) -> None:
    rows = collected(lambda: decide_many(connection, "my-app", [user, *known("u2")], [BANNER]))
    assert [(row.user, row.reason) for row in rows] == [(named, ERROR), ("u2", ASSIGNED)]
    assert type(rows[0].error) is error


def test_a_user_whose_call_fails_asks_once_for_all_points(
    local: LocalUpgrade, collected: Collect
) -> None:
    local.drop(user="u1")
    points = [BANNER, ("home", "footer")]
    with UpgradeConnection(
        "http://upgrade.local", timeout=60.0, transport=local.transport, retries=0
    ) as one:
        rows = collected(lambda: decide_many(one, "my-app", known("u1", "u2"), points))
    assert [row.reason for row in rows] == [ERROR, ERROR, ASSIGNED, NOT_ASSIGNED]
    assert rows[0].error is rows[1].error
    assert isinstance(rows[0].error, NoConnectionError)


def test_a_slow_user_keeps_the_order_and_holds_nobody_up(collected: Collect) -> None:
    last = "user-99"

    class OutOfOrder(SteeredServer):
        """Answers the first user after the last one."""

        def _answer(self, request: Any) -> Any:
            answer = super()._answer(request)
            if request.headers["user-id"] == last and request.url.path.endswith("assign"):
                hold.release()
            return answer

    server = OutOfOrder(local_upgrade().transport)
    hold = server.hold_next("assign")
    ids = [f"user-{number}" for number in range(100)]
    with UpgradeConnection("http://upgrade.local", timeout=60.0, transport=server) as connection:
        for user_id in ids:
            connection.client(user_id, "my-app").init_sync()
        rows = collected(lambda: decide_many(connection, "my-app", ids, [BANNER], concurrency=2))
    assert [row.user for row in rows] == ids
    assert all(row.reason is ASSIGNED for row in rows)


def test_users_are_taken_as_they_are_needed(collected: Collect) -> None:
    server = SteeredServer(local_upgrade().transport)
    taken: list[str] = []

    def users() -> Iterator[BatchUser]:
        while True:
            taken.append(f"user-{len(taken)}")
            yield BatchUser(taken[-1], group={})

    with UpgradeConnection("http://upgrade.local", timeout=60.0, transport=server) as connection:
        rows = decide_many(connection, "my-app", users(), [BANNER], concurrency=2)
        if collected is collect:
            assert next(rows).user == "user-0"
            rows.close()
        else:

            async def first() -> None:
                assert (await rows.__anext__()).user == "user-0"
                await rows.aclose()

            asyncio.run(first())
    assert 1 <= len(taken) <= 101


def test_no_more_users_are_asked_for_at_a_time_than_was_said(collected: Collect) -> None:
    local = local_upgrade()
    now: set[str] = set()
    most = 0

    class Counted(SteeredServer):
        def handle_request(self, request: Any) -> Any:
            self._enter(request)
            try:
                return super().handle_request(request)
            finally:
                now.discard(request.headers["user-id"])

        async def handle_async_request(self, request: Any) -> Any:
            self._enter(request)
            try:
                await asyncio.sleep(0)
                return await super().handle_async_request(request)
            finally:
                now.discard(request.headers["user-id"])

        def _enter(self, request: Any) -> None:
            nonlocal most
            now.add(request.headers["user-id"])
            most = max(most, len(now))

    users = known(*(f"user-{number}" for number in range(60)))
    with UpgradeConnection(
        "http://upgrade.local", timeout=60.0, transport=Counted(local.transport)
    ) as one:
        rows = collected(lambda: decide_many(one, "my-app", users, [BANNER], concurrency=3))
    assert len(rows) == 60
    assert 1 <= most <= 3


def test_what_the_users_raise_comes_after_the_rows_of_those_before(
    connection: UpgradeConnection, collected: Collect
) -> None:
    def users() -> Iterator[BatchUser]:
        yield from known("u1", "u2")
        raise OSError("the file ended early")

    seen: list[str] = []

    def some(rows: BatchRows) -> None:
        for row in rows:
            seen.append(row.user)

    async def some_async(rows: BatchRows) -> None:
        async for row in rows:
            seen.append(row.user)

    rows = decide_many(connection, "my-app", users(), [BANNER])
    with pytest.raises(OSError, match="ended early"):
        some(rows) if collected is collect else asyncio.run(some_async(rows))
    assert seen == ["u1", "u2"]


def test_users_whose_query_was_cancelled_end_the_loop(connection: UpgradeConnection) -> None:
    async def users() -> AsyncIterator[BatchUser]:
        yield BatchUser("u1", group={})
        query = asyncio.get_running_loop().create_future()
        query.cancel()
        await query

    seen: list[str] = []

    async def some() -> None:
        async for row in decide_many(connection, "my-app", users(), [BANNER]):
            seen.append(row.user)

    async def ended_within(seconds: float) -> asyncio.Task[None]:
        task = asyncio.create_task(some())
        await asyncio.wait([task], timeout=seconds)
        return task

    assert asyncio.run(ended_within(60)).cancelled()
    assert seen == ["u1"]


def test_a_closed_connection_is_the_error_that_it_is(collected: Collect) -> None:
    connection = UpgradeConnection(
        "http://upgrade.local", timeout=60.0, transport=LocalUpgrade().transport
    )
    connection.close()
    with pytest.raises(RuntimeError, match="closed"):
        collected(lambda: decide_many(connection, "my-app", ["u1", "u2"], [BANNER]))


def test_no_users_are_no_rows(connection: UpgradeConnection, collected: Collect) -> None:
    assert collected(lambda: decide_many(connection, "my-app", [], [BANNER])) == []


def test_rows_come_once(connection: UpgradeConnection) -> None:
    rows = decide_many(connection, "my-app", known("u1"), [BANNER])
    assert len(list(rows)) == 1
    assert list(rows) == []


async def async_users() -> AsyncIterator[BatchUser]:
    for user in known(*(f"user-{number}" for number in range(50))):
        await asyncio.sleep(0)
        yield user


def test_async_users_are_taken_one_at_a_time(connection: UpgradeConnection) -> None:
    rows = collect_async(lambda: decide_many(connection, "my-app", async_users(), [BANNER]))
    assert [row.user for row in rows] == [f"user-{number}" for number in range(50)]


def test_async_users_are_not_for_a_loop_that_blocks(connection: UpgradeConnection) -> None:
    rows = decide_many(connection, "my-app", async_users(), [BANNER])
    with pytest.raises(TypeError, match="async for"):
        next(rows)


def test_a_blocking_loop_works_inside_a_running_event_loop(connection: UpgradeConnection) -> None:
    async def inside() -> list[BatchRow]:
        return list(decide_many(connection, "my-app", known("u1"), [BANNER]))

    (row,) = asyncio.run(inside())
    assert row.condition == "warm"


def test_closing_what_was_not_begun_asks_for_nobody(
    connection: UpgradeConnection, local: LocalUpgrade
) -> None:
    rows = decide_many(connection, "my-app", known("u1"), [BANNER])
    rows.close()
    asyncio.run(rows.aclose())
    assert local.requests == ()


def test_a_cancelled_loop_leaves_no_call_behind() -> None:
    server = SteeredServer(local_upgrade().transport)

    async def consume() -> None:
        with UpgradeConnection(
            "http://upgrade.local", timeout=60.0, transport=server
        ) as connection:
            rows = decide_many(connection, "my-app", ["u1", "u2"], [BANNER], concurrency=2)
            try:
                await rows.__anext__()
            finally:
                await rows.aclose()

    async def cancelled() -> None:
        holds = [server.hold_next("assign") for _ in range(2)]
        loop = asyncio.create_task(consume())
        for hold in holds:
            await hold.wait_async()
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"users": "u1"}, TypeError, "users must be an iterable of users, not str"),
        ({"users": 5}, TypeError, "users must be an iterable of users, not int"),
        ({"points": "home"}, TypeError, "points must be a list of decision points, not str"),
        ({"points": []}, ValueError, "points must not be empty"),
        ({"points": ["home"]}, TypeError, "a pair of site and target, not 'home'"),
        ({"points": [("home", "banner", "x")]}, TypeError, "a pair of site and target"),
        ({"points": [("", "banner")]}, ValueError, "site must not be empty"),
        ({"context": ""}, ValueError, "context must not be empty"),
        ({"concurrency": 0}, ValueError, "concurrency must be 1 or more"),
        ({"concurrency": True}, TypeError, "concurrency must be a whole number"),
        ({"mark": True}, ValueError, "make the connection with outbox="),
        ({"mark": "yes"}, TypeError, "mark must be True or False"),
        ({"job": "letters"}, ValueError, "job goes with mark=True"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_sent(
    connection: UpgradeConnection,
    local: LocalUpgrade,
    changed: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    arguments: dict[str, Any] = {"context": "my-app", "users": ["u1"], "points": [BANNER]}
    with pytest.raises(error, match=message):
        decide_many(connection, **{**arguments, **changed})
    assert local.requests == ()


def test_a_row_becomes_plain_data(connection: UpgradeConnection) -> None:
    users: list[AnyUser] = ["nobody", *known("u2")]
    first, second = decide_many(connection, "my-app", users, [BANNER])
    assert second.as_dict() == {
        "user": "u2",
        "site": "home",
        "target": "banner",
        "condition": "warm",
        "payload": {"type": "string", "value": "Welcome!"},
        "reason": "assigned",
        "error": None,
    }
    assert first.as_dict()["payload"] is None
    assert "User not found" in first.as_dict()["error"]


# ---- Marks ----


@pytest.fixture
def marking(local: LocalUpgrade) -> Iterator[UpgradeConnection]:
    with UpgradeConnection(
        "http://upgrade.local",
        timeout=60.0,
        transport=local.transport,
        outbox=MemoryStore(),
        flush_at_exit=30.0,
    ) as one:
        yield one


def test_what_is_decided_is_marked_by_the_outbox(
    marking: UpgradeConnection, local: LocalUpgrade, collected: Collect
) -> None:
    points = [BANNER, ("home", "footer")]
    users: list[AnyUser] = [*known("u1"), "nobody"]
    rows = collected(lambda: decide_many(marking, "my-app", users, points, mark=True))
    assert [row.reason for row in rows] == [ASSIGNED, NOT_ASSIGNED, ERROR, ERROR]
    assert marking.outbox.flush_sync(30.0) == 0
    assert [(mark.user, mark.target, mark.condition, mark.status) for mark in local.marks] == [
        ("u1", "banner", "warm", "condition applied"),
        ("u1", "footer", None, "no condition assigned"),
    ]


def test_a_job_that_runs_again_marks_nobody_again(
    marking: UpgradeConnection, local: LocalUpgrade, collected: Collect
) -> None:
    users = known("u1", "u2")

    def run(job: str) -> int:
        collected(lambda: decide_many(marking, "my-app", users, [BANNER], mark=True, job=job))
        assert marking.outbox.flush_sync(30.0) == 0
        return len(local.marks)

    assert [run("week 1"), run("week 1"), run("week 2"), run("week 2")] == [2, 2, 4, 4]


def test_queues_are_decided_before_they_are_marked(collected: Collect) -> None:
    local = local_upgrade()
    points = [("twin", "one"), ("twin", "two")]
    with UpgradeConnection(
        "http://upgrade.local",
        timeout=60.0,
        transport=local.transport,
        outbox=MemoryStore(),
        flush_at_exit=30.0,
    ) as one:
        rows = collected(lambda: decide_many(one, "my-app", known("u1"), points, mark=True))
        assert one.outbox.flush_sync(30.0) == 0
    assert [row.condition for row in rows] == ["first", "first"]
    assert [mark.condition for mark in local.marks] == ["first", "first"]


def test_a_mark_that_is_not_handed_over_is_an_error_beside_the_condition(
    local: LocalUpgrade, collected: Collect
) -> None:
    local.hang(endpoint="mark")
    with UpgradeConnection(
        "http://upgrade.local",
        timeout=60.0,
        transport=local.transport,
        outbox=MemoryStore(),
        max_events=1,
        flush_at_exit=0.0,
    ) as one:
        rows = collected(
            lambda: decide_many(
                one, "my-app", known("u1", "u2"), [BANNER], mark=True, concurrency=1
            )
        )
        local.up()
    assert [(row.condition, type(row.error)) for row in rows] == [
        ("warm", type(None)),
        ("warm", OutboxFullError),
    ]


def test_what_is_stale_and_says_that_nothing_is_assigned_is_not_marked(
    local: LocalUpgrade, collected: Collect
) -> None:
    with UpgradeConnection(
        "http://upgrade.local",
        timeout=60.0,
        transport=local.transport,
        store=MemoryStore(),
        max_age=0.0,
        retries=0,
        outbox=MemoryStore(),
        flush_at_exit=30.0,
    ) as one:
        footer = [("home", "footer")]
        collected(lambda: decide_many(one, "my-app", known("u1"), footer))
        local.down()
        (row,) = collected(lambda: decide_many(one, "my-app", ["u1"], footer, mark=True))
        local.up()
        assert row.reason is NOT_ASSIGNED
        assert one.outbox.counts_sync() == {}


def test_memory_does_not_grow_with_the_number_of_users() -> None:
    server = SteeredServer()
    server.answer("assign", [])

    def peak(count: int) -> int:
        with UpgradeConnection(
            "http://upgrade.local", timeout=60.0, transport=server
        ) as connection:
            tracemalloc.start()
            try:
                users = (f"user-{number}" for number in range(count))
                for _ in decide_many(connection, "my-app", users, [BANNER], concurrency=2):
                    server.sent.clear()
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(200)
    assert peak(1_000) < 1.5 * peak(200) + 100_000
