"""How many requests are under way at a time, and how others wait for their turn."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support_clock import MARGIN, Clock, taking
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import each_engine
from tests.support_server import SteeredServer
from upgrade_client_lib import RequestTimeoutError, Timeout, UpgradeConnection
from upgrade_client_lib._http.slots import Lease
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("engine", "first_calls_made")

SHORT = 0.08
LONG = 30.0


def test_a_thread_that_finds_no_free_connection_in_time_sent_nothing() -> None:
    timeout = Timeout(total=LONG, pool=SHORT, read=SHORT * 4)
    with (
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(server.url, timeout=timeout, retries=0, max_connections=1) as connection,
        ThreadPoolExecutor(1) as other,
    ):
        client = connection.client("user", "my-app")
        first = other.submit(client.init_sync)
        server.wait_for(1, "init")
        with taking(SHORT, SHORT + MARGIN), pytest.raises(RequestTimeoutError) as caught:
            client.init_sync()
        with pytest.raises(RequestTimeoutError):
            first.result()

    assert "no free connection" in caught.value.message
    assert not caught.value.may_have_been_applied
    assert server.count("init") == 1


@each_engine
def test_a_task_that_finds_no_free_connection_in_time_sent_nothing() -> None:
    async def scenario() -> RequestTimeoutError:
        async with UpgradeConnection(
            server.url, timeout=timeout, retries=0, max_connections=1
        ) as connection:
            client = connection.client("user", "my-app")
            results = await asyncio.gather(
                *[client.init() for _ in range(3)], return_exceptions=True
            )
        errors = [error for error in results if isinstance(error, RequestTimeoutError)]
        assert len(errors) == 3
        return min(errors, key=lambda error: error.may_have_been_applied)

    timeout = Timeout(total=LONG, pool=SHORT, read=SHORT * 3)
    with FaultyServer(init=never_answers) as server:
        error = asyncio.run(scenario())

    assert "no free connection" in error.message
    assert not error.may_have_been_applied
    assert server.count("init") == 1


@each_engine
def test_no_more_requests_are_in_flight_in_a_loop_than_there_are_connections() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, max_connections=3) as connection:
            clients = [connection.client(f"user-{i}", "my-app") for i in range(50)]
            await asyncio.gather(*[client.init() for client in clients])

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.count("init") == 50
    assert server.connections == 3


def test_no_more_tasks_are_inside_a_transport_of_the_users_own_than_there_are_connections() -> None:
    class Counting(httpx.AsyncBaseTransport):
        inside = most = done = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.inside += 1
            self.most = max(self.most, self.inside)
            for _ in range(5):
                await asyncio.sleep(0)  # all the others come as far as they can
            self.inside -= 1
            self.done += 1
            return httpx.Response(200, json={"id": "user"})

    async def scenario() -> None:
        async with UpgradeConnection(
            "http://upgrade", transport=transport, max_connections=3
        ) as connection:
            client = connection.client("user", "my-app")
            await asyncio.gather(*[client.init() for _ in range(20)])

    transport = Counting()
    asyncio.run(scenario())

    assert (transport.most, transport.done) == (3, 20)


def test_a_thread_waits_for_a_transport_of_the_users_own_as_for_a_connection() -> None:
    server = SteeredServer(LocalUpgrade().transport)
    timeout = Timeout(total=LONG, pool=SHORT)
    with (
        UpgradeConnection(
            "http://upgrade", transport=server, timeout=timeout, retries=0, max_connections=1
        ) as connection,
        ThreadPoolExecutor(1) as other,
    ):
        client = connection.client("user", "my-app")
        held = server.hold_next("init")
        first = other.submit(client.init_sync)
        held.wait()
        with pytest.raises(RequestTimeoutError, match="no free connection"):
            client.init_sync()
        assert server.count("init") == 1
        held.release()
        assert first.result().id == "user"


def test_what_a_call_waited_for_its_turn_is_taken_off_the_limits_of_its_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def acquire(slots: object, seconds: float) -> Lease:
        clock.let_pass(0.75 * LONG)
        return Lease()

    def release(slots: object, lease: Lease) -> None:
        clock.let_pass(LONG)

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"])
        return httpx.Response(200, json={"id": "user"})

    limits: list[dict[str, float]] = []
    clock = Clock.stopped(monkeypatch)
    monkeypatch.setattr("upgrade_client_lib._http.slots.SyncSlots.acquire", acquire)
    monkeypatch.setattr("upgrade_client_lib._http.slots.SyncSlots.release", release)
    timeout = Timeout(total=LONG, connect=LONG, read=LONG, write=LONG, pool=LONG)
    connection = UpgradeConnection(
        "http://upgrade", timeout=timeout, transport=httpx.MockTransport(answer)
    )

    connection.client("user", "my-app").init_sync()

    left = pytest.approx(0.25 * LONG)
    assert limits == [{"connect": left, "read": left, "write": left, "pool": left}]
