"""Blocking calls inside event loops, and one client in threads and loops."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support_faces import blocking
from tests.support_marking import APPLIED
from tests.support_reads import Read, begun, every_read
from tests.support_server import Background, SteeredServer, local_upgrade
from upgrade_client_lib import UpgradeClient

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
