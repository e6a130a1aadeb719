"""The server of the benchmarks: recorded answers, given as fast as Python can, and counted.

Started as a script, it prints its address and serves until its standard input ends. Every
``POST`` and ``PATCH`` gets the recorded answer for its path; ``GET /counts`` tells how many of
them came, over how many connections.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import yaml

CASSETTES = Path(__file__).parent.parent / "tests" / "cassettes"


def recorded_answers() -> dict[str, bytes]:
    """The answers of a context with 200 experiments and 200 flags, and to one log entry."""
    answers: dict[str, bytes] = {}
    for name in ["metrics", "big_context"]:
        text = (CASSETTES / f"{name}.yaml").read_text(encoding="utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for exchange in yaml.load(text, loader)["interactions"]:
            path = "/api/" + exchange["request"]["uri"].partition("/api/")[2]
            answers.setdefault(path, exchange["response"]["body"]["string"].encode())
    return answers


class Counts:
    """What the server saw so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, answers: Mapping[bytes, bytes], counts: Counts) -> None:
        self._answers = answers
        self._counts = counts
        self._received = b""
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, blank, rest = self._received.partition(b"\r\n\r\n")
            length = _content_length(head)
            if not blank or len(rest) < length:
                return
            self._received = rest[length:]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            return _response(200, json.dumps(vars(self._counts)).encode())
        self._counts.requests += 1
        self._counts.connections += not self._counted
        self._counted = True
        return self._answers.get(path) or _response(404, b'{"message": "not recorded"}')


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _response(status: int, body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} ", "Content-Type: application/json; charset=utf-8"]
    lines += [f"Content-Length: {len(body)}", "x-request-id: 1", "", ""]
    return "\r\n".join(lines).encode() + body


async def serve() -> None:
    answers = {path.encode(): _response(200, body) for path, body in recorded_answers().items()}
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers, counts), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@attrs.frozen
class Server:
    """The server, in a process of its own."""

    address: str

    def counts(self) -> tuple[int, int]:
        """How many requests came so far, over how many connections."""
        with urllib.request.urlopen(f"{self.address}/counts") as answer:
            counts = json.load(answer)
        return counts["requests"], counts["connections"]


@contextmanager
def serving() -> Generator[Server, None, None]:
    """Have the server run while the block does."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(process.stdout.readline().strip())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve())
