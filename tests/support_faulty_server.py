"""A server on a loopback socket that is an UpGrade server, until it is told to misbehave.

Each request that arrives whole is carried out by a ``LocalUpgrade``, so that its marks and rewards
tell what counted; then the answer is sent, or spoiled by a fault. Everything ends by itself: what
waits, waits until the other side hangs up, and not for ever.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Callable, Union
from urllib.parse import urlsplit

import attrs
import httpx

from upgrade_client_lib.testing import LocalUpgrade

LONGEST = 20.0  # which nothing takes, however busy the machine
DRIP = 0.01


@attrs.frozen
class Fault:
    """What happens to an answer: ``play`` gets the connection and the answer, whole.

    It tells whether the connection lives on. With ``carried_out=False`` the request does nothing
    else, as one that a server refuses.
    """

    play: Callable[[socket.socket, bytes], bool]
    carried_out: bool = True


Faults = Union[Fault, "list[Fault]"]


@attrs.frozen
class Received:
    """A request that arrived whole; header names are in lower case."""

    endpoint: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


class FaultyServer:
    """Serves while its ``with`` block runs.

    ``faults`` are by endpoint, as in ``mark=never_answers``: one for every request, or a list for
    as many requests, after which all is well.
    """

    def __init__(
        self,
        upgrade: LocalUpgrade | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        **faults: Faults,
    ) -> None:
        self.upgrade = upgrade or LocalUpgrade()
        self.received: list[Received] = []
        self.connections = 0
        self._faults = faults
        self._tls = tls
        self._changed = threading.Condition()
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._wake, self._woken = socket.socketpair()

    def __enter__(self) -> FaultyServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wake.close()
        with self._changed:
            connections = list(self._open.values())
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONGEST)

    def count(self, endpoint: str) -> int:
        """How many requests of an endpoint arrived whole."""
        return sum(request.endpoint == endpoint for request in self.received)

    def wait_for(self, count: int, endpoint: str) -> None:
        """Wait until so many requests of an endpoint have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(endpoint) >= count, LONGEST)

    def wait_until_all_hung_up(self) -> None:
        """Wait until the other side has closed every connection."""
        assert self.open_connections(0) == 0, "a socket is still open"

    def open_connections(self, expected: int) -> int:
        """How many connections are open; some seconds are given for them to be those expected."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._open) <= expected, LONGEST)
            return len(self._open)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with self._listener, self._woken:
            while True:
                ready, _, _ = select.select([self._listener, self._woken], [], [])
                if self._woken in ready:
                    return
                connection, _ = self._listener.accept()
                connection.settimeout(4 * LONGEST)  # no test shall wait for the server to hang up
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._changed:
                    number = self.connections
                    self.connections += 1
                    self._open[number] = connection
                self._start(self._converse, number, connection)

    def _converse(self, number: int, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while self._answer_next(number, connection):
                pass
        except OSError:  # the other side is gone, or refuses our certificate
            pass
        finally:
            connection.close()
            with self._changed:
                del self._open[number]
                self._changed.notify_all()

    def _answer_next(self, number: int, connection: socket.socket) -> bool:
        request = _read(connection, number)
        if request is None:
            return False
        with self._changed:
            self.received.append(request)
            self._changed.notify_all()
            faults = self._faults.get(request.endpoint, WELL)
            if isinstance(faults, list):
                faults = faults.pop(0) if faults else WELL
        answer = _carried_out(self.upgrade, request) if faults.carried_out else b""
        return faults.play(connection, answer)


def _read(connection: socket.socket, number: int) -> Received | None:
    """Read the next request; ``None`` when it is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more_of(connection)
        if data.startswith(b"\x16\x03"):  # TLS, which a server without it takes for bad HTTP
            connection.sendall(http_answer(400, b"", {}))
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in rest]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    assert len(headers) == len(pairs), "a header came twice"
    while len(body) < int(headers.get("content-length", "0")):
        body += _more_of(connection)
    path = urlsplit(first.split(" ")[1]).path  # a proxy passes on the whole address
    return Received(path.rpartition("/")[2], path, headers, body, number)


