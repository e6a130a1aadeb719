"""What is asked for at the same time is asked of the server once, in tasks and threads alike."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import httpx
import pytest

from tests.support_faces import FACES, Face, blocking, in_event_loop
from tests.support_server import (
    Background,
    SteeredServer,
    client_of,
    initialised,
    local_upgrade,
)
from upgrade_client_lib import (
    NoConnectionError,
    RequestTimeoutError,
    ServerError,
    UpgradeApiError,
    UpgradeClient,
)
from upgrade_client_lib.testing import LocalUpgrade

both_faces = pytest.mark.parametrize("call", FACES)
APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED


@attrs.frozen
class Read:
    """A question whose answer is cached."""

    endpoint: str
    method: str
    arguments: tuple[str, ...] = ()

    def __call__(self, client: UpgradeClient) -> Coroutine[Any, Any, Any]:
        question: Coroutine[Any, Any, Any] = getattr(client, self.method)(*self.arguments)
        return question

    def sync(self, client: UpgradeClient) -> Any:
        return getattr(client, f"{self.method}_sync")(*self.arguments)

    def through(self, call: Face, client: UpgradeClient) -> Any:
        return call(getattr(client, self.method), *self.arguments)


READS = [
    Read("assign", "get_all_experiment_conditions"),
    Read("assign", "get_decision_point_assignment", ("home", "banner")),
    Read("featureflag", "get_all_feature_flags"),
    Read("featureflag", "has_feature_flag", ("new-dashboard",)),
]
every_read = pytest.mark.parametrize("read", READS, ids=lambda read: read.method)


async def until_waiting() -> None:
    """Let every task that was begun run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def begun(count: int, read: Read, client: UpgradeClient) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(read(client)) for _ in range(count)]


@pytest.fixture
def server() -> SteeredServer:
    return SteeredServer(local_upgrade().transport)


@pytest.fixture
def client(server: SteeredServer) -> UpgradeClient:
    return initialised(server)


# ---- One request for all ----


