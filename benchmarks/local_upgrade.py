"""How many requests a LocalUpgrade in a process of its own answers over its socket."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import attrs

CONNECTIONS = 8
REQUESTS = 500  # on each connection, in each of the
ROUNDS = 8

SERVER = """
from examples.school import school
with school().serve() as url:
    print(url, flush=True)
    input()
"""


@attrs.frozen
class Served:
    """Answers in a second of the best round, and how many of all were not a 200."""

    per_second: float
    errors: int


def throughput() -> Served:
    """Have each connection of its own ask for the flags of a user of its own, again and again."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url: str = process.stdout.readline().strip()
        where = urlsplit(url)
        address = (where.hostname or "", where.port or 0)
        users = [f"user-{number}" for number in range(CONNECTIONS)]
        errors, best = 0, math.inf
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                errors += sum(threads.map(partial(_errors_of, address), users))
                best = min(best, time.perf_counter() - begun)
    finally:
        process.communicate("\n")
    return Served(CONNECTIONS * REQUESTS / best, errors)


def _errors_of(address: tuple[str, int], user: str) -> int:
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        errors = _answered(connection, _request("init", user, b"{}")) != 200
        flags = _request("featureflag", user, b'{"context":"my-app"}')
        return errors + sum(_answered(connection, flags) != 200 for _ in range(REQUESTS - 1))


def _request(endpoint: str, user: str, body: bytes) -> bytes:
    head = (
        f"POST /api/v6/{endpoint} HTTP/1.1\r\nHost: localhost\r\nUser-Id: {user}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _answered(connection: socket.socket, request: bytes) -> int:
    """Send a request, read its answer to the end, and give the status."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1])
