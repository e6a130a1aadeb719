"""No wait is longer than it may be: steps, whole calls, and closing."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Callable

import httpx
import pytest

from tests.support_calls import (
    MARK,
    marks_at_banner,
    upgrade_with_user,
)
from tests.support_clock import MARGIN, Clock, taking
from tests.support_faulty_server import (
    Fault,
    FaultyServer,
    continues_endlessly,
    drips,
    drips_body,
    never_answers,
    processes_endlessly,
    unanswering_address,
)
from tests.support_forms import Form, both_forms, every_way
from tests.support_server import SteeredServer
from upgrade_client_lib import (
    RequestTimeoutError,
    Timeout,
    UpgradeConnection,
)
from upgrade_client_lib._http import async_deadline, deadline

pytestmark = pytest.mark.usefixtures("engine", "first_calls_made")

SHORT = 0.08
LONGER = 0.4  # in which a busy machine connects, too
LONG = 30.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # quickly made


@pytest.mark.usefixtures("first_calls_made")
@every_way
@pytest.mark.parametrize(
    "fault",
    [never_answers, drips, drips_body, continues_endlessly, processes_endlessly],
    ids=["silence", "all", "body", "100", "102"],
)
def test_the_total_bounds_the_call_however_slowly_bytes_arrive(call: Form, fault: Fault) -> None:
    with (
        FaultyServer(init=fault) as server,
        UpgradeConnection(server.url, timeout=LONGER, retries=5) as connection,
        taking(LONGER, LONGER + MARGIN),
        pytest.raises(RequestTimeoutError) as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert caught.value.may_have_been_applied


@every_way
def test_the_total_bounds_the_attempts_together(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", min)
    with (
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(
            server.url, timeout=Timeout(total=SHORT * 2, read=SHORT / 4), retries=100
        ) as connection,
        taking(SHORT * 2, SHORT * 2 + MARGIN),
        pytest.raises(RequestTimeoutError) as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert 2 <= caught.value.attempts <= 9


@every_way
def test_a_read_that_takes_too_long_ends_before_the_total(call: Form) -> None:
    with (
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(
            server.url, timeout=Timeout(total=LONG, read=SHORT), retries=0
        ) as connection,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError),
    ):
        call(connection.client("user", "my-app").init)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, a full queue answers")
@every_way
@pytest.mark.parametrize(
    "timeout", [Timeout(total=LONG, connect=SHORT), Timeout(total=SHORT)], ids=["connect", "total"]
)
def test_a_connection_that_takes_too_long_sent_nothing(call: Form, timeout: Timeout) -> None:
    with (
        unanswering_address() as url,
        UpgradeConnection(url, timeout=timeout, retries=0) as connection,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError) as caught,
    ):
        call(connection.client("user", "my-app").init)

    assert not caught.value.may_have_been_applied


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, a full queue answers")
@pytest.mark.parametrize("timeout", [Timeout(total=LONG, connect=SHORT), Timeout(total=LONGER * 3)])
def test_a_host_with_an_address_that_does_not_answer_is_reached_at_the_next(
    timeout: Timeout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_addresses(host: str, port: int, *_: object, **__: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        found = ["192.0.2.1", "192.0.2.1", "127.0.0.1"] if host == "upgrade.example.org" else [host]
        return [(*kind, (address, port)) for address in found]

    reached: list[str] = []
    real = socket.create_connection

    def connecting(address: Any, timeout: float, **options: Any) -> socket.socket:
        reached.append(address[0])
        if address[0] == "192.0.2.1":  # what does not answer here listens on another port
            address = ("127.0.0.1", int(silent.rpartition(":")[2]))
        return real(address, timeout, **options)

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    monkeypatch.setattr(socket, "create_connection", connecting)
    with (
        unanswering_address() as silent,
        FaultyServer() as server,
        UpgradeConnection(
            f"http://upgrade.example.org:{server.port}", timeout=timeout, retries=0, trust_env=False
        ) as connection,
        taking(SHORT, SHORT + MARGIN),
    ):
        connection.client("user", "my-app").init_sync()

    assert reached == ["192.0.2.1", "127.0.0.1"]


def test_a_server_that_takes_a_large_request_slowly_does_not_outlast_the_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request fills the sockets, and what is left of it goes out piece by piece."""
    real = socket.create_connection

    def with_a_small_buffer(*args: Any, **options: Any) -> socket.socket:
        connection = real(*args, **options)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        return connection

    monkeypatch.setattr(socket, "create_connection", with_a_small_buffer)
    value = "x" * 4_000_000
    entry = {"timestamp": "2025-01-01T00:00:00Z", "metrics": {"attributes": {"essay": value}}}
    with (
        slow_reader() as url,
        UpgradeConnection(url, timeout=SHORT * 2, retries=0) as connection,
        taking(SHORT, SHORT * 2 + MARGIN),
        pytest.raises(RequestTimeoutError),
    ):
        connection.client("user", "my-app").log_sync([entry])


