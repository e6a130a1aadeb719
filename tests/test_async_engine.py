"""aiohttp as what async calls are sent by: how it is chosen, and where it differs from httpx.

What holds with both is tested where it is tested for httpx, with ``every_way`` or ``each_engine``.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest

from tests.support_calls import APPLIED, upgrade_with_user
from tests.support_clock import MARGIN, taking
from tests.support_faulty_server import Fault, FaultyServer, answers, http_answer
from tests.support_forms import each_engine, in_event_loop
from tests.test_timeouts import slow_reader
from upgrade_client_lib import NoConnectionError, RequestTimeoutError, Timeout, UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine")

URL = "http://upgrade"
SHORT = 0.1
LONG = 30.0


# ---- Choosing it ----


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"async_engine": "curl"}, ValueError, "'httpx' or 'aiohttp', not 'curl'$"),
        ({"async_engine": ""}, ValueError, "'httpx' or 'aiohttp', not ''$"),
        ({"async_engine": None}, TypeError, "async_engine must be a string, not NoneType"),
        (
            {"async_engine": "aiohttp", "transport": httpx.MockTransport(lambda _: None)},  # type: ignore[arg-type]
            ValueError,
            "^transport sends async calls itself: give it without async_engine",
        ),
        (
            {"async_engine": "aiohttp", "async_http_client": httpx.AsyncClient(verify=False)},
            ValueError,
            "^async_http_client sends async calls itself",
        ),
        (
            {"async_engine": "aiohttp", "proxy": "socks5://name:password@proxy"},
            ValueError,
            "^proxy is a SOCKS proxy, which async_engine='aiohttp' cannot use$",
        ),
    ],
)
def test_an_engine_that_cannot_be_used_is_refused_at_once(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        UpgradeConnection(URL, **options)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    with pytest.raises(ValueError, match=r'pip install "upgrade-client-lib\[aiohttp\]"$'):
        UpgradeConnection(URL, async_engine="aiohttp")


@each_engine
@pytest.mark.parametrize("needed", [(3, 0), (99, 0)])
def test_tls_within_tls_needs_a_python_that_can_do_it(
    engine: str, needed: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upgrade_client_lib._http.sockets.TLS_IN_TLS", needed)
    if engine == "aiohttp" and needed > sys.version_info:
        with pytest.raises(ValueError, match=r"^proxy is an https:// one, .* from Python 3\.11"):
            UpgradeConnection("https://upgrade.example.org", proxy="https://proxy")
    else:
        UpgradeConnection("https://upgrade.example.org", proxy="https://proxy")
    UpgradeConnection("http://upgrade.example.org", proxy="https://proxy")


def test_it_is_loaded_by_those_who_choose_it_alone() -> None:
    program = """
import sys
from upgrade_client_lib import UpgradeConnection
UpgradeConnection("http://upgrade")
assert "aiohttp" not in sys.modules
UpgradeConnection("http://upgrade", async_engine="aiohttp")
assert "aiohttp" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_own_clients_for_blocking_calls_go_with_it() -> None:
    with (
        FaultyServer() as server,
        httpx.Client(headers={"User-Agent": "own"}) as own,
        UpgradeConnection(server.url, http_client=own, async_engine="aiohttp") as connection,
    ):
        client = connection.client("user", "my-app")
        client.init_sync()
        in_event_loop(client.init)

    blocking, awaited = (request.headers["user-agent"] for request in server.received)
    assert blocking == "own"
    assert " aiohttp/" in awaited


# ---- What is sent ----


@each_engine
@pytest.mark.parametrize("user_id", ["user", "Zoë", "ÿ"])
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"X-Key": "caf\xe9"},
        {"user-agent": "mine/1.0"},
        {"X-Key": "one", "x-key": "another"},
        {"Expect": "100-continue"},
    ],
)
def test_both_engines_send_the_same(engine: str, user_id: str, extra: dict[str, str]) -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, headers=extra, token="secret") as connection:
            client = connection.client(user_id, "my-app", client_session_id="session")
            await client.init(group={"class": ["Zoë's"]})
            await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())

    given = {name.lower(): value for name, value in extra.items()}
    headers = dict(server.received[0].headers)
    assert headers.pop("host") == f"127.0.0.1:{server.port}"
    assert headers.pop("user-agent").startswith(given.pop("user-agent", "upgrade-client-lib/"))
    assert headers.pop("client-version")
    assert headers == {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "authorization": "Bearer secret",
        "client-context": "my-app",
        "content-length": str(len(server.received[0].body)),
        "content-type": "application/json",
        "session-id": "session",
        "user-id": user_id,
        **given,
    }
    assert server.received[0].body.decode() == '{"group":{"class":["Zoë\'s"]}}'
    assert server.connections == 1


