"""How many requests and connections things take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from tests.support_calls import upgrade_with_user
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib import UpgradeClient, UpgradeConnection, _server


@pytest.fixture
def shared_connections(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    """The shared connections of a new process, closed in the end."""
    shared: dict[str, _server.Server] = {}
    monkeypatch.setattr(_server, "_shared", shared)
    yield
    for one in shared.values():
        one.close()


# ---- Requests ----


def test_fifty_tasks_that_read_cold_make_one_request() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url) as connection:
            client = connection.client("user", "my-app")
            reads = [client.get_decision_point_assignment("home", "banner") for _ in range(49)]
            whole = asyncio.ensure_future(client.get_all_experiment_conditions())
            first, *others = await asyncio.gather(*reads)
            assert first is not None
            assert all(one is first for one in others)
            assert len(await whole) == 2
            flags = [client.has_feature_flag("new-dashboard") for _ in range(50)]
            assert await asyncio.gather(*flags) == [True] * 50

    with FaultyServer(upgrade_with_user()) as server:
        asyncio.run(scenario())

    assert (server.count("assign"), server.count("featureflag")) == (1, 1)


def test_fifty_threads_that_read_cold_make_one_request() -> None:
    together = threading.Barrier(50)

    def read(_: int) -> tuple[str, bool]:
        together.wait()
        assignment = client.get_decision_point_assignment_sync("home", "banner")
        assert assignment is not None
        return assignment.get_condition(), client.has_feature_flag_sync("new-dashboard")

    with (
        FaultyServer(upgrade_with_user()) as server,
        UpgradeConnection(server.url) as connection,
        ThreadPoolExecutor(50) as pool,
    ):
        client = connection.client("user", "my-app")
        assert list(pool.map(read, range(50))) == [("first", True)] * 50

    assert (server.count("assign"), server.count("featureflag")) == (1, 1)


def test_threads_and_event_loops_that_read_cold_make_one_request() -> None:
    together = threading.Barrier(10)

    def read(i: int) -> Any:
        together.wait()
        if i % 2:
            return client.get_decision_point_assignment_sync("home", "banner")
        return asyncio.run(client.get_decision_point_assignment("home", "banner"))

    with (
        FaultyServer(upgrade_with_user()) as server,
        UpgradeConnection(server.url) as connection,
        ThreadPoolExecutor(10) as pool,
    ):
        client = connection.client("user", "my-app")
        conditions = {one.get_condition() for one in pool.map(read, range(10))}

    assert conditions == {"first"}
    assert server.count("assign") == 1


@both_forms
def test_warm_reads_make_no_request(call: Form) -> None:
    upgrade = upgrade_with_user()
    with FaultyServer(upgrade) as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        for _ in range(20):
            assert call(client.get_decision_point_assignment, "home", "banner") is not None
            assert call(client.get_decision_point_assignment, "nowhere") is None
            assert call(client.has_feature_flag, "new-dashboard")
            assert not call(client.has_feature_flag, "old-dashboard")

    assert len(server.received) == 2


# ---- Connections ----


def test_a_thousand_calls_in_a_row_take_one_connection() -> None:
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        for _ in range(1000):
            client.init_sync()

    assert (server.count("init"), server.connections) == (1000, 1)


def test_a_thousand_calls_in_a_row_in_an_event_loop_take_one_connection() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url) as connection:
            client = connection.client("user", "my-app")
            for _ in range(1000):
                await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert (server.count("init"), server.connections) == (1000, 1)


@pytest.mark.usefixtures("shared_connections")
def test_ten_thousand_clients_of_a_host_share_one_pool() -> None:
    with FaultyServer() as server:
        spellings = [server.url, f"{server.url}/", f"{server.url}/api", f"{server.url}/api/"]
        clients = [UpgradeClient(f"user-{i}", spellings[i % 4], "my-app") for i in range(10_000)]
        assert server.connections == 0
        for client in clients[::101]:
            client.init_sync()

        assert (server.count("init"), server.connections) == (100, 1)
        for shared in _server._shared.values():  # pyright: ignore[reportPrivateUsage]
            shared.close()
        server.wait_until_all_hung_up()


@pytest.mark.usefixtures("shared_connections")
def test_hosts_have_connections_of_their_own() -> None:
    with FaultyServer() as one, FaultyServer() as other:
        for server in (one, other, one):
            UpgradeClient("user", server.url, "my-app").init_sync()
        for shared in _server._shared.values():  # pyright: ignore[reportPrivateUsage]
            shared.close()

    assert (one.count("init"), one.connections) == (2, 1)
    assert (other.count("init"), other.connections) == (1, 1)


def close(client: UpgradeClient) -> None:
    client.close()


def aclose(client: UpgradeClient) -> None:
    asyncio.run(client.aclose())


@pytest.mark.parametrize("end", [close, aclose])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.usefixtures("shared_connections")
def test_closing_a_client_closes_no_connection(
    end: Callable[[UpgradeClient], None], shared: bool
) -> None:
    with FaultyServer() as server, UpgradeConnection(server.url) as own:
        given = None if shared else own
        stays = UpgradeClient("stays", server.url, "my-app", connection=given)
        for i in range(3):
            with UpgradeClient(f"goes-{i}", server.url, "my-app", connection=given) as goes:
                goes.init_sync()
                end(goes)
            stays.init_sync()
        for one in _server._shared.values():  # pyright: ignore[reportPrivateUsage]
            one.close()

    assert (server.count("init"), server.connections) == (6, 1)