@every_way
@pytest.mark.parametrize("stuck", ["handshake", "request", "answer"])
def test_a_step_has_no_longer_than_what_looking_up_the_host_left(
    call: Form, stuck: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking_up, clock = socket.getaddrinfo, Clock.running(monkeypatch)

    def slowly(*args: Any, **options: Any) -> Any:
        found = looking_up(*args, **options)
        clock.let_pass(9.8 if not looked_up else 0.0)
        looked_up.append(args[0])
        return found

    looked_up: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    scheme = "https" if stuck == "handshake" else "http"
    value = "x" * (8_000_000 if stuck == "request" else 1)
    entry = {"timestamp": "2025-01-01T00:00:00Z", "metrics": {"attributes": {"essay": value}}}
    with (
        slow_reader() as url,
        UpgradeConnection(
            url.replace("http://127.0.0.1", f"{scheme}://localhost"),
            timeout=Timeout(total=10.0, connect=10.0, read=10.0, write=10.0),
            retries=0,
            ssl_context=NO_TLS,
            trust_env=False,
        ) as connection,
        taking(10.0, 10.0 + MARGIN),
        pytest.raises(RequestTimeoutError),
    ):
        call(connection.client("user", "my-app").log, [entry])

    assert looked_up


@contextmanager
def slow_reader(pause: float = 0.01) -> Generator[str, None, None]:
    """A server that takes a few bytes at a time, and never answers."""

    def read() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(16 * 1024) and not done.wait(pause):
                pass

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            socket.create_connection(listener.getsockname()).close()  # if nobody has connected
            thread.join()


# ---- Callers who wait for each other ----


@every_way
def test_a_cold_mark_takes_no_longer_than_its_total_and_is_sent_all_the_same(call: Form) -> None:
    upgrade = upgrade_with_user()
    with (
        FaultyServer(upgrade, assign=never_answers) as server,
        UpgradeConnection(server.url, timeout=0.4, retries=0) as connection,
        taking(0.2, 0.4 + MARGIN),
    ):
        MARK.call(call, connection.client("user", "my-app"))

    assert marks_at_banner(upgrade) == 1


@both_forms
def test_a_cold_mark_has_what_finding_out_its_ids_left_of_its_total(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.stopped(monkeypatch)

    class Slow(SteeredServer):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            clock.let_pass(25.0)
            return response

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return self.handle_request(request)

    server = Slow(upgrade_with_user().transport)
    timeout = Timeout(total=60.0, read=60.0)
    with UpgradeConnection("http://upgrade", transport=server, timeout=timeout) as connection:
        MARK.call(call, connection.client("user", "my-app"))

    assert [sent.endpoint for sent in server.sent] == ["assign", "mark"]
    assert [sent.timeouts["read"] for sent in server.sent] == pytest.approx([30.0, 35.0])


def test_a_caller_waits_for_anothers_load_no_longer_than_its_own_total() -> None:
    with (
        FaultyServer(assign=never_answers) as server,
        UpgradeConnection(server.url, timeout=Timeout(total=SHORT * 6), retries=0) as connection,
        ThreadPoolExecutor(1) as other,
    ):
        client = connection.client("user", "my-app")
        first = other.submit(client.get_all_experiment_conditions_sync)
        server.wait_for(1, "assign")
        hurried = client.with_options(timeout=SHORT)
        with taking(SHORT, SHORT + MARGIN), pytest.raises(RequestTimeoutError):
            hurried.get_all_experiment_conditions_sync()
        with pytest.raises(RequestTimeoutError):
            first.result()

    assert server.count("assign") == 1


# ---- Clients and transports of the user's own ----


@pytest.mark.parametrize(
    "fault", [never_answers, drips, drips_body], ids=["silence", "all", "body"]
)
@pytest.mark.parametrize("as_transport", [False, True])
def test_the_total_bounds_calls_through_an_async_client_or_transport_of_the_users_own(
    fault: Fault, as_transport: bool
) -> None:
    async def scenario() -> None:
        async with (
            httpx.AsyncHTTPTransport(verify=NO_TLS) as transport,
            httpx.AsyncClient(verify=NO_TLS) as client,
        ):
            own: dict[str, Any] = {"async_http_client": client}
            if as_transport:
                own = {"transport": transport}
            async with UpgradeConnection(server.url, timeout=SHORT, **own) as connection:
                await connection.client("user", "my-app").init()

    with (
        FaultyServer(init=fault) as server,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError),
    ):
        asyncio.run(scenario())


@pytest.mark.parametrize("fault", [never_answers, drips_body], ids=["silence", "body"])
@pytest.mark.parametrize("as_transport", [False, True])
def test_the_total_bounds_calls_through_a_client_or_transport_of_the_users_own(
    fault: Fault, as_transport: bool
) -> None:
    with httpx.HTTPTransport(verify=NO_TLS) as transport, httpx.Client(verify=NO_TLS) as client:
        own: dict[str, Any] = {"http_client": client}
        if as_transport:
            own = {"transport": transport}
        with (
            FaultyServer(init=fault) as server,
            UpgradeConnection(server.url, timeout=SHORT, **own) as connection,
            taking(SHORT, SHORT + MARGIN),
            pytest.raises(RequestTimeoutError),
        ):
            connection.client("user", "my-app").init_sync()


@both_forms
def test_a_shorter_limit_of_the_users_own_client_holds(call: Form) -> None:
    settings: dict[str, Any] = {"timeout": httpx.Timeout(None, read=SHORT), "verify": NO_TLS}
    own: dict[str, Any] = {
        "http_client": httpx.Client(**settings),
        "async_http_client": httpx.AsyncClient(**settings),
    }
    with (
        own["http_client"],
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(server.url, timeout=LONG, retries=0, **own) as connection,
        taking(SHORT, SHORT + MARGIN),
        pytest.raises(RequestTimeoutError),
    ):
        call(connection.client("user", "my-app").init)


# ---- What the deadline hangs on ----


def test_this_httpx_has_the_attribute_to_which_the_deadline_is_attached() -> None:
    transports: list[tuple[Any, Callable[[Any], None]]] = [
        (httpx.HTTPTransport(), deadline.enforce_sync),
        (httpx.AsyncHTTPTransport(), async_deadline.enforce_async),
    ]
    for transport, enforce in transports:
        enforce(transport)

        backend = transport._pool._network_backend
        assert type(backend).__module__ == enforce.__module__, (
            "httpx no longer sends through transport._pool._network_backend: no deadline holds for"
            " slow responses; mend _http/deadline.py before allowing this version"
        )


def test_another_httpx_is_refused_before_a_call_could_outlast_its_deadline() -> None:
    with pytest.raises(RuntimeError, match="install a version that upgrade-client-lib allows"):
        deadline.enforce_sync(object())
