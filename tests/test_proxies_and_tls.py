"""Proxies and certificates: what is given, and what the environment says."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support_calls import COUNTED, HARMLESS, INIT, Operation, by_endpoint, upgrade_with_user
from tests.support_faulty_server import (
    LONGEST,
    Fault,
    FaultyServer,
    answers_more_than_was_asked,
    never_answers,
    refusing_address,
)
from tests.support_forms import Form, blocking, both_forms, each_engine, every_way, in_event_loop
from tests.support_proxy import Proxy, SocksProxy
from upgrade_client_lib import (
    NoConnectionError,
    RequestTimeoutError,
    Timeout,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("engine")

HOST = "upgrade.example.org"
AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def serving_tls(*hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = AUTHORITY.issue_cert(*hosts)
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context


# ---- TLS ----


@every_way
@pytest.mark.parametrize("operation", by_endpoint(HARMLESS))
def test_a_certificate_of_the_users_own_authority_is_trusted(
    call: Form, operation: Operation
) -> None:
    with (
        FaultyServer(upgrade_with_user(), tls=serving_tls("127.0.0.1")) as server,
        UpgradeConnection(server.url, ssl_context=trusting()) as connection,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert server.count(operation.endpoint) == 1


@every_way
@pytest.mark.parametrize("is_proxied", [False, True])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_that_of_the_next_call(
    call: Form, is_proxied: bool
) -> None:
    """It has arrived, and waits between the socket, which shows nothing, and what reads it."""

    async def scenario() -> None:
        with UpgradeConnection(
            server.url,
            proxy=proxy.url if is_proxied else None,
            ssl_context=trusting(),
            retries=0,
        ) as connection:
            client = connection.client("user", "my-app")
            for _ in range(2):
                user = call(client.init) if call is blocking else await client.init()
                assert user.id == "user"

    with (
        FaultyServer(tls=serving_tls("127.0.0.1"), init=answers_more_than_was_asked) as server,
        Proxy(server.port) as proxy,
    ):
        asyncio.run(scenario())

    assert server.connections == 2


@every_way
def test_a_time_limit_over_tls_is_told_in_the_words_of_time_limits(call: Form) -> None:
    limits = Timeout(total=LONGEST, connect=LONGEST, read=0.1)
    with (
        FaultyServer(tls=serving_tls("127.0.0.1"), init=never_answers) as server,
        UpgradeConnection(
            server.url, ssl_context=trusting(), timeout=limits, retries=0
        ) as connection,
        pytest.raises(RequestTimeoutError) as caught,
    ):
        call(connection.client("user", "my-app").init)

    said = caught.value.message
    assert said.startswith(f"no answer from {server.url} in time")
    assert "did not complete" not in said


@every_way
def test_a_certificate_of_another_host_is_not_trusted(call: Form) -> None:
    with (
        FaultyServer(tls=serving_tls(HOST)) as server,
        UpgradeConnection(server.url, ssl_context=trusting()) as connection,
        pytest.raises(NoConnectionError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert caught.value.attempts == 1


@every_way
@pytest.mark.parametrize("operation", by_endpoint([INIT, *COUNTED]))
def test_an_answer_that_is_not_encrypted_is_a_broken_connection(
    call: Form, operation: Operation
) -> None:
    def answer_in_the_clear(connection: socket.socket, answer: bytes) -> bool:
        with socket.socket(fileno=os.dup(connection.fileno())) as unencrypted:
            unencrypted.sendall(answer)
        return False

    with (
        FaultyServer(
            upgrade_with_user(),
            tls=serving_tls("127.0.0.1"),
            **{operation.endpoint: Fault(answer_in_the_clear)},
        ) as server,
        UpgradeConnection(server.url, ssl_context=trusting(), retries=1) as connection,
        pytest.raises(NoConnectionError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.may_have_been_applied
    assert caught.value.attempts == (1 if operation in COUNTED else 2)


@every_way
@pytest.mark.parametrize("trust_env", [True, False])
def test_the_environment_may_name_certificates(
    call: Form, trust_env: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with (
        FaultyServer(tls=serving_tls("127.0.0.1")) as server,
        UpgradeConnection(server.url, trust_env=trust_env) as connection,
    ):
        client = connection.client("user", "my-app")
        if trust_env:
            assert call(client.init).id == "user"
        else:
            with pytest.raises(NoConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                call(client.init)


@every_way
def test_certificates_that_cannot_be_loaded_are_a_value_error(
    call: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authority.pem"
    file.write_text("nothing of the kind", "utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with (
        FaultyServer(tls=serving_tls("127.0.0.1")) as server,
        UpgradeConnection(server.url) as connection,
        pytest.raises(ValueError, match="the certificates to trust cannot be loaded: "),
    ):
        call(connection.client("user", "my-app").init)

    assert server.connections == 0


@each_engine
def test_one_tls_context_serves_every_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes longer than a call."""
    made: list[ssl.SSLContext] = []

    def make(**_: object) -> ssl.SSLContext:
        made.append(trusting())
        return made[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", make)
    with (
        FaultyServer(tls=serving_tls("127.0.0.1")) as server,
        UpgradeConnection(server.url) as connection,
        ThreadPoolExecutor(4) as pool,
    ):
        assert made == []
        client = connection.client("user", "my-app")
        for call in [pool.submit(client.init_sync) for _ in range(4)]:
            call.result()
        asyncio.run(client.init())
        asyncio.run(client.init())

    assert len(made) == 1


# ---- Proxies ----


@every_way
def test_a_given_proxy_is_used(call: Form) -> None:
    with (
        FaultyServer() as server,
        Proxy(server.port) as proxy,
        UpgradeConnection(f"http://{HOST}", proxy=proxy.url) as connection,
    ):
        assert call(connection.client("user", "my-app").init).id == "user"

    assert proxy.targets == [f"http://{HOST}/api/v6/init"]


@every_way
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_environments_proxy_is_used(
    call: Form, name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv(name, scheme + proxy.address)
        with UpgradeConnection(f"http://{HOST}") as connection:
            assert call(connection.client("user", "my-app").init).id == "user"

    assert proxy.targets == [f"http://{HOST}/api/v6/init"]


@every_way
@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "example.org,127.0.0.1:{port}"])
def test_the_environments_exceptions_hold(
    call: Form, exception: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exception.format(port=server.port))
        with UpgradeConnection(server.url) as connection:
            call(connection.client("user", "my-app").init)

    assert proxy.targets == []


