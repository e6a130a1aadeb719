"""A Redis server of the tests' own, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

from tests.support_clock import until

REQUIRED = "UPGRADE_REQUIRE_REDIS"


class RedisServer:
    """A ``redis-server``, which serves from the start of the block to its end.

    It keeps nothing, or with ``keeps_data`` writes each change to a file before it answers.
    """

    def __init__(self, folder: Path, *, keeps_data: bool = False) -> None:
        self._folder = folder
        self._keeps_data = keeps_data
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> Path:
        return self._folder / "redis.sock"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, again on the same port if it ran before, and wait until it serves."""
        self.port = self.port or free_port()
        options = [
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--unixsocket", str(self.socket_path), "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "yes" if self._keeps_data else "no"),
            *("--appendfsync", "always"),  # with everysec it answers first while the disk is slow
        ]
        log = self._folder / "redis.log"  # no pipe: a full one would stop the server
        with log.open("wb") as writing:
            self._process = subprocess.Popen(["redis-server", *options], stdout=writing)
        until(lambda: "ready to accept connections" in log.read_text("utf-8").lower())

    def stop(self) -> None:
        assert self._process is not None
        with self._process as process:
            process.terminate()
            process.wait(timeout=30)

    def crash(self) -> None:
        """Kill it, and start it again."""
        assert self._process is not None
        with self._process as process:
            process.kill()
        self.start()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def want_redis() -> None:
    """Skip the test where no ``redis-server`` is installed, unless it must be there."""
    if shutil.which("redis-server") is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, but there is no redis-server")
        pytest.skip("redis-server is not installed")
