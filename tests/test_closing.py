"""How connections end: closed from anywhere, with their event loop, or with the program."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import trustme

from tests.support_faulty_server import FaultyServer, answers, never_answers
from tests.support_forms import Form, blocking, both_forms, each_engine, every_way, in_event_loop
from tests.support_server import SteeredServer
from upgrade_client_lib import (
    NoConnectionError,
    Timeout,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
    _server,
)
from upgrade_client_lib._user import single_flight
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("engine")

URL = "http://upgrade"


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """One to serve with, and one that trusts it."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)  # pyright: ignore[reportUnknownMemberType]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    return serving, trusting


@every_way
def test_a_closed_connection_refuses_calls(call: Form) -> None:
    with FaultyServer() as server:
        connection = UpgradeConnection(server.url)
        client = connection.client("user", "my-app")
        call(client.init)
        connection.close()
        connection.close()
        with pytest.raises(RuntimeError, match=f"the connection to {server.url} is closed"):
            call(client.init)
        with pytest.raises(RuntimeError, match="is closed"):
            call(connection.client("other", "my-app").init)
        server.wait_until_all_hung_up()

    assert server.count("init") == 1


@pytest.mark.parametrize("busy", ["caches", "sockets", "shared connections"])
def test_a_finalizer_may_close_what_its_thread_is_at_work_with(busy: str) -> None:
    """The garbage collector calls finalizers anywhere, in the midst of our own work too."""
    own = UpgradeConnection(URL)
    transport = own._server._transport  # pyright: ignore[reportPrivateUsage]
    held = {
        "caches": single_flight.lock,
        "sockets": transport._lock,  # pyright: ignore[reportPrivateUsage]
        "shared connections": _server._shared_lock,  # pyright: ignore[reportPrivateUsage]
    }[busy]
    closed = threading.Event()

    def work() -> None:
        with held:
            UpgradeClient("user", "http://finalized", "my-app").close()
            own.close()
        closed.set()

    threading.Thread(target=work, daemon=True).start()

    assert closed.wait(5)


@both_forms
@pytest.mark.parametrize("own", ["http_client", "transport"])
def test_a_closed_connection_refuses_calls_through_what_is_the_users_own(
    call: Form, own: str
) -> None:
    upgrade = LocalUpgrade()
    given: dict[str, Any] = {"transport": upgrade.transport}
    if own == "http_client":
        given = {
            "http_client": httpx.Client(transport=upgrade.transport),
            "async_http_client": httpx.AsyncClient(transport=upgrade.transport),
        }
    connection = UpgradeConnection(URL, **given)
    client = connection.client("user", "my-app")
    call(client.init)
    connection.close()

    with pytest.raises(RuntimeError, match="the connection to http://upgrade is closed"):
        call(client.init)


def test_leaving_a_with_block_closes_the_sockets() -> None:
    with FaultyServer() as server:
        with UpgradeConnection(server.url) as connection:
            connection.client("user", "my-app").init_sync()
        server.wait_until_all_hung_up()


@each_engine
def test_leaving_an_async_with_block_closes_the_sockets_before_it_returns() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url) as connection:
            await connection.client("user", "my-app").init()
            connection.client("user", "my-app").init_sync()
        server.wait_until_all_hung_up()  # which gives the loop no time for it

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.connections == 2


@each_engine
def test_close_inside_an_event_loop_has_the_loop_close_its_sockets() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url)
        await connection.client("user", "my-app").init()
        connection.close()
        await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer() as server:
        asyncio.run(scenario())


@each_engine
def test_close_as_the_last_thing_in_an_event_loop_closes_its_sockets() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url)
        await connection.client("user", "my-app").init()
        connection.close()

    with FaultyServer() as server:
        asyncio.run(scenario())
        server.wait_until_all_hung_up()


