"""HTTP over a socket with as little work as possible, so that the server's share is what counts."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def connected(url: str) -> socket.socket:
    """Return a connection to the server of an address."""
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname or "", where.port or 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(endpoint: str, user: str, body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"POST /api/v6/{endpoint} HTTP/1.1\r\nHost: localhost\r\nUser-Id: {user}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def status_of(connection: socket.socket, request: bytes) -> int:
    """Send a request, read its response to the end, and return the status."""
    connection.sendall(request)
    response = b""
    while b"\r\n\r\n" not in response:
        response += connection.recv(65536)
    head, _, body = response.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1])
