"""What the package of stores exports, and what loads when; stores named by an address."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.test_imports import loaded_by
from upgrade_client_lib import UpgradeConnection, stores
from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore, store_from_url


def test_importing_the_package_loads_no_database() -> None:
    loaded = loaded_by("import upgrade_client_lib.stores as stores; dir(stores)")
    assert not loaded & {"sqlite3", "redis", "asyncio", "httpx", "typing_extensions"}


def test_a_store_loads_what_it_needs_and_no_other() -> None:
    memory = loaded_by("from upgrade_client_lib.stores import MemoryStore; MemoryStore()")
    assert not memory & {"sqlite3", "redis", "asyncio"}
    sqlite = loaded_by("from upgrade_client_lib.stores import SQLiteStore; SQLiteStore('x')")
    assert "redis" not in sqlite
    assert "redis" not in loaded_by("from upgrade_client_lib.stores import RedisStore")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'upgrade_client_lib\.stores' has no"):
        _ = stores.Stroe  # pyright: ignore


def test_memory_is_an_address() -> None:
    assert isinstance(store_from_url("memory:"), MemoryStore)


def test_files_are_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for address in ["sqlite:///below/store.db", f"sqlite:///{tmp_path}/below/store.db"]:
        store = store_from_url(address)
        assert isinstance(store, SQLiteStore)
        with closing(store):
            assert repr(store) == f"SQLiteStore({str(tmp_path / 'below' / 'store.db')!r})"
            store.replace("key", b"one", None, 60)
            store.delete("key")


@pytest.mark.parametrize(
    "address",
    ["redis://localhost:6379/0", "rediss://user:secret@localhost", "unix:///run/redis.sock?db=1"],
)
def test_servers_are_addresses(address: str) -> None:
    assert isinstance(store_from_url(address), RedisStore)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "memory",
        "memory:x",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://store.db",
        "store.db",
        "postgres://user:secret@localhost/0",
        "REDIS://localhost",
    ],
)
def test_other_addresses_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(
        ValueError, match="the address of a store must be memory:, sqlite:///rel"
    ) as e:
        store_from_url(address)
    assert "secret" not in str(e.value)


def test_a_file_in_memory_is_refused_here_too() -> None:
    with pytest.raises(ValueError, match="path must name a file"):
        store_from_url("sqlite:///:memory:")


@pytest.mark.parametrize("argument", ["store", "outbox"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (1, "which int is not"),
        ("memory:", "which str is not"),
        (SQLiteStore, "not the class SQLiteStore: make one of it"),
    ],
)
def test_a_connection_takes_nothing_else_for_a_store(
    argument: str, given: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=f"{argument} must be a store.*, {message}"):
        UpgradeConnection("http://upgrade", **{argument: given})