@each_engine
def test_users_of_all_names_share_what_may_be_in_flight(engine: str) -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, max_connections=2) as connection:
            clients = [connection.client(name, "my-app") for name in ["user", "Zoë"] * 5]
            await asyncio.gather(*(client.init() for client in clients))
            client = connection.client("Zoë", "my-app")
            call = asyncio.ensure_future(client.init())
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert (await client.init()).id == "Zoë"
        await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer() as server:
        asyncio.run(scenario())


def test_closing_ends_calls_under_way_whatever_their_headers_hold() -> None:
    async def scenario() -> None:
        connection = UpgradeConnection(server.url, async_engine="aiohttp", retries=0)
        calls = [
            asyncio.ensure_future(connection.client(name, "my-app").init())
            for name in ("user", "Zoë")
        ]
        await asyncio.to_thread(server.wait_for, 2, "init")
        await connection.aclose()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert all("was closed meanwhile" in str(error) for error in errors)

    with FaultyServer(init=Fault(lambda connection, _: bool(connection.recv(1)))) as server:
        asyncio.run(scenario())


# ---- Limits that aiohttp itself has not ----


@each_engine
def test_a_write_that_takes_too_long_ends_before_the_total(engine: str) -> None:
    entry = {
        "timestamp": "2025-01-01T00:00:00Z",
        "metrics": {"attributes": {"essay": "x" * 20_000_000}},
    }
    timeout = Timeout(total=LONG, write=SHORT)
    with (
        stuck_reader() as url,
        UpgradeConnection(url, timeout=timeout, retries=0) as connection,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError) as caught,
    ):
        in_event_loop(connection.client("user", "my-app").log, [entry])

    assert caught.value.may_have_been_applied


def stuck_reader() -> Any:
    return slow_reader(pause=LONG)


@each_engine
def test_a_large_request_arrives_whole(engine: str) -> None:
    entry = {
        "timestamp": "2025-01-01T00:00:00Z",
        "metrics": {"attributes": {"essay": "x" * 3_000_000}},
    }
    upgrade = upgrade_with_user()
    with FaultyServer(upgrade) as server, UpgradeConnection(server.url) as connection:
        in_event_loop(connection.client("user", "my-app").log, [entry])

    assert len(server.received[0].body) > 3_000_000


# ---- Idle connections ----


@each_engine
def test_a_connection_that_the_headers_close_is_not_used_again(engine: str) -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, headers={"Connection": "close"}) as connection:
            client = connection.client("user", "my-app")
            await client.init()
            await client.init()

    with FaultyServer() as server:
        asyncio.run(scenario())

    assert server.connections == 2


def test_what_a_server_sends_unasked_is_no_answer() -> None:
    unasked = http_answer(200, b'{"id": "another"}', {})
    may_send, sent = threading.Event(), threading.Event()

    def answer_twice(connection: socket.socket, answer: bytes) -> bool:
        connection.sendall(answer)
        may_send.wait(LONG)
        connection.sendall(unasked)
        sent.set()
        return True

    async def scenario() -> None:
        async with UpgradeConnection(server.url, async_engine="aiohttp") as connection:
            client = connection.client("user", "my-app")
            await client.init()
            may_send.set()
            await asyncio.to_thread(sent.wait)
            for _ in range(3):
                await asyncio.sleep(0)
            assert (await client.init()).id == "user"

    with FaultyServer(init=[Fault(answer_twice)]) as server:
        asyncio.run(scenario())

    assert server.connections == 2


@each_engine
def test_a_mark_whose_connection_is_closed_at_any_step_is_done_or_says_so(engine: str) -> None:
    async def closed_after(steps: int) -> None:
        connection = UpgradeConnection(server.url, retries=0)
        client = connection.client("user", "my-app")
        assignment = await client.get_decision_point_assignment("home", "banner")
        assert assignment is not None
        before = len(upgrade.marks)
        mark = asyncio.ensure_future(assignment.mark_decision_point(APPLIED))
        for _ in range(steps):
            await asyncio.sleep(0)
        await connection.aclose()
        await asyncio.wait([mark])
        error = mark.exception()
        if error is not None:
            assert isinstance(error, (NoConnectionError, RuntimeError))
            assert "closed" in str(error)
            if isinstance(error, RuntimeError) or not error.may_have_been_applied:
                await asyncio.to_thread(server.wait_until_all_hung_up)
                assert len(upgrade.marks) == before
                not_sent.append(steps)

    async def scenario() -> None:
        for steps in range(40):
            await closed_after(steps)

    upgrade = upgrade_with_user()
    not_sent: list[int] = []
    with FaultyServer(upgrade) as server:
        asyncio.run(scenario())
        server.wait_until_all_hung_up()

    assert not_sent[0] == 0


@each_engine
def test_long_headers_are_read(engine: str) -> None:
    long = {"X-Long": "x" * 50_000}
    with (
        FaultyServer(init=answers(200, b'{"id": "user"}', long)) as server,
        UpgradeConnection(server.url) as connection,
    ):
        assert in_event_loop(connection.client("user", "my-app").init).id == "user"
