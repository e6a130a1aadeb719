"""Async calls need asyncio: elsewhere they say so, and blocking calls work."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Callable

import httpx
import pytest
import trio

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint, upgrade_with_user
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, blocking
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

URL = "http://upgrade"


def in_trio(method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    async def scenario() -> Any:
        return await method(*args, **kwargs)

    return trio.run(scenario)


def by_hand(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Drive the coroutine in no event loop at all."""
    return method(*args, **kwargs).send(None)


elsewhere = pytest.mark.parametrize("call", [in_trio, by_hand])


@elsewhere
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
@pytest.mark.parametrize("through", ["sockets", "transport"])
def test_an_async_call_says_that_it_needs_asyncio(
    call: Form, operation: Operation, through: str
) -> None:
    upgrade = upgrade_with_user()
    given: dict[str, Any] = {"transport": upgrade.transport} if through == "transport" else {}
    connection = UpgradeConnection(URL, **given)

    with pytest.raises(RuntimeError, match=r"event loop of asyncio.*_sync methods") as caught:
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@elsewhere
def test_closing_says_that_it_needs_asyncio(call: Form) -> None:
    connection = UpgradeConnection(URL)

    with pytest.raises(RuntimeError, match="event loop of asyncio"):
        call(connection.aclose)


def test_a_client_of_the_users_own_needs_it_too() -> None:
    own = httpx.AsyncClient(transport=LocalUpgrade().transport)
    connection = UpgradeConnection(URL, async_http_client=own)

    with pytest.raises(RuntimeError, match="event loop of asyncio"):
        in_trio(connection.client("user", "my-app").init)


def test_blocking_calls_work_under_trio() -> None:
    async def scenario() -> Any:
        return await trio.to_thread.run_sync(client.init_sync), client.init_sync()

    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        assert [user.id for user in trio.run(scenario)] == ["user", "user"]


def test_a_runtime_error_under_asyncio_is_left_alone() -> None:
    import asyncio

    connection = UpgradeConnection(URL)
    connection.close()

    with pytest.raises(RuntimeError, match="the connection to http://upgrade is closed"):
        asyncio.run(connection.client("user", "my-app").init())
    with pytest.raises(RuntimeError, match="the connection to http://upgrade is closed"):
        blocking(connection.client("user", "my-app").init)
