"""Loads that fail or are cancelled while others wait for them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support_forms import Form, blocking, both_forms
from tests.support_reads import READS, Read, begun, every_read, until_waiting
from tests.support_server import Background, SteeredServer
from upgrade_client_lib import NoConnectionError, ServerError, Timeout, UpgradeClient

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


@both_forms
@every_read
def test_after_an_error_on_a_warm_client_what_was_known_stays(
    server: SteeredServer, client: UpgradeClient, call: Form, read: Read
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


PATIENT = Timeout(total=8.0, read=6.0)
HASTIER = [
    Timeout(total=7.0, read=6.0),
    Timeout(total=8.0, read=5.0),
    Timeout(total=9.0, read=5.0),
]


def led_and_waited(
    server: SteeredServer, read: Read, leading: UpgradeClient, waiting: UpgradeClient
) -> tuple[Any, Any]:
    """What a leader whose request is lost gets, and what somebody who waited for it gets."""

    async def scenario() -> tuple[Any, Any]:
        hold = server.hold_next(read.endpoint, error=httpx.ConnectError)
        leader = asyncio.ensure_future(read(leading))
        await hold.wait_async()
        waiter = asyncio.ensure_future(read(waiting))
        await until_waiting()
        hold.release()
        await asyncio.wait([leader, waiter])
        return leader.exception() or leader.result(), waiter.exception() or waiter.result()

    return asyncio.run(scenario())


@every_read
@pytest.mark.parametrize("hastier", HASTIER, ids=["total", "step", "step of a longer call"])
def test_a_waiter_whose_options_give_it_longer_asks_for_itself_when_the_leader_fails(
    server: SteeredServer, client: UpgradeClient, read: Read, hastier: Timeout
) -> None:
    hasty = client.with_options(retries=0)
    leading, waiting = hasty.with_options(timeout=hastier), hasty.with_options(timeout=PATIENT)

    failed, found = led_and_waited(server, read, leading, waiting)

    assert isinstance(failed, NoConnectionError)
    assert found == read.sync(client)
    assert server.count(read.endpoint) == 2


@every_read
def test_a_waiter_who_may_retry_asks_for_itself_when_a_leader_who_may_not_fails(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    failed, found = led_and_waited(server, read, client.with_options(retries=0), client)

    assert isinstance(failed, NoConnectionError)
    assert found == read.sync(client)
    assert server.count(read.endpoint) == 2


@every_read
@pytest.mark.parametrize("hastier", HASTIER[:2], ids=["total", "step"])
def test_a_waiter_whose_options_give_it_no_longer_fails_with_the_leader(
    server: SteeredServer, client: UpgradeClient, read: Read, hastier: Timeout
) -> None:
    hasty = client.with_options(retries=0)
    leading, waiting = hasty.with_options(timeout=PATIENT), hasty.with_options(timeout=hastier)

    errors = led_and_waited(server, read, leading, waiting)

    assert [type(error) for error in errors] == [NoConnectionError] * 2
    assert server.count(read.endpoint) == 1


def test_the_error_of_a_waiter_says_what_caused_it(
    server: SteeredServer, client: UpgradeClient
) -> None:
    hasty = client.with_options(retries=0)

    async def scenario() -> list[Any]:
        hold = server.hold_next("assign")
        server.answer("assign", {})  # where a list belongs
        tasks = begun(2, READS[0], hasty)
        await hold.wait_async()
        await until_waiting()
        hold.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    leader, waiter = asyncio.run(scenario())

    assert waiter is not leader
    assert str(waiter) == str(leader)
    assert waiter.__cause__ is leader.__cause__ is not None


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


@pytest.mark.parametrize("read", READS[:2], ids=lambda read: read.method)
def test_when_the_leader_is_cancelled_what_was_learned_meanwhile_serves(
    server: SteeredServer, client: UpgradeClient, read: Read
) -> None:
    async def scenario() -> Any:
        first, second = server.hold_next("assign"), server.hold_next("assign")
        leading, waiting = begun(2, read, client)
        await first.wait_async()
        await until_waiting()
        anew = asyncio.ensure_future(client.get_all_experiment_conditions(ignore_cache=True))
        await second.wait_async()
        second.release()
        await anew
        leading.cancel()
        return await waiting

    assert asyncio.run(scenario()) == read.sync(client)
    assert server.count("assign") == 2


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
