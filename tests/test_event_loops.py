"""Blocking calls inside event loops, and one client in threads and loops."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from tests.support_clock import Clock
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import blocking, each_engine
from tests.support_marking import APPLIED
from tests.support_reads import Read, begun, every_read
from tests.support_server import Background, SteeredServer, local_upgrade
from upgrade_client_lib import UpgradeClient, UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine")

# ---- Blocking calls inside an event loop ----


@every_read
def test_a_blocking_call_inside_a_loop_whose_task_leads_asks_for_itself(
    server: SteeredServer, client: UpgradeClient, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.running(monkeypatch)

    async def scenario() -> tuple[Any, Any]:
        hold = server.hold_next(read.endpoint)
        (leading,) = begun(1, read, client)
        await hold.wait_async()
        clock.let_pass(6.0)  # flags are asked for in turn, and the task's ends with its time
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


@each_engine
def test_event_loops_side_by_side_use_one_client() -> None:
    upgrade = local_upgrade()
    with upgrade.serve() as url, UpgradeClient("user", url, "my-app") as client:
        client.init_sync()
        with ThreadPoolExecutor(4) as threads:
            runs = [threads.submit(asyncio.run, every_call(client)) for _ in range(4)]
            for run in runs:
                run.result()

    assert len(upgrade.marks) == 4


# ---- How event loops end ----


@each_engine
@pytest.mark.parametrize("closed", [False, True])
def test_an_event_loop_that_is_dropped_takes_its_connections_with_it(closed: bool) -> None:
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url) as connection,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ResourceWarning)  # of loops and sockets, unclosed
        loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
        for _ in range(5):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(connection.client("user", "my-app").init())
            if closed:
                loop.close()
            loops.append(weakref.ref(loop))
            del loop
            gc.collect()
        server.wait_until_all_hung_up()
        transport = connection._server._transport  # pyright: ignore[reportPrivateUsage]
        assert [loop() for loop in loops] == [None] * 5
        assert transport._async is not None  # pyright: ignore[reportPrivateUsage]
        assert not transport._async.pools  # pyright: ignore[reportPrivateUsage]

    assert server.connections == 5


@each_engine
def test_an_event_loop_that_stops_and_goes_on_keeps_its_connections() -> None:
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        loop = asyncio.new_event_loop()
        for _ in range(3):
            loop.run_until_complete(client.init())
        call = loop.create_task(client.init())
        loop.run_until_complete(asyncio.sleep(0))
        assert loop.run_until_complete(call).id == "user"
        loop.run_until_complete(connection.aclose())
        loop.close()

    assert server.connections == 1


def uvloops() -> Callable[[], asyncio.AbstractEventLoop]:
    uvloop = pytest.importorskip("uvloop")
    return uvloop.new_event_loop  # type: ignore[no-any-return]


@each_engine
def test_calls_work_in_a_uvloop() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, max_connections=1) as connection:
            client = connection.client("user", "my-app")
            cancelled = asyncio.ensure_future(client.init())
            await asyncio.to_thread(server.wait_for, 1, "init")
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert cancelled.cancelled()
            assert (await client.init()).id == "user"
            await asyncio.to_thread(server.open_connections, 1)
        await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer(init=[never_answers]) as server:
        loop = uvloops()()
        loop.run_until_complete(scenario())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    assert server.connections == 2


@each_engine
def test_a_uvloop_that_ends_closes_its_connections() -> None:
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        loop = uvloops()()
        loop.run_until_complete(connection.client("user", "my-app").init())
        loop.run_until_complete(loop.shutdown_asyncgens())
        server.wait_until_all_hung_up()
        loop.close()


NESTED = """
import asyncio, sys
import nest_asyncio
from upgrade_client_lib import UpgradeClient, UpgradeConnection

url = sys.argv[1]

async def outer():
    client = UpgradeClient("user", url, "my-app")
    await client.init()
    return asyncio.run(inner(client))

async def inner(client):
    return (await client.init()).id

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
nest_asyncio.apply(loop)
print(loop.run_until_complete(outer()), asyncio.run(outer()))
"""


def test_a_program_with_nested_event_loops_ends_without_a_traceback() -> None:
    pytest.importorskip("nest_asyncio")
    with FaultyServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", NESTED, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.wait_until_all_hung_up()

    assert (done.returncode, done.stdout, done.stderr) == (0, "user user\n", "")