def _more_of(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the other side hung up")
    return data


def _carried_out(upgrade: LocalUpgrade, request: Received) -> bytes:
    method = "PATCH" if request.endpoint in PATCHED else "POST"
    headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    sent = httpx.Request(
        method, f"http://upgrade{request.path}", headers=headers, content=request.body
    )
    response = upgrade.transport.handle_request(sent)
    return http_answer(response.status_code, response.content, dict(response.headers))


PATCHED = frozenset({"groupmembership", "workinggroup", "useraliases"})


def http_answer(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer as it goes over the wire."""
    given = {name.lower(): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if name != "content-length"]
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, f"content-length: {len(body)}"])
    return head.encode("latin-1") + b"\r\n\r\n" + body


# ---- Faults ----


def answers(
    status: int,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    *,
    carried_out: bool = False,
) -> Fault:
    """Another answer than the real one."""
    content = body.encode() if isinstance(body, str) else body
    answer = http_answer(status, content, headers or {})

    def play(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(answer)
        return True

    return Fault(play, carried_out)


def _answer_well(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer)
    return True


def _answer_and_go_on(connection: socket.socket, answer: bytes) -> bool:
    corking = getattr(socket, "TCP_CORK", socket.TCP_NODELAY)  # only Linux has it
    connection.setsockopt(socket.IPPROTO_TCP, corking, 1)
    connection.sendall(answer)
    connection.sendall(http_answer(200, b'{"id": "somebody else"}', {}))
    connection.setsockopt(socket.IPPROTO_TCP, corking, 0)  # with TLS, two records arrive at once
    return True


def _answer_and_hang_up(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer)
    return False


def _never_answer(connection: socket.socket, _: bytes) -> bool:
    return bool(connection.recv(1))


def _hang_up(connection: socket.socket, _: bytes) -> bool:
    return False


def _end_in_body(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer[:-1])
    return False


def _reset_before_answer(connection: socket.socket, _: bytes) -> bool:
    return _reset(connection)


def _reset_in_headers(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer[: answer.index(b"\r\n\r\n")])
    return _reset(connection)


def _reset_in_body(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer[:-1])
    return _reset(connection)


def _drip_all(connection: socket.socket, answer: bytes) -> bool:
    return _drip(connection, answer)


def _drip_body(connection: socket.socket, answer: bytes) -> bool:
    body = answer.partition(b"\r\n\r\n")[2] + b" " * 1000
    head = http_answer(200, body, {})[: -len(body)]
    connection.sendall(head)
    return _drip(connection, body)


def _speak_something_else(connection: socket.socket, _: bytes) -> bool:
    connection.sendall(b"220 mail.example.org ESMTP\r\n\r\n")
    return False


def _continue(connection: socket.socket, _: bytes) -> bool:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def _process(connection: socket.socket, _: bytes) -> bool:
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


def _reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _drip(connection: socket.socket, data: bytes) -> bool:
    """Send a byte at a time, until the other side hangs up."""
    hung_up = False
    while data and not hung_up:
        connection.sendall(data[:1])
        data = data[1:]
        hung_up = bool(select.select([connection], [], [], DRIP)[0])
    return False


WELL = Fault(_answer_well)
hangs_up_after_answer = Fault(_answer_and_hang_up)
answers_more_than_was_asked = Fault(_answer_and_go_on)
never_answers = Fault(_never_answer)
hangs_up = Fault(_hang_up)
ends_in_body = Fault(_end_in_body)
resets_before_answer = Fault(_reset_before_answer)
resets_in_headers = Fault(_reset_in_headers)
resets_in_body = Fault(_reset_in_body)
drips = Fault(_drip_all)
drips_body = Fault(_drip_body)
continues_endlessly = Fault(_continue)
processes_endlessly = Fault(_process)
is_no_http = Fault(_speak_something_else)


# ---- Where there is no server ----


@contextmanager
def refusing_address() -> Generator[str, None, None]:
    """An address that refuses connections: its port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def unanswering_address() -> Generator[str, None, None]:
    """An address that leaves connections unanswered: its queue is full (on Linux)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting: list[socket.socket] = []
        try:
            while True:
                one = socket.socket()
                waiting.append(one)
                one.settimeout(0.05)
                try:
                    one.connect(address)
                except socket.timeout:
                    break
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for one in waiting:
                one.close()
