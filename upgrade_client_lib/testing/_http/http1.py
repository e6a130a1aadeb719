"""The requests of one connection to a server, which h11 parses, and the responses to them."""

from __future__ import annotations

import re
import socket
import time
from http import HTTPStatus
from threading import Lock
from typing import Any

import attrs
import h11

from .app import BODY_LIMIT, Response
from .faults import WITHOUT_BODY

KEEP_ALIVE_SECONDS = 5.0
REQUEST_SECONDS = 30.0
"""How long a request may take to arrive as a whole, however steadily it drips."""

_HEAD_LIMIT = 16 * 1024
_RECEIVED_AT_ONCE = _HEAD_LIMIT  # h11 limits what is incomplete alone, so this bounds a head too
_DRAIN_LIMIT = 64 * 1024 * 1024
_BODIES_LIMIT = 64 * 1024 * 1024
_MALFORMED = re.compile(rb"(?<!\r)\n|\A(?:\r\n)?[0-9A-Fa-f]+[ \t]")  # around chunks; h11 takes it
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class BadRequest(Exception):
    """Malformed HTTP, or too much: the response is a bare status, then the connection closes."""

    def __init__(self, status: int) -> None:
        self.status = status


class ConnectionClosed(Exception):
    """The client closed the connection."""


@attrs.frozen
class RequestHead:
    """A request's first line and headers; their names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool


class HeldBodies:
    """Counts the bytes of bodies that all connections of a server hold, which are limited."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held = 0

    def add(self, size: int) -> None:
        with self._lock:
            if self._held + size > _BODIES_LIMIT:
                raise BadRequest(503)
            self._held += size


class Http1Connection:
    """Reads requests from a connected socket and writes responses to it."""

    def __init__(self, connection: socket.socket, bodies: HeldBodies) -> None:
        self._connection = connection
        self._bodies = bodies
        self._held = 0
        self._parser = _parser()
        self._deadline = 0.0

    def head(self) -> RequestHead | None:
        """Return the next request's head; None where the connection ends between requests."""
        received, _ = self._parser.trailing_data
        if not received:
            received = self._connection.recv(_RECEIVED_AT_ONCE)
            if not received:
                return None
        self._parser = _parser()  # a new one for each request, since responses do not go through it
        self._deadline = time.monotonic() + REQUEST_SECONDS
        received = received.removeprefix(b"\r\n") or self._more()  # one empty line is ignored
        self._parser.receive_data(received)
        while (request := self._event()) is h11.NEED_DATA:
            more = self._more()
            self._parser.receive_data(more)
            received += more
        length = len(received) - len(self._parser.trailing_data[0])
        if received.count(b"\n", 0, length) != received.count(b"\r\n", 0, length):
            raise BadRequest(400)  # h11 accepts bare line feeds
        return _head(request)

    def body(self, head: RequestHead) -> bytes:
        """Return the request's body; of one over the limit, just more than the limit."""
        _check_body(head.headers)
        if self._parser.they_are_waiting_for_100_continue:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = "transfer-encoding" in head.headers
        content, framing = bytearray(), bytearray()
        arrived = 0
        while True:
            event = self._chunk_event(framing) if chunked else self._event()
            if isinstance(event, h11.EndOfMessage):
                return bytes(content)
            if event is h11.NEED_DATA:
                self._hold(len(content))
                self._parser.receive_data(self._more())
                continue
            arrived += len(event.data)
            if arrived > _DRAIN_LIMIT:
                raise BadRequest(413)
            if len(content) <= BODY_LIMIT:
                content += event.data

    def release(self) -> None:
        """Count the request's body no longer."""
        self._hold(0)

    def send(self, response: Response, *, keep_alive: bool, with_body: bool) -> None:
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if response.status not in WITHOUT_BODY:
            lines.append(f"Content-Length: {len(response.body)}")
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        if keep_alive:
            lines.append(f"Keep-Alive: timeout={KEEP_ALIVE_SECONDS:g}")
        lines.append("\r\n")
        content = response.body if with_body else b""
        self._connection.sendall("\r\n".join(lines).encode("latin-1", "replace") + content)

    def _event(self) -> Any:
        """Return what the request has next, or that it has not arrived."""
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint) from error

    def _chunk_event(self, framing: bytearray) -> Any:
        """Return what a body in chunks has next; ``framing`` is what stood before it."""
        unread, _ = self._parser.trailing_data
        event = self._event()
        framing += unread[: len(unread) - len(self._parser.trailing_data[0])]
        if event is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                del framing[-len(event.data) :]
            if _MALFORMED.search(framing):
                raise BadRequest(400)
            framing.clear()
        return event

    def _hold(self, size: int) -> None:
        if size != self._held:
            self._bodies.add(size - self._held)
            self._held = size

    def _more(self) -> bytes:
        """Return what arrives next, within the time of the request."""
        if time.monotonic() > self._deadline:
            raise BadRequest(408)
        received = self._connection.recv(_RECEIVED_AT_ONCE)
        if not received:
            raise ConnectionClosed
        return received


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT - 1)


def _head(request: h11.Request) -> RequestHead:
    if request.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(505)
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = request.target.decode("latin-1")
    if path.startswith("http://"):
        path = "/" + path[7:].partition("/")[2]
    options = [one.strip() for one in headers.get("connection", "").lower().split(",")]
    is_old = request.http_version == b"1.0"
    keep_alive = "close" not in options and (not is_old or "keep-alive" in options)
    return RequestHead(request.method.decode("ascii"), path, headers, keep_alive)


def _check_body(headers: dict[str, str]) -> None:
    """Refuse a body that h11 takes and this server does not."""
    length = headers.get("content-length")
    if length is not None and "transfer-encoding" in headers:
        raise BadRequest(400)
    if length is not None and int(length) > _DRAIN_LIMIT:
        raise BadRequest(413)
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadRequest(417)