@each_engine
@pytest.mark.parametrize("close", [blocking, in_event_loop])
def test_closing_reaches_the_event_loops_of_other_threads(close: Form) -> None:
    async def until_closed() -> None:
        await connection.client("user", "my-app").init()
        called.set()
        await asyncio.to_thread(server.wait_until_all_hung_up)

    called = threading.Event()
    with FaultyServer() as server, ThreadPoolExecutor(1) as pool:
        connection = UpgradeConnection(server.url)
        loop = pool.submit(asyncio.run, until_closed())
        assert called.wait(5)
        asyncio.run(connection.aclose()) if close is in_event_loop else connection.close()
        loop.result(5)


@pytest.mark.parametrize("tls", [False, True])
def test_closing_ends_the_calls_under_way_in_threads(
    tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    serving, trusting = tls_contexts()
    with (
        FaultyServer(init=never_answers, tls=serving if tls else None) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        connection = UpgradeConnection(
            server.url, timeout=Timeout(total=30.0, read=30.0), retries=0, ssl_context=trusting
        )
        under_way = pool.submit(connection.client("user", "my-app").init_sync)
        server.wait_for(1, "init")
        connection.close()
        with pytest.raises(NoConnectionError, match="was closed meanwhile") as caught:
            under_way.result(10)
        server.wait_until_all_hung_up()

    assert caught.value.may_have_been_applied
    assert caplog.records == []


def test_a_call_that_waited_for_a_connection_meets_the_closed_one() -> None:
    with (
        FaultyServer(init=never_answers) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        connection = UpgradeConnection(server.url, max_connections=1, retries=0)
        one, other = (connection.client(user, "my-app") for user in ("one", "other"))
        under_way = pool.submit(one.with_options(timeout=0.3).init_sync)
        server.wait_for(1, "init")
        waiting = pool.submit(other.init_sync)
        connection.close()
        with pytest.raises(UpgradeApiError):
            under_way.result(5)
        with pytest.raises(RuntimeError, match="is closed"):
            waiting.result(5)

    assert server.count("init") == 1


def test_a_task_that_waited_for_a_connection_meets_the_closed_one() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(URL, transport=server, max_connections=1)
        held = server.hold_next("init")
        under_way = asyncio.ensure_future(connection.client("one", "my-app").init())
        await held.wait_async()
        waiting = asyncio.ensure_future(connection.client("other", "my-app").init())
        await asyncio.sleep(0)
        connection.close()
        held.release()
        assert (await under_way).id == "one"
        with pytest.raises(RuntimeError, match="is closed"):
            await waiting

    server = SteeredServer(LocalUpgrade().transport)
    asyncio.run(scenario())

    assert server.count("init") == 1


@every_way
def test_a_call_whose_connection_is_closed_as_it_connects_sends_nothing(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_meanwhile(*args: Any, **options: Any) -> Any:
        connection.close()
        return look_up(*args, **options)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", closed_meanwhile)
    with FaultyServer() as server:
        url = server.url.replace("127.0.0.1", "localhost")
        connection = UpgradeConnection(url, retries=0)
        with pytest.raises(NoConnectionError, match="was closed meanwhile") as caught:
            call(connection.client("user", "my-app").init)
        server.wait_until_all_hung_up()

    assert not caught.value.may_have_been_applied
    assert server.count("init") == 0


@pytest.mark.parametrize("tls", [False, True])
def test_closing_amid_the_calls_of_other_threads_tells_them_so(tls: bool) -> None:
    said: set[bool] = set()

    def call(connection: UpgradeConnection) -> str:
        client = connection.client("user", "my-app")
        while True:
            try:
                client.init_sync()
            except NoConnectionError as error:
                said.add("was closed meanwhile" in error.message)
            except RuntimeError as error:
                return str(error)

    serving, trusting = tls_contexts()
    with FaultyServer(tls=serving if tls else None) as server, ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            connection = UpgradeConnection(
                server.url, max_connections=4, retries=0, ssl_context=trusting
            )
            calls = [threads.submit(call, connection) for _ in range(4)]
            before = server.count("init")
            server.wait_for(before + 4, "init")
            connection.close()
            assert {"is closed" in one.result(10) for one in calls} == {True}
        server.wait_until_all_hung_up()
    assert False not in said


@each_engine
def test_a_cancelled_aclose_closes_all_the_same() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url)
        client = connection.client("user", "my-app")
        await asyncio.gather(*(client.init() for _ in range(5)))
        closing = asyncio.ensure_future(connection.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer() as server:
        asyncio.run(scenario())


@each_engine
@pytest.mark.parametrize("is_cancelled", [True, False])
def test_an_aclose_waits_for_what_another_one_began(is_cancelled: bool) -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url)
        client = connection.client("user", "my-app")
        await asyncio.gather(*(client.init() for _ in range(5)))
        before = asyncio.all_tasks()
        closing = asyncio.ensure_future(connection.aclose())
        await asyncio.sleep(0)
        if is_cancelled:
            closing.cancel()
        await connection.aclose()
        assert asyncio.all_tasks() - before <= {closing}
        await asyncio.wait([closing])

    with FaultyServer() as server:
        asyncio.run(scenario())


@each_engine
def test_closing_ends_the_calls_under_way_in_event_loops() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url, timeout=30.0, retries=0)
        under_way = asyncio.ensure_future(connection.client("user", "my-app").init())
        await asyncio.to_thread(server.wait_for, 1, "init")
        await connection.aclose()
        with pytest.raises(NoConnectionError, match="was closed meanwhile"):
            await asyncio.wait_for(under_way, 5)

    with FaultyServer(init=never_answers) as server:
        asyncio.run(scenario())


@every_way
def test_a_call_that_was_to_be_tried_again_meets_the_closed_connection(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    import random

    def closing(low: float, high: float) -> float:
        connection.close()
        return low

    monkeypatch.setattr(random, "uniform", closing)
    with FaultyServer(init=answers(502)) as server:
        connection = UpgradeConnection(server.url)
        with pytest.raises(RuntimeError, match="is closed"):
            call(connection.client("user", "my-app").init)
        server.wait_until_all_hung_up()

    assert server.connections == 1


# ---- Event loops that end ----


@each_engine
def test_an_event_loop_that_ends_closes_its_sockets_and_is_forgotten() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def scenario() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.init()

    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        asyncio.run(scenario())
        server.wait_until_all_hung_up()
        gc.collect()
        assert loops[0]() is None
        client.init_sync()


def test_an_event_loop_that_was_closed_by_hand_is_forgotten_with_the_next() -> None:
    # With a transport of the user's own, nothing is left to do when a loop shuts down.
    with UpgradeConnection(URL, transport=LocalUpgrade().transport) as connection:
        client = connection.client("user", "my-app")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.init())
        loop.close()
        ended = weakref.ref(loop)
        del loop
        asyncio.run(client.init())
        gc.collect()
        assert ended() is None


AT_EXIT = """
import atexit, sys

@atexit.register
def flush():
    print(client.init_sync().id)

from upgrade_client_lib import UpgradeClient

client = UpgradeClient("user", sys.argv[1], "my-app")
client.init_sync()
"""


def test_an_exit_handler_that_was_registered_before_the_import_can_call() -> None:
    with FaultyServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", AT_EXIT, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.wait_until_all_hung_up()

    assert (done.returncode, done.stdout, done.stderr) == (0, "user\n", "")
    assert server.connections == 2


QUIET = """
import asyncio, logging, sys
from upgrade_client_lib import UpgradeClient, UpgradeConnection

logging.getLogger("asyncio").setLevel(logging.ERROR)  # above what it says of slow machines
url = sys.argv[1]

async def several():
    client = UpgradeClient("user", url, "my-app")
    await asyncio.gather(*[client.init() for _ in range(10)])
    client.init_sync()

asyncio.run(several())
asyncio.run(several())
UpgradeClient("user", url, "my-app").init_sync()
with UpgradeConnection(url) as connection:
    connection.client("user", "my-app").init_sync()
    asyncio.run(connection.client("user", "my-app").init())

async def closed_inside():
    connection = UpgradeConnection(url)
    await connection.client("user", "my-app").init()
    connection.close()

asyncio.run(closed_inside())
"""


def test_a_program_that_closes_nothing_ends_without_a_warning() -> None:
    with FaultyServer() as server:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.wait_until_all_hung_up()

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
