"""Flag requests of one user never overlap in a process: a 6.5.0 server would not survive it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support_clock import MARGIN, taking
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    RequestTimeoutError,
    Timeout,
    UpgradeConnection,
)
from upgrade_client_lib._user import turns
from upgrade_client_lib.testing import LocalUpgrade

URL = "http://upgrade"


class Counting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Counts how many flag requests of each user are on their way at a time."""

    def __init__(self, upgrade: LocalUpgrade) -> None:
        self.most: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._upgrade = upgrade
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._begin(request)
        threading.Event().wait(0.005)  # so that others overlap if they may
        response = self._upgrade.transport.handle_request(request)
        self._end(request)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._begin(request)
        for _ in range(10):
            await asyncio.sleep(0)
        response = await self._upgrade.transport.handle_async_request(request)
        self._end(request)
        return response

    def _begin(self, request: httpx.Request) -> None:
        user = request.headers["user-id"]
        with self._lock:
            self._now[user] = self._now.get(user, 0) + 1
            self.most[user] = max(self.most.get(user, 0), self._now[user])

    def _end(self, request: httpx.Request) -> None:
        with self._lock:
            self._now[request.headers["user-id"]] -= 1


@pytest.fixture
def counting() -> Counting:
    upgrade = LocalUpgrade()
    for user in ("one", "other"):
        UpgradeConnection(URL, transport=upgrade.transport).client(user, "my-app").init_sync()
    return Counting(upgrade)


def test_threads_with_clients_and_connections_of_their_own_take_turns(counting: Counting) -> None:
    def ask(number: int) -> None:
        connection = UpgradeConnection(URL, transport=counting)
        user = "one" if number % 4 else "other"
        connection.client(user, "my-app").get_all_feature_flags_sync()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(16)))

    assert counting.most == {"one": 1, "other": 1}


def test_tasks_take_turns_and_threads_with_them(counting: Counting) -> None:
    async def scenario() -> None:
        connections = [UpgradeConnection(URL, transport=counting) for _ in range(8)]
        clients = [connection.client("one", "my-app") for connection in connections]
        await asyncio.gather(
            *(one.get_all_feature_flags() for one in clients[:4]),
            *(asyncio.to_thread(one.get_all_feature_flags_sync) for one in clients[4:]),
        )

    asyncio.run(scenario())

    assert counting.most == {"one": 1}


@both_forms
def test_a_flag_request_that_the_server_may_still_work_on_is_not_sent_again(call: Form) -> None:
    with (
        FaultyServer(featureflag=never_answers) as server,
        UpgradeConnection(server.url, timeout=Timeout(read=0.1), retries=2) as connection,
    ):
        client = connection.client("user", "my-app")
        call(client.init)
        with pytest.raises(RequestTimeoutError):
            call(client.get_all_feature_flags)

    assert server.count("featureflag") == 1


@both_forms
def test_who_waits_for_a_turn_waits_no_longer_than_the_call_may_take(call: Form) -> None:
    with (
        FaultyServer(featureflag=[never_answers]) as server,
        UpgradeConnection(server.url, timeout=30.0) as connection,
        ThreadPoolExecutor(1) as other,
    ):
        call(connection.client("user", "my-app").init)
        stuck = other.submit(connection.client("user", "my-app").get_all_feature_flags_sync)
        server.wait_for(1, "featureflag")
        waiting = connection.client("user", "my-app").with_options(timeout=0.1)
        with pytest.raises(RequestTimeoutError, match="another request for this user's flags"):
            call(waiting.get_all_feature_flags)
        connection.close()
        with pytest.raises(Exception, match="closed"):
            stuck.result(10)

    assert server.count("featureflag") == 1


def test_a_turn_that_an_interrupt_dropped_is_no_turn() -> None:
    turns._turns["http://upgrade", "one"] = turns._Turn(0.0)  # pyright: ignore[reportPrivateUsage]

    assert dict(turns._turns) == {}  # pyright: ignore[reportPrivateUsage]


class Silent(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers blocking calls, and no others."""

    def __init__(self, upgrade: LocalUpgrade) -> None:
        self._upgrade = upgrade
        self.was_asked = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._upgrade.transport.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.was_asked = True
        never: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        return await never


def test_a_turn_of_an_event_loop_that_was_closed_ends_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def until_it_is_sent() -> None:
        while not transport.was_asked:
            await asyncio.sleep(0)

    monkeypatch.setattr(turns, "RECHECK_SECONDS", 0.01)
    upgrade = LocalUpgrade()
    transport = Silent(upgrade)
    connection = UpgradeConnection(URL, transport=transport, timeout=60.0)
    client = connection.client("user", "my-app")
    client.init_sync()
    loop = asyncio.new_event_loop()
    left = loop.create_task(connection.client("user", "my-app").get_all_feature_flags())
    loop.run_until_complete(until_it_is_sent())
    loop.close()
    with taking(0, MARGIN):
        assert client.get_all_feature_flags_sync() == []
    assert not left.done()
