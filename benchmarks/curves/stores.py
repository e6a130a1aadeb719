"""Stores of each kind, empty ones; Redis is started where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore

from .measuring import Clock

AnyStore = Any
"""A store of this library: each keeps users as well as events."""


@attrs.frozen
class Kind:
    """A store, where it is, and the clock by which it is measured.

    Redis is another process, so that the time that passes is what counts.
    """

    store: AnyStore
    at: str = ""
    clock: Clock = time.process_time

    @property
    def name(self) -> str:
        return type(self.store).__name__


def in_each_store(*, max_users: int = 1) -> Iterator[Kind]:
    """Return one store after the other, each gone before the next is made."""
    yield Kind(MemoryStore(max_users=max_users + 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        sqlite = SQLiteStore(path)
        yield Kind(sqlite, str(path))
        sqlite.close()
    if shutil.which("redis-server"):
        yield from _in_redis()


def _in_redis() -> Iterator[Kind]:
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
        redis = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            while not socket.exists():
                time.sleep(0.05)
            url = f"unix://{socket}"
            yield Kind(RedisStore(url, timeout=10.0), url, time.perf_counter)
        finally:
            redis.terminate()
            redis.wait()