@every_way
def test_the_environment_counts_for_nothing_where_it_is_not_trusted(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with UpgradeConnection(server.url, trust_env=False) as connection:
            call(connection.client("user", "my-app").init)

    assert proxy.targets == []


@every_way
def test_the_environment_may_exempt_an_address_of_ip_version_6(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "localhost,::1")
        with (
            UpgradeConnection("http://[::1]:1", retries=0) as connection,
            pytest.raises(NoConnectionError),
        ):
            call(connection.client("user", "my-app").init)

    assert proxy.targets == []


@pytest.mark.parametrize("address", ["ftp://proxy", "http://proxy..org", "http://[::1", "http://"])
def test_a_proxy_of_the_environment_that_is_none_is_a_value_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)

    with pytest.raises(ValueError, match=r"^the environment's proxy"):
        UpgradeConnection("http://upgrade")


@both_forms
def test_a_proxy_of_the_environment_counts_where_no_own_client_is_used(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is none keeps nobody from using an httpx client of their own."""
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy")
    transport = LocalUpgrade().transport
    with UpgradeConnection("http://u", http_client=httpx.Client(transport=transport)) as connection:
        client = connection.client("user", "my-app")
        if call is blocking:
            assert call(client.init).id == "user"
        else:
            with pytest.raises(ValueError, match=r"^the environment's proxy"):
                call(client.init)


# ---- SOCKS, ranges without a proxy, and proxies that are dead ----


@both_forms
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_socks_proxy_is_used(call: Form, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer() as server, SocksProxy(server.port) as proxy:
        if by == "environment":
            monkeypatch.setenv("ALL_PROXY", proxy.url)
        given = proxy.url if by == "argument" else None
        with UpgradeConnection(f"http://{HOST}", proxy=given) as connection:
            assert call(connection.client("user", "my-app").init).id == "user"

    assert proxy.targets == [f"{HOST}:80"]


@both_forms
@pytest.mark.parametrize(
    ("reply", "error"), [(SocksProxy.REFUSED, NoConnectionError), (b"", RequestTimeoutError)]
)
def test_a_socks_proxy_that_does_not_connect_is_hung_up_on(
    call: Form, reply: bytes, error: type[Exception]
) -> None:
    with (
        FaultyServer() as server,
        SocksProxy(server.port, reply=reply) as proxy,
        UpgradeConnection(f"http://{HOST}", proxy=proxy.url, timeout=0.5, retries=0) as connection,
    ):
        with pytest.raises(error) as caught:
            call(connection.client("user", "my-app").init)
        assert proxy.hung_up.wait(LONGEST), caught


def test_a_call_that_is_cancelled_before_its_socks_proxy_connects_hangs_up() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(f"http://{HOST}", proxy=proxy.url) as connection:
            call = asyncio.ensure_future(connection.client("user", "my-app").init())
            while not proxy.requests:
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert await asyncio.to_thread(proxy.hung_up.wait, LONGEST)

    with FaultyServer() as server, SocksProxy(server.port, reply=b"") as proxy:
        asyncio.run(scenario())


@pytest.mark.parametrize("kind", [Proxy, SocksProxy])
def test_nothing_passes_a_proxy_of_the_tests_without_a_request(kind: type[Proxy]) -> None:
    with FaultyServer() as server, kind(server.port) as proxy:
        host, port = proxy.address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    assert not proxy.requests
    assert not server.received


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_socks_proxy_is_refused_at_once_where_its_package_is_missing(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    address = "socks5://name:password@proxy:1080"
    if by == "environment":
        monkeypatch.setenv("all_proxy", address)

    with pytest.raises(ValueError, match=r'pip install "upgrade-client-lib\[socks\]"$') as caught:
        UpgradeConnection(f"http://{HOST}", proxy=address if by == "argument" else None)

    assert "password" not in str(caught.value)


@every_way
@pytest.mark.parametrize(
    ("exceptions", "through_proxy"),
    [
        ("127.0.0.0/8", False),
        ("example.org, 127.0.0.1/32", False),
        ("10.0.0.0/8,127.0.0.2/31", True),
        ("127.0.0.0/33", True),
        ("::/0", True),
    ],
)
def test_the_environment_may_exempt_a_range_of_addresses(
    call: Form, exceptions: str, through_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exceptions)
        with UpgradeConnection(server.url) as connection:
            call(connection.client("user", "my-app").init)

    assert bool(proxy.targets) is through_proxy


@every_way
@pytest.mark.parametrize(
    ("host", "exceptions"),
    [("[::1]", "::/120"), ("[::1]", "0:0:0:0:0:0:0:1"), ("[::1]", "10.0.0.0/8,::1/128")],
)
def test_the_environment_may_exempt_a_range_of_ip_version_6(
    call: Form, host: str, exceptions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exceptions)
        with (
            UpgradeConnection(f"http://{host}:1", retries=0) as connection,
            pytest.raises(NoConnectionError),
        ):
            call(connection.client("user", "my-app").init)

    assert proxy.targets == []


def test_a_range_exempts_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "0.0.0.0/0,::/0")
        with UpgradeConnection(f"http://{HOST}") as connection:
            connection.client("user", "my-app").init_sync()

    assert len(proxy.targets) == 1


@every_way
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_dead_proxy_is_named_without_its_password(
    call: Form, scheme: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_address() as dead:
        address = dead.replace("://", "://name:password@")
        if by == "environment":
            monkeypatch.setenv(f"{scheme}_proxy", address)
        with (
            UpgradeConnection(
                f"{scheme}://{HOST}", proxy=address if by == "argument" else None, retries=0
            ) as connection,
            pytest.raises(NoConnectionError) as caught,
        ):
            call(connection.client("user", "my-app").init)

    assert f"no connection to {scheme}://{HOST} through the proxy {dead}: " in str(caught.value)
    assert "password" not in "".join(traceback.format_exception(None, caught.value, None))


@every_way
def test_a_given_proxy_wins_over_the_environments(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server, Proxy(server.port) as proxy, Proxy(server.port) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        with UpgradeConnection(f"http://{HOST}", proxy=proxy.url) as connection:
            call(connection.client("user", "my-app").init)

    assert len(proxy.targets) == 1
    assert other.targets == []


@every_way
def test_tls_goes_through_a_proxy_unread(call: Form) -> None:
    with (
        FaultyServer(tls=serving_tls(HOST)) as server,
        Proxy(server.port) as proxy,
        UpgradeConnection(
            f"https://{HOST}",
            proxy=proxy.url.replace("://", "://name:password@"),
            ssl_context=trusting(),
        ) as connection,
    ):
        client = connection.client("user", "my-app", token="secret")
        assert call(client.init).id == "user"

    assert proxy.targets == [f"{HOST}:443"]
    assert "Proxy-Authorization: Basic " in proxy.requests[0]
    assert "secret" not in proxy.requests[0]
    assert "proxy-authorization" not in server.received[0].headers


@every_way
def test_a_proxy_that_builds_no_tunnel_passed_nothing_on(call: Form) -> None:
    with (
        FaultyServer() as server,
        Proxy(server.port, tunnels=False) as proxy,
        UpgradeConnection(f"https://{HOST}", proxy=proxy.url, retries=0) as connection,
        pytest.raises(NoConnectionError, match="403 Forbidden") as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert not caught.value.may_have_been_applied
    assert proxy.targets == [f"{HOST}:443"]


@pytest.mark.parametrize(
    ("call", "trusted_by"),
    [
        (blocking, "context"),
        (blocking, "environment"),
        pytest.param(
            in_event_loop,
            "context",
            marks=pytest.mark.skipif(httpx.__version__ == "0.27.0", reason="it drops the context"),
        ),
        (in_event_loop, "environment"),
    ],
)
def test_a_proxy_is_spoken_to_over_tls(
    call: Form, trusted_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a server that is not."""
    file = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    if trusted_by == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with (
        FaultyServer() as server,
        Proxy(server.port, tls=serving_tls("127.0.0.1")) as proxy,
        UpgradeConnection(
            f"http://{HOST}",
            proxy=proxy.url,
            ssl_context=trusting() if trusted_by == "context" else None,
        ) as connection,
    ):
        assert call(connection.client("user", "my-app").init).id == "user"

    assert proxy.targets == [f"http://{HOST}/api/v6/init"]


@every_way
def test_the_total_bounds_a_call_through_a_proxy(call: Form) -> None:
    with (
        FaultyServer(init=never_answers) as server,
        Proxy(server.port) as proxy,
        UpgradeConnection(f"http://{HOST}", proxy=proxy.url, timeout=0.1) as connection,
        pytest.raises(RequestTimeoutError),
    ):
        call(connection.client("user", "my-app").init)
