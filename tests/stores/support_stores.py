"""Stores of each kind, called in each way."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import attrs
import pytest

from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore, Store

ROOT = Path(__file__).parent.parent.parent


class Time:
    """What the clocks say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passed = 0.0
        for name in ("time", "monotonic"):
            monkeypatch.setattr(time, name, self._moved(getattr(time, name)))

    def let_pass(self, seconds: float) -> None:
        self._passed += seconds

    def _moved(self, clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() + self._passed


@attrs.frozen
class Kind:
    """A kind of store; ``open`` returns a store of the same data each time."""

    name: str
    open: Callable[[], Store]
    between_processes: bool = True
    ours: bool = True


def memory() -> Kind:
    store = MemoryStore()
    return Kind("memory", lambda: store, between_processes=False)


def sqlite(folder: Path) -> Kind:
    return Kind("sqlite", lambda: SQLiteStore(folder / "store.db"))


def redis(url: str, prefix: str) -> Kind:
    # A busy machine may be slower than the default.
    return Kind("redis", lambda: RedisStore(url, prefix=prefix, timeout=10))


def documented(folder: Path) -> Kind:
    """The store that the documentation shows how to write."""
    pytest.importorskip("fcntl", reason="the documented store locks files as Unix does")
    page = (ROOT / "docs" / "stores.md").read_text("utf-8")
    code = page.split('```python title="file_store.py"\n')[1].split("```")[0]
    assert len(code.splitlines()) <= 50
    defined: dict[str, Any] = {}
    exec(compile(code, "docs/stores.md", "exec"), defined)
    return Kind("documented", lambda: defined["FileStore"](folder / "store"), ours=False)


class Blocking:
    """Calls a store's blocking methods."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get = store.get
        self.replace = store.replace
        self.delete = store.delete


class Async:
    """Calls a store's async methods, or what event loops call where it has none, in one loop."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop

    def get(self, key: str) -> tuple[bytes, int] | None:
        found: tuple[bytes, int] | None = self._loop.run_until_complete(get(self._store, key))
        return found

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        return self._loop.run_until_complete(replace(self._store, key, value, version, ttl))

    def delete(self, key: str) -> None:
        self._loop.run_until_complete(called(self._store, "delete", key))


async def get(store: Store, key: str) -> tuple[bytes, int] | None:
    found: tuple[bytes, int] | None = await called(store, "get", key)
    return found


async def replace(store: Store, key: str, value: bytes, version: int | None, ttl: float) -> bool:
    written: bool = await called(store, "replace", key, value, version, ttl)
    return written


async def called(store: Store, name: str, *arguments: object) -> Any:
    method = getattr(store, f"{name}_async", None)
    if method is None:
        return await asyncio.to_thread(getattr(store, name), *arguments)
    return await method(*arguments)


def version_of(store: Store | Blocking | Async, key: str) -> int:
    found = store.get(key)
    assert found is not None
    return found[1]


def count_up(store: Store, key: str, times: int) -> None:
    """Add to a number by compare-and-set, over and over again where another was faster."""
    left = times
    while left:
        with suppress(sqlite3.OperationalError):  # others kept the file locked for too long
            found = store.get(key)
            value, version = (b"0", None) if found is None else found
            left -= store.replace(key, b"%d" % (int(value) + 1), version, 600)
