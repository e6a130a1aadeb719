"""What is asked for at the same time is asked of the server once, in tasks and threads alike."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support_forms import Form, blocking, both_forms, in_event_loop
from tests.support_reads import Read, begun, every_read, until_waiting
from tests.support_server import Background, SteeredServer, client_of, initialised, local_upgrade
from upgrade_client_lib import RequestTimeoutError, UpgradeApiError, UpgradeClient

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


@both_forms
@every_read
def test_views_share_with_their_client(
    server: SteeredServer, client: UpgradeClient, call: Form, read: Read
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


@both_forms
@every_read
def test_a_view_keeps_what_is_cached_when_its_client_is_gone(
    server: SteeredServer, call: Form, read: Read
) -> None:
    view = initialised(server).with_options(timeout=9.0)

    for _ in range(3):
        read.through(call, view)

    assert server.count(read.endpoint) == 1


# ---- Patience ----


@both_forms
@every_read
def test_an_impatient_waiter_gives_up_alone(
    server: SteeredServer, client: UpgradeClient, call: Form, read: Read
) -> None:
    hold = server.hold_next(read.endpoint)
    impatient = client.with_options(timeout=0.05)
    with Background(call) as background:
        leading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        with pytest.raises(RequestTimeoutError) as caught:
            read.through(call, impatient)
        hold.release()
        assert leading.result() == read.through(call, client)

    assert caught.value.message == (
        "no answer within 0.05 s: another caller's request for the same is still under way"
    )
    assert server.count(read.endpoint) == 1


# ---- Asking afresh beside other reads ----


@both_forms
def test_a_fresh_read_holds_up_no_warm_one_and_serves_the_cold_ones(
    server: SteeredServer, client: UpgradeClient, call: Form
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


@both_forms
def test_every_fresh_read_asks_the_server(
    server: SteeredServer, client: UpgradeClient, call: Form
) -> None:
    """Those of flags take turns; see test_flag_turns.py."""
    read = client.get_all_experiment_conditions
    holds = [server.hold_next("assign") for _ in range(3)]
    with Background(call) as background:
        reads = [background.begin(read, ignore_cache=True) for _ in holds]
        for hold in holds:
            hold.wait()
        for hold in reversed(holds):
            hold.release()
        assert [begun.result() for begun in reads] == [call(read)] * 3

    assert server.count("assign") == 3


@both_forms
@pytest.mark.parametrize("ends_first", ["old", "new"])
def test_of_two_answers_the_one_that_was_asked_for_last_is_kept(
    call: Form, ends_first: str
) -> None:
    upgrade = local_upgrade()
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    read = client.get_all_experiment_conditions
    first, last = server.hold_next("assign", "after"), server.hold_next("assign", "after")
    with Background(call) as background:
        old = background.begin(read, ignore_cache=True)
        first.wait()
        upgrade.experiment("added", "later", conditions=["only"])
        new = background.begin(read, ignore_cache=True)
        last.wait()
        endings = [(first, old), (last, new)]
        for hold, ending in endings if ends_first == "old" else reversed(endings):
            hold.release()
            ending.result()
        assert len(old.result()) == len(new.result()) - 1

    assert call(read) == new.result()


@both_forms
def test_a_fresh_read_that_fails_leaves_an_earlier_one_to_be_kept(
    server: SteeredServer, client: UpgradeClient, call: Form
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
