"""The first read of a new client, over the records in each store."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Callable
from zlib import crc32

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._user.entry import CHECKSUM_BYTES, decode
from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

from ..charts import Chart, Lines, chart
from .measuring import HOST, best, sizes
from .stores import AnyStore, Kind, in_each_store

FIRST = f"{HOST} user"
READS = 500

Records = Iterable[tuple[str, bytes]]
"""Keys and values."""


def charts(most: int) -> Mapping[str, Chart]:
    lines: Lines = {}
    for kind in in_each_store(max_users=most):
        lines[kind.name] = list(_first_reads(kind, most))
    title = "A new client and its first read"
    return {"growth-records": chart(title, "records in the store", "µs", lines)}


def _first_reads(kind: Kind, most: int) -> Iterator[list[float]]:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    connection = UpgradeConnection(HOST, transport=local.transport, store=kind.store)
    connection.client("user", "my-app", group={}).decide_sync("home", "banner")
    like, _ = kind.store.get(FIRST)
    held = 0
    for users in sizes(100, most):
        _add_records(kind.store, kind.at, _records(like, range(held, users)))
        held = users
        ids = itertools.cycle(f"user-{number * 7_919 % users}" for number in range(users))

        def first_read(ids: Iterator[str] = ids) -> object:
            client = connection.client(next(ids), "my-app")
            return client.get_decision_point_assignment_sync("home", "banner")

        sent = len(local.requests)
        yield [users, best(first_read, READS, kind.clock)]
        assert len(local.requests) == sent, "each is in the store"


def _records(like: bytes, numbers: range) -> Iterator[tuple[str, bytes]]:
    """Return records of other users; all differ, since equal ones would be decoded once."""
    entry = decode(like)
    assert entry is not None
    generation, checked = entry.generation.encode(), like[CHECKSUM_BYTES:]
    for number in numbers:
        own = checked.replace(generation, b"%016x" % number)
        yield f"{HOST} user-{number}", crc32(own).to_bytes(CHECKSUM_BYTES, "big") + own


def _add_records(store: AnyStore, at: str, records: Records) -> None:
    """Write many records, in the ways that are fast: by calls, each would take its time."""
    writers: dict[type[Any], Callable[[], None]] = {
        MemoryStore: lambda: _add_to_memory(store, records),
        SQLiteStore: lambda: _add_to_sqlite(Path(at), records),
        RedisStore: lambda: _add_to_redis(at, records),
    }
    writers[type(store)]()


def _add_to_memory(store: MemoryStore, records: Records) -> None:
    for key, value in records:
        store.replace(key, value, None, 3_600)


def _add_to_sqlite(path: Path, records: Records) -> None:
    """Add rows that are, but for key and value, as the first one."""
    insert = "INSERT INTO records SELECT ?, ?, version, expires FROM records WHERE key = ?"
    with closing(sqlite3.connect(path)) as connection:
        with connection:
            connection.executemany(insert, ((key, value, FIRST) for key, value in records))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _add_to_redis(url: str, records: Records) -> None:
    """Set values that begin with the version of the first one."""
    import redis

    redis_class: Any = redis.Redis
    client = redis_class.from_url(url)
    version = client.get(f"upgrade:{FIRST}")[:8]
    own = iter(records)
    while some := {
        f"upgrade:{key}": version + value for key, value in itertools.islice(own, 5_000)
    }:
        client.mset(some)
    client.close()