@every_read
def test_50_tasks_share_one_request(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> list[Any]:
        hold = server.hold_next(read.endpoint)
        tasks = begun(50, read, client)
        await hold.wait_async()
        hold.release()
        return list(await asyncio.gather(*tasks))

    results = asyncio.run(scenario())

    assert results == [read.sync(client_of(server))] * 50
    assert server.count(read.endpoint) == 2  # theirs, and that of the comparison


@every_read
def test_50_threads_share_one_request(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    start = threading.Barrier(51)

    def ask() -> Any:
        start.wait(10)
        return read.sync(client)

    hold = server.hold_next(read.endpoint)
    with ThreadPoolExecutor(50) as threads:
        asked = [threads.submit(ask) for _ in range(50)]
        start.wait(10)
        hold.wait()
        hold.release()
        results = [one.result() for one in asked]

    assert results == [read.sync(client)] * 50
    assert server.count(read.endpoint) == 1


@every_read
@pytest.mark.parametrize("leader", ["thread", "task"])
def test_threads_and_tasks_share_one_request(
    server: SteeredServer, client: UpgradeClient, read: Read, leader: str
) -> None:
    async def scenario() -> list[Any]:
        loop = asyncio.get_running_loop()
        hold = server.hold_next(read.endpoint)
        with ThreadPoolExecutor(25) as threads:

            def in_threads(count: int) -> list[asyncio.Future[Any]]:
                return [loop.run_in_executor(threads, read.sync, client) for _ in range(count)]

            asked = [*(in_threads(1) if leader == "thread" else begun(1, read, client))]
            await hold.wait_async()
            asked += [*in_threads(24), *begun(25, read, client)]
            await until_waiting()
            hold.release()
            return await asyncio.gather(*asked)

    results = asyncio.run(scenario())

    assert results == [read.sync(client)] * 50
    assert server.count(read.endpoint) == 1


@every_read
def test_event_loops_of_several_threads_share_one_request(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    hold = server.hold_next(read.endpoint)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(read.through, in_event_loop, client) for _ in range(8)]
        hold.wait()
        hold.release()
        results = [one.result() for one in asked]

    assert results == [read.sync(client)] * 8
    assert server.count(read.endpoint) == 1


def test_assignments_and_flags_do_not_wait_for_each_other(
    server: SteeredServer, client: UpgradeClient
) -> None:
    hold = server.hold_next("assign")
    with Background(blocking) as background:
        loading = background.begin(client.get_all_experiment_conditions)
        hold.wait()
        assert client.has_feature_flag_sync("new-dashboard")
        hold.release()
        loading.result()


def test_clients_do_not_wait_for_each_other(server: SteeredServer, client: UpgradeClient) -> None:
    hold = server.hold_next("assign")
    with Background(blocking) as background:
        loading = background.begin(client.get_all_experiment_conditions)
        hold.wait()
        assert client_of(server).get_all_experiment_conditions_sync()
        hold.release()
        loading.result()


@both_faces
@every_read
def test_views_share_with_their_client(
    server: SteeredServer, client: UpgradeClient, call: Face, read: Read
) -> None:
    hold = server.hold_next(read.endpoint)
    with Background(call) as background:
        asked = [
            background.begin(getattr(one, read.method), *read.arguments)
            for one in (client, client.with_options(timeout=9.0), client.with_options(retries=0))
        ]
        hold.wait()
        hold.release()
        results = [one.result() for one in asked]

    assert results == [read.through(call, client)] * 3
    assert server.count(read.endpoint) == 1


@both_faces
@every_read
def test_a_view_keeps_what_is_cached_when_its_client_is_gone(
    server: SteeredServer, call: Face, read: Read
) -> None:
    view = initialised(server).with_options(timeout=9.0)

    for _ in range(3):
        read.through(call, view)

    assert server.count(read.endpoint) == 1


# ---- Failure ----


@every_read
def test_if_the_request_fails_all_get_the_error_and_the_next_call_tries_again(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    hasty = client.with_options(retries=0)

    async def scenario() -> list[Any]:
        hold = server.hold_next(read.endpoint)
        server.answer(read.endpoint, {"message": "not now", "type": "Weather"}, status=500)
        tasks = begun(50, read, hasty)
        await hold.wait_async()
        hold.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = asyncio.run(scenario())

    assert server.count(read.endpoint) == 1
    for error in errors:
        assert isinstance(error, ServerError)
        assert (error.message, error.status_code, error.error_type) == ("not now", 500, "Weather")
        assert error.endpoint == f"POST /api/v6/{read.endpoint}"
    assert len({id(error) for error in errors}) == 50, "one error would gather 50 tracebacks"

    server.forget_answers()
    assert read.sync(hasty)
    assert server.count(read.endpoint) == 2


@pytest.mark.parametrize("leader", ["thread", "task"])
def test_tasks_get_the_error_whoever_led(
    server: SteeredServer, client: UpgradeClient, leader: str
) -> None:
    read = READS[0]
    hasty = client.with_options(retries=0)

    async def scenario() -> list[Any]:
        hold = server.hold_next("assign")
        first = (
            asyncio.ensure_future(asyncio.to_thread(read.sync, hasty))
            if leader == "thread"
            else asyncio.ensure_future(read(hasty))
        )
        server.answer("assign", {}, status=500)
        await hold.wait_async()
        others = begun(5, read, hasty)
        await until_waiting()
        hold.release()
        return await asyncio.gather(first, *others, return_exceptions=True)

    errors = asyncio.run(scenario())

    assert [type(error) for error in errors] == [ServerError] * 6
    assert server.count("assign") == 1


def test_threads_get_the_error_of_a_leading_task(
    server: SteeredServer, client: UpgradeClient
) -> None:
    read = READS[0]
    hasty = client.with_options(retries=0)
    server.answer("assign", {}, status=500)

    async def scenario() -> list[Any]:
        hold = server.hold_next("assign")
        leading = asyncio.ensure_future(read(hasty))
        await hold.wait_async()
        with ThreadPoolExecutor(4) as threads:
            loop = asyncio.get_running_loop()
            others = [loop.run_in_executor(threads, read.sync, hasty) for _ in range(4)]
            hold.release()
            return await asyncio.gather(leading, *others, return_exceptions=True)

    errors = asyncio.run(scenario())

    assert [type(error) for error in errors] == [ServerError] * 5


@both_faces
@every_read
def test_after_an_error_on_a_warm_client_what_was_known_stays(
    server: SteeredServer, client: UpgradeClient, call: Face, read: Read
) -> None:
    known = read.through(call, client)
    server.lose_next(read.endpoint, "before", httpx.ConnectError)
    anew = {
        "assign": client.with_options(retries=0).get_all_experiment_conditions,
        "featureflag": client.with_options(retries=0).get_all_feature_flags,
    }[read.endpoint]

    with pytest.raises(NoConnectionError):
        call(anew, ignore_cache=True)

    assert read.through(call, client) == known
    assert server.count(read.endpoint) == 2


def test_the_error_of_a_waiter_says_what_caused_it(
    server: SteeredServer, client: UpgradeClient
) -> None:
    hasty = client.with_options(retries=0)

    async def scenario() -> list[Any]:
        hold = server.hold_next("assign")
        server.answer("assign", {}, status=500)
        tasks = begun(2, READS[0], hasty)
        await hold.wait_async()
        await until_waiting()
        hold.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    leader, waiter = asyncio.run(scenario())

    assert waiter.__cause__ is leader


# ---- Cancellation ----


@every_read
def test_a_cancelled_waiter_cancels_nobody_else(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> list[Any]:
        hold = server.hold_next(read.endpoint)
        tasks = begun(10, read, client)
        await hold.wait_async()
        await until_waiting()
        for waiter in tasks[1:6]:
            waiter.cancel()
        await until_waiting()
        assert all(waiter.cancelled() for waiter in tasks[1:6])
        hold.release()
        return await asyncio.gather(tasks[0], *tasks[6:])

    assert asyncio.run(scenario()) == [read.sync(client)] * 5
    assert server.count(read.endpoint) == 1


@every_read
def test_when_the_leader_is_cancelled_another_leads(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> list[Any]:
        holds = [server.hold_next(read.endpoint) for _ in range(2)]
        tasks = begun(10, read, client)
        await holds[0].wait_async()
        await until_waiting()
        tasks[0].cancel()
        await holds[1].wait_async()
        assert tasks[0].cancelled()
        holds[1].release()
        return await asyncio.gather(*tasks[1:])

    assert asyncio.run(scenario()) == [read.sync(client)] * 9
    assert server.count(read.endpoint) == 2


def test_when_the_leading_task_is_cancelled_a_waiting_thread_leads(
    server: SteeredServer, client: UpgradeClient
) -> None:
    async def scenario() -> Any:
        first, second = server.hold_next("assign"), server.hold_next("assign")
        (leading,) = begun(1, READS[0], client)
        await first.wait_async()
        waiting = asyncio.ensure_future(asyncio.to_thread(READS[0].sync, client))
        await until_waiting()
        leading.cancel()
        await second.wait_async()
        second.release()
        return await waiting

    assert len(asyncio.run(scenario())) == 6
    assert server.count("assign") == 2


@every_read
def test_when_all_are_cancelled_the_next_call_asks_again(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> None:
        hold = server.hold_next(read.endpoint)
        tasks = begun(3, read, client)
        await hold.wait_async()
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(scenario())

    assert read.sync(client)
    assert server.count(read.endpoint) == 2


@every_read
def test_a_leader_whose_event_loop_ended_leaves_the_load_to_others(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> None:
        hold = server.hold_next(read.endpoint)
        abandoned.extend(begun(1, read, client))
        await hold.wait_async()

    abandoned: list[asyncio.Task[Any]] = []
    asyncio.run(scenario())  # which cancels what is still under way

    assert read.sync(client)
    assert asyncio.run(read(client))
    assert server.count(read.endpoint) == 2


@every_read
def test_a_leader_whose_event_loop_stopped_holds_nobody_up_once_it_is_overdue(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> asyncio.Task[Any]:
        (leading,) = begun(1, read, client.with_options(timeout=0.2))
        await hold.wait_async()
        return leading

    hold = server.hold_next(read.endpoint)
    loop = asyncio.new_event_loop()
    leading = loop.run_until_complete(scenario())

    with Background(blocking) as background:  # not in this thread, which is the loop's
        asked = background.begin(getattr(client, read.method), *read.arguments)
        assert asked.result()
    assert server.count(read.endpoint) == 2

    leading.cancel()
    loop.run_until_complete(asyncio.wait([leading]))
    loop.close()


# ---- Patience ----


@both_faces
@every_read
def test_an_impatient_waiter_gives_up_alone(
    server: SteeredServer, client: UpgradeClient, call: Face, read: Read
) -> None:
    hold = server.hold_next(read.endpoint)
    impatient = client.with_options(timeout=0.05)
    with Background(call) as background:
        leading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        with pytest.raises(RequestTimeoutError, match=r"0\.05 s"):
            read.through(call, impatient)
        hold.release()
        assert leading.result() == read.through(call, client)

    assert server.count(read.endpoint) == 1


# ---- Blocking calls inside an event loop ----


@every_read
def test_a_blocking_call_inside_a_loop_whose_task_leads_asks_for_itself(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> tuple[Any, Any]:
        hold = server.hold_next(read.endpoint)
        (leading,) = begun(1, read, client)
        await hold.wait_async()
        blocked = read.sync(client)
        hold.release()
        return blocked, await leading

    blocked, led = asyncio.run(scenario())

    assert blocked == led == read.sync(client)
    assert server.count(read.endpoint) == 2


@every_read
def test_a_blocking_call_inside_a_loop_waits_for_a_thread_that_leads(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    hold = server.hold_next(read.endpoint)

    async def scenario() -> Any:
        return read.sync(client)

    with Background(blocking) as background:
        leading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        inside = background.run(asyncio.run, scenario())
        hold.release()
        assert inside.result() == leading.result()

    assert server.count(read.endpoint) == 1


@every_read
def test_a_blocking_load_inside_a_loop_serves_tasks_that_come_after(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> list[Any]:
        tasks = begun(3, read, client)
        blocked = read.sync(client)
        return [blocked, *await asyncio.gather(*tasks)]

    results = asyncio.run(scenario())

    assert results == [read.sync(client)] * 4
    assert server.count(read.endpoint) == 1


# ---- Sync and async, threads and loops, over sockets ----


def every_call_sync(client: UpgradeClient) -> None:
    client.init_sync()
    assignment = client.get_decision_point_assignment_sync("home", "banner")
    assert assignment is not None
    assignment.mark_decision_point_sync(APPLIED)
    assert client.has_feature_flag_sync("new-dashboard")
    assert client.log_sync([]) == []


async def every_call(client: UpgradeClient) -> None:
    await client.init()
    assignment = await client.get_decision_point_assignment("home", "banner")
    assert assignment is not None
    await assignment.mark_decision_point(APPLIED)
    assert await client.has_feature_flag("new-dashboard")
    assert await client.log([]) == []


def test_sync_and_async_in_turn_in_threads_and_in_one_event_loop_after_another() -> None:
    async def both(client: UpgradeClient) -> None:
        await every_call(client)
        every_call_sync(client)
        await every_call(client)

    upgrade = local_upgrade()
    with upgrade.serve() as url, UpgradeClient("user", url, "my-app") as client:
        every_call_sync(client)
        asyncio.run(every_call(client))
        asyncio.run(both(client))
        every_call_sync(client)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(every_call_sync, [client] * 4))
        asyncio.run(both(client))

    assert len(upgrade.marks) == 13


def test_event_loops_side_by_side_use_one_client() -> None:
    upgrade = local_upgrade()
    with upgrade.serve() as url, UpgradeClient("user", url, "my-app") as client:
        client.init_sync()
        with ThreadPoolExecutor(4) as threads:
            runs = [threads.submit(asyncio.run, every_call(client)) for _ in range(4)]
            for run in runs:
                run.result()

    assert len(upgrade.marks) == 4


# ---- What clears the cache while a load is under way ----


@both_faces
@every_read
@pytest.mark.parametrize("handled", ["before", "after"])
def test_an_answer_from_before_init_serves_its_caller_and_is_not_kept(
    call: Face, read: Read, handled: Any
) -> None:
    upgrade = LocalUpgrade()
    old, new = {"class": ["class-1"]}, {"class": ["class-2"]}
    upgrade.experiment("home", "banner", conditions=["old"], include=old, name="old")
    upgrade.experiment("home", "banner", conditions=["new"], include=new, name="new")
    upgrade.flag("old-dashboard", include=old)
    upgrade.flag("new-dashboard", include=new)
    server = SteeredServer(upgrade.transport)
    client = client_of(server)
    call(client.init, group=old)
    before = read.through(call, client_of(upgrade.transport))
    hold = server.hold_next(read.endpoint, handled)
    with Background(call) as background:
        loading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        call(client.init, group=new)
        after = read.through(call, client_of(upgrade.transport))
        assert read.through(call, client) == after != before
        hold.release()
        assert loading.result() == (before if handled == "after" else after)

    assert read.through(call, client) == after
    assert server.count(read.endpoint) == 2


@both_faces
@pytest.mark.parametrize(
    "method", ["set_group_membership", "set_working_group", "set_alt_user_ids"]
)
def test_an_answer_from_before_a_change_of_the_user_is_not_kept(
    server: SteeredServer, client: UpgradeClient, call: Face, method: str
) -> None:
    arguments: dict[str, object] = {
        "set_group_membership": {"class": ["class-1"]},
        "set_working_group": {"class": "class-1"},
        "set_alt_user_ids": ["alias"],
    }
    holds = [server.hold_next("assign", "after"), server.hold_next("featureflag", "after")]
    with Background(call) as background:
        loading = [
            background.begin(client.get_all_experiment_conditions),
            background.begin(client.get_all_feature_flags),
        ]
        for hold in holds:
            hold.wait()
        call(getattr(client, method), arguments[method])
        for hold in holds:
            hold.release()
        for load in loading:
            load.result()

    call(client.get_all_experiment_conditions)
    call(client.get_all_feature_flags)
    assert (server.count("assign"), server.count("featureflag")) == (2, 2)


@both_faces
def test_flags_from_before_a_change_of_session_groups_are_not_kept(call: Face) -> None:
    upgrade = LocalUpgrade()
    upgrade.flag("restricted", include={"class": ["class-1"]})
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    hold = server.hold_next("featureflag", "after")
    with Background(call) as background:
        loading = background.begin(client.has_feature_flag, "restricted")
        hold.wait()
        client.set_feature_flag_user_groups_for_session({"class": ["class-1"]}, False)
        assert call(client.has_feature_flag, "restricted")
        hold.release()
        assert not loading.result()

    assert call(client.has_feature_flag, "restricted")
    assert server.count("featureflag") == 2


@both_faces
@every_read
def test_a_client_that_is_closed_during_a_load_keeps_nothing(
    server: SteeredServer, client: UpgradeClient, call: Face, read: Read
) -> None:
    hold = server.hold_next(read.endpoint, "after")
    with Background(call) as background:
        loading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        client.close()
        hold.release()
        assert loading.result()

    with pytest.raises(RuntimeError, match="closed"):
        read.through(call, client)


# ---- Asking afresh beside other reads ----


@both_faces
def test_a_fresh_read_holds_up_no_warm_one_and_serves_the_cold_ones(
    server: SteeredServer, client: UpgradeClient, call: Face
) -> None:
    hold = server.hold_next("assign")
    with Background(call) as background:
        cold = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        hold.wait()
        joined = background.begin(client.get_decision_point_assignment, "home", "banner")
        hold.release()
        assert joined.result() in cold.result()
        assert server.count("assign") == 1

        hold = server.hold_next("assign")
        fresh = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        hold.wait()
        assert call(client.get_all_experiment_conditions) == cold.result()
        hold.release()
        fresh.result()

    assert server.count("assign") == 2


@both_faces
@pytest.mark.parametrize("method", ["get_all_experiment_conditions", "get_all_feature_flags"])
def test_every_fresh_read_asks_the_server(
    server: SteeredServer, client: UpgradeClient, call: Face, method: str
) -> None:
    endpoint = "assign" if method == "get_all_experiment_conditions" else "featureflag"
    holds = [server.hold_next(endpoint) for _ in range(3)]
    with Background(call) as background:
        reads = [background.begin(getattr(client, method), ignore_cache=True) for _ in holds]
        for hold in holds:
            hold.wait()
        for hold in reversed(holds):
            hold.release()
        assert [read.result() for read in reads] == [call(getattr(client, method))] * 3

    assert server.count(endpoint) == 3


@both_faces
@pytest.mark.parametrize("method", ["get_all_experiment_conditions", "get_all_feature_flags"])
def test_of_two_answers_the_one_that_was_asked_for_last_is_kept(call: Face, method: str) -> None:
    upgrade = local_upgrade()
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    endpoint = "assign" if method == "get_all_experiment_conditions" else "featureflag"
    first, last = server.hold_next(endpoint, "after"), server.hold_next(endpoint, "after")
    with Background(call) as background:
        old = background.begin(getattr(client, method), ignore_cache=True)
        first.wait()
        upgrade.experiment("added", "later", conditions=["only"])
        upgrade.flag("added-later")
        new = background.begin(getattr(client, method), ignore_cache=True)
        last.wait()
        last.release()
        assert len(new.result()) > 1
        first.release()
        assert len(old.result()) == len(new.result()) - 1

    assert call(getattr(client, method)) == new.result()


@both_faces
def test_a_fresh_read_that_fails_leaves_an_earlier_one_to_be_kept(
    server: SteeredServer, client: UpgradeClient, call: Face
) -> None:
    first, last = server.hold_next("assign", "after"), server.hold_next("assign")
    with Background(call) as background:
        old = background.begin(client.get_all_experiment_conditions)
        first.wait()
        new = background.begin(
            client.with_options(retries=0).get_all_experiment_conditions, ignore_cache=True
        )
        last.wait()
        server.answer("assign", {}, status=500)
        last.release()
        with pytest.raises(UpgradeApiError):
            new.result()
        first.release()
        assert old.result() == call(client.get_all_experiment_conditions)

    assert server.count("assign") == 2


# ---- Child processes ----

if hasattr(os, "fork"):

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    @pytest.mark.parametrize("under_way", ["mark", "assign"])
    def test_a_child_is_not_bothered_by_what_its_parent_has_under_way(under_way: str) -> None:
        upgrade = local_upgrade()
        server = SteeredServer(upgrade.transport)
        client = initialised(server)
        client.get_all_experiment_conditions_sync()
        hold = server.hold_next(under_way)
        with Background(blocking) as background:
            begun = (
                background.begin(client.mark_decision_point, "single", "queue", "first", APPLIED)
                if under_way == "mark"
                else background.begin(client.get_all_experiment_conditions, ignore_cache=True)
            )
            hold.wait()
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                os._exit(_reads_again(client, server))
            _, status = os.waitpid(child, 0)
            hold.release()
            begun.result()

        assert status == 0

    def _reads_again(client: UpgradeClient, server: SteeredServer) -> int:
        """What the child does: one fresh read must keep all the next ones warm."""
        loads = server.count("assign")
        client.get_all_experiment_conditions_sync(ignore_cache=True)
        for _ in range(2):
            client.get_decision_point_assignment_sync("single", "queue")
            client.get_all_experiment_conditions_sync()
        return server.count("assign") - loads - 1
