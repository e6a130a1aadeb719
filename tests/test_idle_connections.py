"""Connections between calls: how long they are kept, and which of them carry marks and rewards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support_calls import COUNTED, INIT, Operation, by_endpoint, upgrade_with_user
from tests.support_clock import Clock
from tests.support_faulty_server import (
    FaultyServer,
    answers_more_than_was_asked,
    hangs_up_after_answer,
)
from tests.support_forms import Form, blocking, each_engine, every_way
from upgrade_client_lib import UpgradeClient, UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine", "first_calls_made")


async def awaited(form: Form, operation: Operation, client: UpgradeClient) -> None:
    """Call in the running event loop, through either form."""
    result = operation.call(form if form is blocking else begun, client)
    if form is not blocking:
        await result


def begun(method: object, *arguments: object, **named: object) -> object:
    assert callable(method)
    return method(*arguments, **named)


@every_way
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
def test_what_counts_does_not_go_out_on_a_connection_that_was_idle_for_long(
    call: Form, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be closing it; whether it applied the request would be left open."""

    async def scenario() -> None:
        with UpgradeConnection(server.url) as connection:
            client = connection.client("user", "my-app")
            await awaited(call, operation, client)
            before = server.connections
            await awaited(call, operation, client)
            assert server.connections == before
            clock.let_pass(1.1)
            await awaited(call, operation, client)
            assert server.connections == before + 1

    clock = Clock.running(monkeypatch)
    with FaultyServer(upgrade_with_user()) as server:
        asyncio.run(scenario())

    assert server.count(operation.endpoint) == 3


@every_way
def test_other_calls_do_go_out_on_such_a_connection(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with UpgradeConnection(server.url) as connection:
            client = connection.client("user", "my-app")
            await awaited(call, INIT, client)
            clock.let_pass(1.1)
            await awaited(call, INIT, client)

    clock = Clock.running(monkeypatch)
    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.connections == 1


@every_way
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
def test_what_counts_does_not_go_out_on_a_connection_that_the_server_closed(
    call: Form, operation: Operation
) -> None:
    async def scenario() -> None:
        with UpgradeConnection(server.url, retries=0) as connection:
            client = connection.client("user", "my-app")
            for _ in range(10):
                await awaited(call, INIT, client)
                await asyncio.to_thread(server.wait_until_all_hung_up)
                await awaited(call, operation, client)
                await asyncio.to_thread(server.wait_until_all_hung_up)

    hanging_up: dict[str, Any] = {
        "init": hangs_up_after_answer,
        operation.endpoint: hangs_up_after_answer,
    }
    with FaultyServer(upgrade_with_user(), **hanging_up) as server:
        asyncio.run(scenario())

    assert server.count(operation.endpoint) == 10


@every_way
@pytest.mark.parametrize("operation", by_endpoint([INIT, *COUNTED]))
def test_a_call_notices_what_the_server_closed_while_the_event_loop_was_busy(
    call: Form, operation: Operation
) -> None:
    async def scenario() -> None:
        with UpgradeConnection(server.url, retries=0) as connection:
            client = connection.client("user", "my-app")
            for _ in range(5):
                await awaited(call, operation, client)
                server.wait_until_all_hung_up()

    hanging_up: dict[str, Any] = {operation.endpoint: hangs_up_after_answer}
    with FaultyServer(upgrade_with_user(), **hanging_up) as server:
        asyncio.run(scenario())

    assert server.count(operation.endpoint) == 5


@every_way
@pytest.mark.parametrize("is_proxy", [False, True], ids=["server", "proxy"])
@pytest.mark.parametrize("user_id", ["user", "usér"])  # aiohttp sends ASCII alone
def test_an_answer_that_nobody_asked_for_is_not_taken_for_that_of_the_next_call(
    call: Form, is_proxy: bool, user_id: str
) -> None:
    async def scenario() -> None:
        url, proxy = ("http://upgrade.local", server.url) if is_proxy else (server.url, None)
        with UpgradeConnection(url, proxy=proxy, retries=0) as connection:
            client = connection.client(user_id, "my-app")
            for _ in range(2):
                result = call(client.init) if call is blocking else await client.init()
                assert result.id == user_id
            assert server.connections == 2

    with FaultyServer(init=answers_more_than_was_asked) as server:
        asyncio.run(scenario())


@each_engine
def test_an_event_loop_closes_idle_connections_by_itself() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, keepalive_expiry=0.1) as connection:
            client = connection.client("user", "my-app")
            await asyncio.gather(*(client.init() for _ in range(3)))
            await asyncio.to_thread(server.wait_until_all_hung_up)
            await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.count("init") == 4


@each_engine
def test_a_blocking_call_closes_connections_that_others_left_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock.running(monkeypatch)
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")

        async def in_a_loop() -> None:
            client.init_sync()

        client.init_sync()
        clock.let_pass(4.1)
        asyncio.run(in_a_loop())
        assert server.open_connections(1) == 1

    assert server.connections == 2
