"""LocalUpgrade on a socket: HTTP as real clients speak it, and whatever else arrives."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import httpx
import pytest

from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.testing._http import Api, SocketServer
from upgrade_client_lib.testing._http.http1 import HeldBodies
from upgrade_client_lib.testing._http.requests import RequestLog


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    return local


@pytest.fixture
def url(local: LocalUpgrade) -> Iterator[str]:
    with local.serve() as url:
        yield url


def exchange(url: str, *parts: bytes) -> bytes:
    """Send raw bytes, and give all that comes back until the server closes."""
    host, _, port = url.partition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while True:
            more = connection.recv(65536)
            if not more:
                return received
            received += more


def request(body: bytes = b"{}", *headers: str, line: str = "POST /api/v6/init HTTP/1.1") -> bytes:
    lines = [line, "Host: localhost", "User-Id: u1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_clients_of_both_kinds_reach_it(local: LocalUpgrade, url: str) -> None:
    with UpgradeClient("u1", url, "my-app") as client:
        client.init_sync()
        assignment = client.get_decision_point_assignment_sync("home", "banner")
        assert assignment is not None
        assignment.mark_decision_point_sync("condition applied")
    local.assert_marked("home", "banner", user="u1", condition=assignment.get_condition())


def test_the_version_needs_no_header(url: str) -> None:
    assert httpx.get(f"{url}/api/version").json() == "6.5.0"
    head = httpx.head(f"{url}/api/version")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "7")


def test_a_connection_takes_many_requests_also_ahead_of_their_answers(url: str) -> None:
    one = request(b"{}", "Content-Length: 2")
    received = exchange(url, one * 3)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert received.count(b"Keep-Alive: timeout=5") == 3


def test_an_empty_line_before_a_request_is_ignored(url: str) -> None:
    one = request(b"{}", "Content-Length: 2")
    received = exchange(url, b"\r\n", one + b"\r\n" + one)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_requests_may_arrive_bit_by_bit(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.http1._RECEIVED_AT_ONCE", 7)
    whole = request(b"{}", "Content-Length: 2")
    received = exchange(url, *(whole[i : i + 1] for i in range(len(whole))))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("POST /api/v6/init HTTP/1.1", "Connection: close"),
        ("POST /api/v6/init HTTP/1.1", "Connection: Close, TE"),
        ("POST /api/v6/init HTTP/1.1", "Connection: TE\r\nConnection: close"),
        ("POST /api/v6/init HTTP/1.0", "X: y"),
    ],
)
def test_a_client_that_wants_the_connection_closed_gets_it_closed(
    url: str, line: str, header: str
) -> None:
    one = request(b"{}", "Content-Length: 2", header, line=line)
    received = exchange(url, one + one)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b"Connection: close\r\n" in received


def test_bodies_in_chunks_are_put_together(local: LocalUpgrade, url: str) -> None:
    body = b'{"group": {"class": ["c1"]}}'
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    received = exchange(
        url, request(chunks + b"0\r\nTrailer: x\r\n\r\n", "Transfer-Encoding: chunked")
    )
    assert b'"group":{"class":["c1"]}' in received


def test_bodies_may_be_compressed(url: str) -> None:
    body = gzip.compress(b'{"group": {"class": ["c1"]}}')
    for content, expected in ((body, b'"class":["c1"]'), (b"plain", b"incorrect header check")):
        headers = ("Content-Encoding: gzip", f"Content-Length: {len(content)}")
        assert expected in exchange(url, request(content, *headers))


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(url: str) -> None:
    received = exchange(url, request(b"{}", "Content-Length: 2", "Expect: 100-continue"))
    first, _, rest = received.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 100 Continue"
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_over_the_limit_is_a_413_also_compressed(url: str) -> None:
    large = b'{"pad": "' + b"x" * (6 * 1024 * 1024) + b'"}'
    with httpx.Client(headers={"User-Id": "u1", "Content-Type": "application/json"}) as http:
        for content, headers in (
            (large, {}),
            (gzip.compress(large), {"Content-Encoding": "gzip"}),
        ):
            answer = http.post(f"{url}/api/v6/init", content=content, headers=headers)
            assert (answer.status_code, answer.json()["name"]) == (413, "PayloadTooLargeError")
        chunks = (large[i : i + 65536] for i in range(0, len(large), 65536))
        assert http.post(f"{url}/api/v6/init", content=chunks).status_code == 413
        assert http.post(f"{url}/api/v6/init", json={}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
        (b"POST /api/v6/init\r\n\r\n", 400),
        (b"POST /api/v6/init HTTP/2.0\r\n\r\n", 505),
        (b"GET /api/version HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /api/version HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /api/version HTTP/1.1\r\n folded: x\r\nHost: x\r\n\r\n", 400),
        (b"GET /api/version HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 400),
        (request(b"{}", "Content-Length: two"), 400),
        (request(b"{}", "Content-Length: -2"), 400),
        (request(b"{}", "Content-Length: 2", "Transfer-Encoding: chunked"), 400),
        (request(b"{}", "Transfer-Encoding: gzip"), 501),
        (request(b"xyz\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"-1\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"1\r\nab\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"9" * 20000, "Transfer-Encoding: chunked"), 431),
        (request(b"{}", "Content-Length: 99999999999"), 413),
        (request(b"{}", "Content-Length: 2", "Expect: a miracle"), 417),
        (request(b"{}", "X-Long: " + "x" * 20000), 431),
        (request(b"{}", "Content-Length: " + "9" * 5000), 400),
        (request(b"{}", "Content-Length: 2", "Content-Length: 3"), 400),
        (request(b"0x2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"2;a\nb\r\n{}\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"0\r\n" + b"X: y\r\n" * 5000, "Transfer-Encoding: chunked"), 431),
        (request(b"0\r\nA: b\n\n", "Transfer-Encoding: chunked"), 400),
        (request(b"2\r\n{}\r\n0\r\n\n", "Transfer-Encoding: chunked"), 400),
        (request(b"2 \r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (request(b"2\r\n{}\r\n0\t\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (b"\nGET /api/version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /api/version HTTP/1.1\nHost: x\n\n", 400),
        (b"GET /api/version HTTP/1.1\r\nHost: x\nY: b\r\n\r\n", 400),
        (b"GET /api/ver\x01sion HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\r\n" * 20000, 400),
        (b"x" * 40000, 431),
        (b"x" * 2_000_000, 431),
    ],
)
def test_what_is_not_http_is_refused_and_the_server_goes_on(
    url: str, sent: bytes, status: int
) -> None:
    received = exchange(url, sent)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.endswith(b"Connection: close\r\n\r\n")
    assert httpx.get(f"{url}/api/version").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /api",
        request(b"{", "Content-Length: 200"),
        request(b"5\r\nab", "Transfer-Encoding: chunked"),
        request(b"5", "Transfer-Encoding: chunked"),
        request(b"2\n{}\n0\n\n", "Transfer-Encoding: chunked"),
        request(b"ffffffff\r\n", "Transfer-Encoding: chunked"),
    ],
)
def test_who_leaves_in_the_middle_is_not_answered_and_the_server_goes_on(
    url: str, sent: bytes
) -> None:
    assert exchange(url, sent) == b""
    assert httpx.get(f"{url}/api/version").status_code == 200


def test_an_absolute_address_in_the_request_line_is_a_path(url: str) -> None:
    line = f"GET {url}/api/version HTTP/1.1"
    assert exchange(url, request(b"", line=line)).endswith(b'"6.5.0"')


def test_users_come_and_go_in_many_threads_at_once(local: LocalUpgrade, url: str) -> None:
    def use(number: int) -> None:
        with UpgradeClient(f"u{number}", url, "my-app") as client:
            client.init_sync()
            for _ in range(10):
                client.mark_decision_point_sync("home", "x", None, "no condition assigned")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    assert len(local.marks) == 80


def test_a_port_in_use_is_a_clear_error(local: LocalUpgrade, url: str) -> None:
    port = int(url.rpartition(":")[2])
    serving = local.serve(port=port)
    with pytest.raises(OSError, match=f"cannot serve on 127.0.0.1 port {port}: "):
        serving.__enter__()
    with pytest.raises(OSError, match=r"cannot serve on 192\.0\.2\.1 port 0: "):
        local.serve("192.0.2.1").__enter__()


def test_the_port_is_free_after_the_block_and_open_connections_are_closed(
    local: LocalUpgrade,
) -> None:
    with httpx.Client() as http:
        with local.serve() as url:
            assert http.get(f"{url}/api/version").status_code == 200
        with pytest.raises(httpx.ConnectError):
            http.get(f"{url}/api/version")
        with local.serve(port=int(url.rpartition(":")[2])) as again:
            assert again == url
            assert http.get(f"{url}/api/version").status_code == 200


def test_several_addresses_serve_one_server(local: LocalUpgrade, url: str) -> None:
    with local.serve() as other, UpgradeClient("u1", url, "my-app") as client:
        client.init_sync()
        with UpgradeClient("u1", other, "my-app") as same:
            assert same.get_all_experiment_conditions_sync() != []


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_addresses_are_put_in_brackets(local: LocalUpgrade) -> None:
    with local.serve("::1") as url:
        assert url.startswith("http://[::1]:")
        assert httpx.get(f"{url}/api/version").status_code == 200


def test_down_refuses_connections_and_up_takes_them_on_the_same_port(
    local: LocalUpgrade, url: str
) -> None:
    with httpx.Client() as http:
        http.get(f"{url}/api/version")
        local.down()
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                http.get(f"{url}/api/version")
        local.up()
        local.up()
        assert http.get(f"{url}/api/version").status_code == 200


def test_what_is_served_while_it_is_down_takes_connections_after_up(local: LocalUpgrade) -> None:
    local.down()
    with local.serve() as url:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/api/version")
        local.up()
        assert httpx.get(f"{url}/api/version").status_code == 200


def test_down_and_up_from_two_threads_come_one_after_the_other(
    local: LocalUpgrade, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, up = SocketServer.pause, Thread(target=local.up)

    def pause_late(serving: SocketServer) -> None:
        up.start()
        up.join(0.1)  # which it does not do before all doors are closed
        pause(serving)

    monkeypatch.setattr(SocketServer, "pause", pause_late)
    local.down()
    up.join()
    assert httpx.get(f"{url}/api/version").status_code == 200


def test_a_report_may_turn_the_server_off(
    local: LocalUpgrade, caplog: pytest.LogCaptureFixture
) -> None:
    def turn_off(*_: object) -> None:
        local.down()

    with local.serve(report=turn_off) as url:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/api/version")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/api/version")
    assert caplog.text == ""


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_a_port_that_does_not_exist_is_a_value_error(local: LocalUpgrade, port: int) -> None:
    with pytest.raises(ValueError, match=f"port must be from 0 to 65535, not {port}"):
        local.serve(port=port).__enter__()


def test_an_error_of_its_own_is_a_500_and_is_logged(
    local: LocalUpgrade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Api, "handle", broken)
    with local.serve() as url:
        assert httpx.get(f"{url}/api/version").status_code == 500
    assert "GET /api/version failed" in caplog.text


def test_a_server_that_is_down_leaves_open_connections_without_an_answer(
    local: LocalUpgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(Api, "handle", refuse)
    with local.serve() as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{url}/api/version")


def test_a_connection_that_fails_before_it_is_accepted_is_passed_over(
    local: LocalUpgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failures = socket.socket.accept, [OSError("gone")]

    def flaky(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", flaky)
    with local.serve() as url:
        assert httpx.get(f"{url}/api/version").status_code == 200


def test_a_server_may_end_while_it_is_down(local: LocalUpgrade) -> None:
    with local.serve() as url:
        local.down()
    local.up()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/version")


def test_a_report_that_fails_ends_the_connection_alone(
    local: LocalUpgrade, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    with local.serve(report=broken) as url:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(f"{url}/api/version")
    assert "an error of LocalUpgrade's own" in caplog.text


def test_an_idle_connection_is_closed(local: LocalUpgrade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.server.KEEP_ALIVE_SECONDS", 0.01)
    with local.serve() as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            assert connection.recv(1) == b""


def test_each_request_is_reported(local: LocalUpgrade) -> None:
    reports: list[tuple[str, str, str | None, int]] = []

    def report(method: str, path: str, user: str | None, status: int, seconds: float) -> None:
        assert 0 <= seconds < 5
        reports.append((method, path, user, status))

    with local.serve(report=report) as url:
        httpx.get(f"{url}/api/version")
        httpx.post(f"{url}/api/v6/assign", headers={"User-Id": "u1"}, json={})
    assert reports == [
        ("GET", "/api/version", None, 200),
        ("POST", "/api/v6/assign", "u1", 404),
    ]


def test_user_ids_are_latin_1_on_the_wire(local: LocalUpgrade, url: str) -> None:
    headers = {b"User-Id": "josé".encode("latin-1")}
    answer = httpx.post(f"{url}/api/v6/init", headers=headers, json={})
    assert json.loads(answer.content) == {"id": "josé"}


def test_a_request_that_drips_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.http1.REQUEST_SECONDS", -1.0)
    received = exchange(url, b"POST /api/v6/init HTTP/1.1\r\nX: y")
    assert received.startswith(b"HTTP/1.1 408 ")


def test_a_body_without_an_end_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.http1._DRAIN_LIMIT", 10)
    received = exchange(url, request(b"8\r\n12345678\r\n" * 2, "Transfer-Encoding: chunked"))
    assert received.startswith(b"HTTP/1.1 413 ")


def test_all_connections_together_hold_bodies_up_to_a_limit(
    local: LocalUpgrade, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.http1._BODIES_LIMIT", 60_000)
    add, held, all_held = HeldBodies.add, 0, Event()

    def observed(bodies: HeldBodies, size: int) -> None:
        nonlocal held
        add(bodies, size)
        held += size
        if held == 30_000:
            all_held.set()

    monkeypatch.setattr(HeldBodies, "add", observed)
    large = request(b" " * 50_000, "Content-Length: 50000", "Connection: close")
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as unfinished:
        unfinished.sendall(request(b" " * 30_000, "Content-Length: 35000", "Connection: close"))
        all_held.wait()
        assert exchange(url, large).startswith(b"HTTP/1.1 503 ")
        unfinished.sendall(b" " * 5_000)
        assert unfinished.recv(12) == b"HTTP/1.1 200"
        while unfinished.recv(65536):
            pass
    for _ in range(3):
        assert exchange(url, large).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_goes_on_after_an_error_is_cut_off(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.server._FINISH_SECONDS", 0.0)
    assert exchange(url, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_connections_beyond_the_limit_are_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrade_client_lib.testing._http.server._MOST_CONNECTIONS", 0)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/api/version")


def test_large_bodies_leave_less_requests_to_look_at(
    local: LocalUpgrade, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = RequestLog(requests=2, content=100)
    monkeypatch.setattr(local._api, "requests", kept)  # pyright: ignore[reportPrivateUsage]
    for size in (10, 10, 10, 95, 200):
        httpx.post(f"{url}/api/v6/init", content=b" " * size, headers={"User-Id": "u1"})
    assert not local.requests
    for size in (10, 20, 30):
        httpx.post(f"{url}/api/v6/init", content=b" " * size, headers={"User-Id": "u1"})
    assert [len(seen.content) for seen in local.requests] == [20, 30]
