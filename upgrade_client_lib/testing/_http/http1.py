"""HTTP/1.1 as a server needs it: the requests and responses of one connection."""

from __future__ import annotations

import socket
from http import HTTPStatus

import attrs

from .app import BODY_LIMIT, Response
from .faults import WITHOUT_BODY

KEEP_ALIVE_SECONDS = 5.0
_HEAD_LIMIT = 16 * 1024
_DRAIN_LIMIT = 64 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class BadRequest(Exception):
    """Malformed or oversized HTTP: the response is a bare status, then the connection closes."""

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


class Http1Connection:
    """Reads requests from a connected socket and writes responses to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def head(self) -> RequestHead | None:
        """Return the next request's head; None where the connection ends between requests."""
        while True:
            self._buffer = self._buffer.lstrip(b"\r\n")
            end = self._buffer.find(b"\r\n\r\n")
            if end > _HEAD_LIMIT or (end < 0 and len(self._buffer) > _HEAD_LIMIT):
                raise BadRequest(431)
            if end >= 0:
                break
            more = self._connection.recv(65536)
            if not more and not self._buffer:
                return None
            if not more:
                raise ConnectionClosed
            self._buffer += more
        text = self._buffer[:end].decode("latin-1")
        self._buffer = self._buffer[end + 4 :]
        return _head(text)

    def body(self, head: RequestHead) -> bytes:
        """Return the request's body; of one over the limit, just more than the limit."""
        coding = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if coding is not None and (coding.lower() != "chunked" or length is not None):
            raise BadRequest(400)
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BadRequest(400)
        if coding is None and not length:
            return b""
        if length is not None and int(length) > _DRAIN_LIMIT:
            raise BadRequest(413)
        expected = head.headers.get("expect")
        if expected is not None and expected.lower() != "100-continue":
            raise BadRequest(417)
        if expected is not None:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._chunked() if length is None else self._take(int(length))

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

    def _take(self, length: int) -> bytes:
        """Return the next `length` bytes, or the first of them if they exceed the limit."""
        if len(self._buffer) >= length:
            taken, self._buffer = self._buffer[:length], self._buffer[length:]
            return taken
        parts = [self._buffer]
        kept = len(self._buffer)
        missing = length - kept
        self._buffer = b""
        while missing:
            part = self._connection.recv(min(missing, 1 << 18))
            if not part:
                raise ConnectionClosed
            missing -= len(part)
            if kept <= BODY_LIMIT:
                parts.append(part)
                kept += len(part)
        return b"".join(parts)

    def _chunked(self) -> bytes:
        parts: list[bytes] = []
        kept = total = 0
        while True:
            size_text = self._line().partition(b";")[0].strip()
            try:
                size = int(size_text, 16) if size_text.isalnum() else -1
            except ValueError:
                size = -1
            total += size
            if size < 0:
                raise BadRequest(400)
            if total > _DRAIN_LIMIT:
                raise BadRequest(413)
            if size == 0:
                break
            part = self._take(size)
            if kept <= BODY_LIMIT:
                parts.append(part)
                kept += len(part)
            if self._line():
                raise BadRequest(400)
        while self._line():
            pass
        return b"".join(parts)

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadRequest(400)
            more = self._connection.recv(65536)
            if not more:
                raise ConnectionClosed
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line


def _head(text: str) -> RequestHead:
    first, *rest = text.split("\r\n")
    method, path, version = _first_line(first)
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not name or not _TOKEN.issuperset(name) or "\0" in value:
            raise BadRequest(400)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection = headers.get("connection", "").lower()
    keep_alive = connection == "keep-alive" if version == "HTTP/1.0" else connection != "close"
    return RequestHead(method, path, headers, keep_alive)


def _first_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0") or not parts[0].isalpha():
        raise BadRequest(400)
    method, path, version = parts
    if path.startswith("http://"):
        path = "/" + path[7:].partition("/")[2]
    return method, path, version
