"""One server for many users: how a connection is set up, used from anywhere, and closed."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support_calls import COUNTED, HARMLESS, upgrade_with_user
from tests.support_faulty_server import FaultyServer, answers
from tests.support_forms import Form, both_forms
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

URL = "http://upgrade"
MOCK = httpx.MockTransport(lambda _: httpx.Response(200))


# ---- One connection, many users ----


@both_forms
def test_a_connection_gives_clients_for_its_server(call: Form) -> None:
    upgrade = LocalUpgrade()
    connection = UpgradeConnection(URL, transport=upgrade.transport, token="secret")
    one = connection.client("one", "my-app", client_session_id="session")
    other = connection.client("other", "my-app", token="other-secret")

    call(one.init)
    call(other.init)

    first, second = (request.headers for request in upgrade.requests)
    assert (first["user-id"], first["session-id"]) == ("one", "session")
    assert first["authorization"] == "Bearer secret"
    assert (second["user-id"], second["authorization"]) == ("other", "Bearer other-secret")


def test_a_connection_shows_its_server_and_no_secret() -> None:
    with UpgradeConnection(
        f"{URL}/api/", token="secret", headers={"X-Key": "secret"}
    ) as connection:
        assert connection.host_url == URL
        assert repr(connection) == "UpgradeConnection('http://upgrade')"


def test_threads_use_a_connection_at_the_same_time() -> None:
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, max_connections=4) as connection,
        ThreadPoolExecutor(16) as pool,
    ):
        clients = [connection.client(f"user-{i}", "my-app") for i in range(100)]
        calls = [pool.submit(client.init_sync) for client in clients]
        users = [call.result().id for call in calls]

    assert users == [f"user-{i}" for i in range(100)]
    assert server.connections <= 4


def test_event_loops_one_after_the_other_use_a_connection() -> None:
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        for _ in range(3):
            assert asyncio.run(client.init()).id == "user"

    assert server.connections == 3


def test_event_loops_at_the_same_time_use_a_connection() -> None:
    async def several(i: int) -> None:
        client = connection.client(f"user-{i}", "my-app")
        await asyncio.gather(*[client.init() for _ in range(5)])

    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, max_connections=2) as connection,
        ThreadPoolExecutor(5) as pool,
    ):
        for loop in [pool.submit(asyncio.run, several(i)) for i in range(5)]:
            loop.result()

    assert server.count("init") == 25
    assert server.connections <= 10


def test_blocking_calls_work_inside_a_running_event_loop() -> None:
    async def scenario() -> None:
        client = connection.client("user", "my-app")
        client.init_sync()
        await client.init()
        client.init_sync()

    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        asyncio.run(scenario())

    assert (server.count("init"), server.connections) == (3, 2)


def test_a_path_before_the_api_is_kept() -> None:
    with (
        FaultyServer(init=answers(200, '{"id": "user"}')) as server,
        UpgradeConnection(f"{server.url}/upgrade/api") as connection,
    ):
        connection.client("user", "my-app").init_sync()

    assert server.received[0].path == "/upgrade/api/v6/init"


def test_an_idle_connection_expires_before_the_server_closes_it() -> None:
    """The server closes it after 5 s."""
    default = inspect.signature(UpgradeConnection).parameters["keepalive_expiry"].default

    assert 0 < default < 5


@both_forms
@pytest.mark.parametrize("expiry", [0, 1e-9])
def test_a_connection_that_was_idle_for_longer_is_not_used_again(call: Form, expiry: float) -> None:
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, keepalive_expiry=expiry) as connection,
    ):
        client = connection.client("user", "my-app")
        for _ in range(3):
            call(client.init)

    assert server.connections == 3


@pytest.mark.parametrize(
    ("expiry", "error"),
    [
        ("4", TypeError),
        (True, TypeError),
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        pytest.param(10**400, ValueError, id="an int that no float holds"),
    ],
)
def test_a_keepalive_expiry_that_is_no_time_is_refused(expiry: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="keepalive_expiry must be"):
        UpgradeConnection(URL, keepalive_expiry=expiry)


@pytest.mark.parametrize("word", ["false", 0, None])
def test_a_trust_env_that_is_no_boolean_is_refused(word: Any) -> None:
    """Of which "false" would be true."""
    with pytest.raises(TypeError, match="trust_env must be True or False, not"):
        UpgradeConnection(URL, trust_env=word)


@both_forms
def test_compressed_answers_are_read(call: Form) -> None:
    import gzip

    body = gzip.compress(b'{"id": "user"}')
    with (
        FaultyServer(init=answers(200, body, {"Content-Encoding": "gzip"})) as server,
        UpgradeConnection(server.url) as connection,
    ):
        assert call(connection.client("user", "my-app").init).id == "user"

    assert "gzip" in server.received[0].headers["accept-encoding"]


# ---- Headers ----


OURS = re.compile(r"upgrade-client-lib/7\.\S+ \(python/3\.\d+ httpx/0\.\d+\.\d+\)")


@both_forms
def test_every_request_names_the_library(call: Form) -> None:
    with FaultyServer(upgrade_with_user()) as server, UpgradeConnection(server.url) as connection:
        for operation in HARMLESS + COUNTED:
            operation.call(call, connection.client("user", "my-app"))

    names = {request.headers["user-agent"] for request in server.received}
    assert len(names) == 1
    assert OURS.fullmatch(names.pop())


@both_forms
@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
@pytest.mark.parametrize("own", [False, True])
def test_a_name_that_headers_gives_is_sent_instead(call: Form, name: str, own: bool) -> None:
    upgrade = LocalUpgrade()
    connection = connection_through(upgrade, own, headers={name: "school/2"})

    call(connection.client("user", "my-app").init)

    assert upgrade.requests[0].headers["user-agent"] == "school/2"


@both_forms
def test_a_client_of_the_users_own_keeps_the_name_it_was_given(call: Form) -> None:
    upgrade = LocalUpgrade()
    named = connection_through(upgrade, True, {"User-Agent": "school/2"})
    unnamed = connection_through(upgrade, True)

    call(named.client("user", "my-app").init)
    call(unnamed.client("user", "my-app").init)

    first, second = (request.headers["user-agent"] for request in upgrade.requests)
    assert first == "school/2"
    assert OURS.fullmatch(second)


def connection_through(
    upgrade: LocalUpgrade,
    own: bool,
    client_headers: dict[str, str] | None = None,
    **options: Any,
) -> UpgradeConnection:
    if not own:
        return UpgradeConnection(URL, transport=upgrade.transport, **options)
    given: dict[str, Any] = {"transport": upgrade.transport, "headers": client_headers}
    return UpgradeConnection(
        URL,
        http_client=httpx.Client(**given),
        async_http_client=httpx.AsyncClient(**given),
        **options,
    )


@both_forms
@pytest.mark.parametrize("own", [False, True])
def test_extra_headers_go_with_every_request(call: Form, own: bool) -> None:
    upgrade = upgrade_with_user()
    given: dict[str, Any] = {"transport": upgrade.transport}
    if own:
        given = {
            "http_client": httpx.Client(transport=upgrade.transport),
            "async_http_client": httpx.AsyncClient(transport=upgrade.transport),
        }
    connection = UpgradeConnection(URL, headers={"X-Proxy-Key": "key"}, **given)
    client = connection.client("user", "my-app")
    before = len(upgrade.requests)

    for operation in HARMLESS:
        operation.call(call, client)

    sent = upgrade.requests[before:]
    assert len(sent) == len(HARMLESS)
    assert all(request.headers["x-proxy-key"] == "key" for request in sent)


@both_forms
def test_what_a_request_needs_wins_over_extra_headers(call: Form) -> None:
    extra = {
        "user-id": "somebody",
        "CONTENT-TYPE": "text/plain",
        "authorization": "Basic other",
        "accept": "application/problem+json",
    }
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, token="secret", headers=extra) as connection,
    ):
        call(connection.client("user", "my-app").init)

    headers = server.received[0].headers
    assert headers["user-id"] == "user"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer secret"
    assert headers["accept"] == "application/problem+json"


def test_an_authorization_of_the_users_own_is_sent_where_there_is_no_token() -> None:
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, headers={"Authorization": "Basic abc"}) as connection,
    ):
        connection.client("user", "my-app").init_sync()

    assert server.received[0].headers["authorization"] == "Basic abc"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"X Key": "value"}, ValueError),
        ({"X-Key:": "value"}, ValueError),
        ({"X-Schlüssel": "value"}, ValueError),
        ({"": "value"}, ValueError),
        ({"X-Key": "line\nbreak"}, ValueError),
        ({"X-Key": "€"}, ValueError),
        ({"X-Key": " blank"}, ValueError),
        ({"Content-Length": "5"}, ValueError),
        ({"transfer-encoding": "chunked"}, ValueError),
        ({"X-Key": 5}, TypeError),
        ({5: "value"}, TypeError),
        ([("X-Key", "value")], TypeError),
        ("X-Key: value", TypeError),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="headers"):
        UpgradeConnection(URL, headers=headers)


# ---- Arguments ----

Other = type("Client", (), {"__module__": "httpx2"})
"""The client of a package that is no httpx, though it looks like it."""


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"http_client": httpx.AsyncClient(transport=MOCK)},
            TypeError,
            "http_client must be an httpx.Client, not httpx.AsyncClient",
        ),
        (
            {"async_http_client": httpx.Client(transport=MOCK)},
            TypeError,
            "async_http_client must be an httpx",
        ),
        ({"http_client": Other()}, TypeError, "an httpx.Client, not httpx2.Client: .* of httpx$"),
        ({"async_http_client": Other()}, TypeError, "AsyncClient, not httpx2.Client: .* of httpx$"),
        ({"transport": Other()}, TypeError, "BaseTransport, not httpx2.Client: .* of httpx$"),
        ({"transport": "http"}, TypeError, "transport must be an httpx.BaseTransport or httpx"),
        ({"ssl_context": True}, TypeError, "ssl_context must be an ssl.SSLContext, not bool"),
        ({"proxy": 8080}, TypeError, "proxy must be"),
        ({"proxy": "ftp://proxy"}, ValueError, "proxy is not the address of one"),
        ({"proxy": "proxy:8080"}, ValueError, "proxy is not the address of one"),
        ({"proxy": "http://proxy..org"}, ValueError, "proxy is not the address of one"),
        ({"proxy": "http://"}, ValueError, "proxy must name a host"),
        ({"proxy": "user:password@proxy"}, ValueError, "proxy is .*: it cannot be read$"),
        ({"max_connections": 0}, ValueError, "max_connections must be 1 or more"),
        ({"max_connections": 2.0}, TypeError, "max_connections must be a whole number"),
        ({"max_response_bytes": 0}, ValueError, "max_response_bytes must be 1 or more"),
        ({"max_response_bytes": 1e6}, TypeError, "max_response_bytes must be a whole number"),
        ({"max_response_bytes": None}, TypeError, "max_response_bytes must be a whole number"),
        ({"token": "line\nbreak"}, ValueError, "token holds control characters"),
        ({"token": None}, TypeError, "token must be a string"),
        (
            {"transport": LocalUpgrade().transport, "proxy": "http://proxy"},
            ValueError,
            "without proxy",
        ),
        (
            {"transport": LocalUpgrade().transport, "http_client": httpx.Client(transport=MOCK)},
            ValueError,
            "without http_client",
        ),
    ],
)
def test_arguments_are_checked_when_the_connection_is_made(
    arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        UpgradeConnection(URL, **arguments)


@pytest.mark.parametrize(
    "host", ["http://\u2603.example.org", "http://[::1", "ftp://upgrade", "upgrade"]
)
def test_an_address_that_cannot_be_reached_over_http_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="host_url"):
        UpgradeConnection(host)
