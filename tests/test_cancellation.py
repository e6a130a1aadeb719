"""Tasks that are cancelled: they end at once, and leave nothing that others would trip over."""

from __future__ import annotations

import asyncio

import pytest

from tests.support_calls import APPLIED, upgrade_with_user
from tests.support_clock import MARGIN, Clock, taking
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import each_engine
from tests.support_server import SteeredServer
from upgrade_client_lib import Timeout, UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine")

LONG = 30.0


@each_engine
def test_a_cancelled_call_closes_its_socket() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, timeout=LONG) as connection:
            client = connection.client("user", "my-app")
            call = asyncio.ensure_future(client.init())
            await asyncio.to_thread(server.wait_for, 1, "init")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(server.wait_until_all_hung_up)
            await client.init()

    with FaultyServer(init=[never_answers]) as server:
        asyncio.run(scenario())

    assert server.connections == 2


@each_engine
@pytest.mark.parametrize("steps", range(5))
def test_a_mark_that_is_cancelled_as_it_begins_closes_its_socket(steps: int) -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, timeout=LONG) as connection:
            client = connection.client("user", "my-app")
            await client.init()
            for _ in range(2):
                await client.mark_decision_point("home", "banner", "control", APPLIED)
                call = asyncio.ensure_future(
                    client.mark_decision_point("home", "banner", "control", APPLIED)
                )
                for _ in range(steps):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
        with taking(0, MARGIN):  # the server would not keep one that is idle for longer
            await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer() as server:
        asyncio.run(scenario())


@each_engine
def test_a_cancelled_call_gives_its_place_to_the_next() -> None:
    async def scenario() -> str:
        async with UpgradeConnection(
            server.url, timeout=Timeout(total=LONG, pool=LONG), max_connections=1
        ) as connection:
            client = connection.client("user", "my-app")
            stuck = asyncio.ensure_future(client.init())
            await asyncio.to_thread(server.wait_for, 1, "init")
            waiting = [asyncio.ensure_future(client.init()) for _ in range(5)]
            await asyncio.gather(*[asyncio.sleep(0) for _ in waiting])
            for task in [*waiting[1:], stuck]:
                task.cancel()
            await asyncio.wait([stuck, *waiting])
            assert all(task.cancelled() for task in [*waiting[1:], stuck])
            return (await waiting[0]).id

    with FaultyServer(init=[never_answers]) as server:
        assert asyncio.run(scenario()) == "user"
    assert server.count("init") == 2


@each_engine
def test_a_cancelled_call_does_not_return() -> None:
    """Also when the cancellation crosses the free place it was waiting for."""

    async def scenario() -> None:
        async with UpgradeConnection(server.url, max_connections=1) as connection:
            client = connection.client("user", "my-app")
            for _ in range(20):
                first = asyncio.ensure_future(client.init())
                second = asyncio.ensure_future(client.init())
                first.add_done_callback(lambda _, second=second: second.cancel())  # type: ignore[misc]
                await asyncio.wait([first, second])
                assert second.cancelled()
                assert not first.cancelled()
            await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())


@each_engine
def test_a_call_cancelled_as_its_turn_comes_passes_it_on() -> None:
    """By the very call that gives the place back: then the turn has come, and nobody knows yet."""

    async def scenario() -> None:
        async def first_and_only() -> None:
            await client.init()
            second.cancel()

        async with UpgradeConnection(server.url, timeout=5.0, max_connections=1) as connection:
            client = connection.client("user", "my-app")
            first = asyncio.ensure_future(first_and_only())
            second = asyncio.ensure_future(client.init())
            await asyncio.wait([first, second])
            assert second.cancelled()
            await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.count("init") == 2


@each_engine
def test_a_cancelled_wait_for_anothers_load_does_not_return() -> None:
    """Also when the cancellation crosses the answer."""

    async def scenario() -> None:
        async with UpgradeConnection(server.url) as connection:
            for i in range(20):
                client = connection.client(f"user-{i}", "my-app")
                await client.init()
                leader = asyncio.ensure_future(client.get_all_feature_flags())
                waiter = asyncio.ensure_future(client.get_all_feature_flags())
                leader.add_done_callback(lambda _, waiter=waiter: waiter.cancel())  # type: ignore[misc]
                await asyncio.wait([leader, waiter])
                assert waiter.cancelled()
                assert not leader.cancelled()

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.count("featureflag") == 20


def test_a_caller_who_takes_over_a_cancelled_load_keeps_to_its_own_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with UpgradeConnection(
            "http://upgrade", transport=server, timeout=60.0
        ) as connection:
            client = connection.client("user", "my-app")
            held = server.hold_next("featureflag")
            leader = asyncio.ensure_future(client.get_all_feature_flags())
            await held.wait_async()
            hurried = client.with_options(timeout=Timeout(total=40.0, read=40.0))
            waiter = asyncio.ensure_future(hurried.get_all_feature_flags())
            await asyncio.sleep(0)
            clock.let_pass(30.0)
            leader.cancel()
            await waiter

    clock = Clock.stopped(monkeypatch)
    server = SteeredServer(upgrade_with_user().transport)
    asyncio.run(scenario())

    assert [sent.timeouts["read"] for sent in server.sent] == pytest.approx([5.0, 10.0])


@each_engine
def test_a_cancelled_mark_leaves_its_point_to_be_asked_for_again() -> None:
    """The server may have counted it."""

    async def scenario() -> str:
        async with UpgradeConnection(server.url, timeout=LONG) as connection:
            client = connection.client("user", "my-app")
            assignment = await client.get_decision_point_assignment("home", "banner")
            assert assignment is not None
            mark = asyncio.ensure_future(assignment.mark_decision_point(APPLIED))
            await asyncio.to_thread(server.wait_for, 1, "mark")
            mark.cancel()
            await asyncio.wait([mark])
            following = await client.get_decision_point_assignment("home", "banner")
            assert following is not None
            return following.get_condition()

    with FaultyServer(upgrade_with_user(), mark=[never_answers]) as server:
        assert asyncio.run(scenario()) == "second"

    assert server.count("assign") == 2
