"""Looking up a host's name: it keeps to deadlines, and takes nothing from the application."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from tests.support_calls import MARK, marks_at_banner, upgrade_with_user
from tests.support_children import FORK_WARNING, in_child, needs_fork
from tests.support_clock import MARGIN, taking
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, each_engine, every_way
from upgrade_client_lib import NoConnectionError, RequestTimeoutError, Timeout, UpgradeConnection
from upgrade_client_lib._http import resolver

pytestmark = pytest.mark.usefixtures("engine", "first_calls_made")

HOST = "upgrade.example.org"
SHORT = 0.4  # in which a busy machine begins to look up
LONG = 30.0
TCP = (socket.AF_INET, socket.SOCK_STREAM, 6, "")


@attrs.define
class Names:
    """A resolver that knows one host; it can be slow, or fail."""

    answers: threading.Event = attrs.field(factory=threading.Event)
    looked_up: list[int] = attrs.field(factory=list[int])
    fails: bool = False

    def look_up(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        if host != HOST:  # an address, as it was found
            return [(*TCP, (host, port))]
        self.looked_up.append(os.getpid())
        assert self.answers.wait(LONG)
        if self.fails:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(*TCP, ("127.0.0.1", port))]

    def wait_until_asked(self) -> None:
        while not self.looked_up:
            threading.Event().wait(0.001)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Generator[Names, None, None]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    try:
        yield names
    finally:
        names.answers.set()
        for thread in threading.enumerate():
            if HOST in thread.name:
                thread.join(LONG)


def connected_by_name(server: FaultyServer, **options: Any) -> UpgradeConnection:
    return UpgradeConnection(f"http://{HOST}:{server.port}", trust_env=False, **options)


@every_way
@pytest.mark.parametrize(
    "timeout", [Timeout(total=SHORT), Timeout(total=LONG, connect=SHORT)], ids=["total", "connect"]
)
def test_a_slow_look_up_ends_with_the_call(call: Form, timeout: Timeout, names: Names) -> None:
    with (
        FaultyServer() as server,
        connected_by_name(server, timeout=timeout, retries=0) as connection,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError, match="looking up the host's name") as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert not caught.value.may_have_been_applied
    assert server.connections == 0


@each_engine
def test_tasks_share_a_look_up_which_takes_no_thread_of_the_application(names: Names) -> None:
    async def scenario() -> None:
        async with connected_by_name(server, timeout=Timeout(total=LONG, connect=LONG)) as own:
            client = own.client("user", "my-app")
            calls = [asyncio.ensure_future(client.init()) for _ in range(12)]
            await asyncio.to_thread(names.wait_until_asked)
            names.answers.set()
            assert {user.id for user in await asyncio.gather(*calls)} == {"user"}

    with FaultyServer() as server, ThreadPoolExecutor(1) as single:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(single)
        loop.run_until_complete(scenario())
        loop.close()

    assert len(names.looked_up) == 1


def test_threads_share_a_look_up(names: Names) -> None:
    with (
        FaultyServer() as server,
        connected_by_name(server, timeout=Timeout(total=LONG, connect=LONG)) as connection,
        ThreadPoolExecutor(8) as threads,
    ):
        client = connection.client("user", "my-app")
        calls = [threads.submit(client.init_sync) for _ in range(8)]
        names.wait_until_asked()
        names.answers.set()
        assert {call.result().id for call in calls} == {"user"}

    assert len(names.looked_up) < 8


@each_engine
def test_a_cancelled_call_leaves_the_look_up_to_the_others(names: Names) -> None:
    async def scenario() -> None:
        async with connected_by_name(server, timeout=Timeout(total=LONG, connect=LONG)) as own:
            client = own.client("user", "my-app")
            cancelled, other = (asyncio.ensure_future(client.init()) for _ in range(2))
            await asyncio.to_thread(names.wait_until_asked)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert cancelled.cancelled()
            names.answers.set()
            assert (await other).id == "user"

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert len(names.looked_up) == 1


@every_way
def test_a_host_that_is_not_known_was_sent_nothing(call: Form, names: Names) -> None:
    names.answers.set()
    names.fails = True
    upgrade = upgrade_with_user()
    with FaultyServer(upgrade) as server, connected_by_name(server, retries=0) as connection:
        client = connection.client("user", "my-app")
        with pytest.raises(NoConnectionError, match="Name or service not known") as caught:
            call(client.init)
        assert not caught.value.may_have_been_applied
        names.fails = False
        MARK.call(call, client)

    assert marks_at_banner(upgrade) == 1


@needs_fork
@pytest.mark.filterwarnings(FORK_WARNING)
def test_a_child_looks_up_for_itself_what_its_parent_is_looking_up(names: Names) -> None:
    def work() -> str:
        names.answers = threading.Event()
        names.answers.set()
        return connection.client("user", "my-app").init_sync().id

    with FaultyServer() as server, connected_by_name(server) as connection:
        looking_up = resolver.look_up(HOST, server.port)
        names.wait_until_asked()
        assert in_child(work) == "user"
        assert not looking_up.done()
        names.answers.set()
        assert looking_up.result(LONG) == ["127.0.0.1"]


@every_way
def test_a_host_without_an_address_cannot_be_reached(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: object, **__: object) -> list[Any]:
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with (
        UpgradeConnection(f"http://{HOST}", trust_env=False, retries=0) as connection,
        pytest.raises(NoConnectionError, match="the host's name has no address") as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert not caught.value.may_have_been_applied


def test_what_fails_outside_the_resolver_reaches_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, port: int, *_: object, **__: object) -> list[Any]:
        raise MemoryError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(MemoryError):
        resolver.look_up(HOST, 80).result(LONG)


@pytest.mark.parametrize(
    ("found", "address"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1"),
        (("fe80::1", 80, 0, 7), "fe80::1%7"),
        (("fe80::1%eth0", 80, 0, 7), "fe80::1%eth0"),
    ],
)
def test_an_address_keeps_its_scope(
    found: tuple[Any, ...], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", found)] * 2

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    assert resolver.look_up(HOST, 80).result(LONG) == [address]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_the_system_is_not_asked_for_an_address(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert resolver.look_up(address, 80).result(0) == [address]


def test_a_look_up_for_which_no_thread_can_be_started_is_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert resolver.look_up("localhost", 80).result(0)
