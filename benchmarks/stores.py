"""What stores cost: ``python -m benchmarks.stores`` prints a table.

Times are processor time, the best of several rounds, since the machine may have other work.
``--redis`` is the address of a Redis server, ``--users`` how many records are kept at the most.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Callable

import attrs

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._user.entry import Entry, decode, encode
from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore, Store
from upgrade_client_lib.testing import LocalUpgrade

HOST = "http://upgrade"
POINT = ("site", "target-1")
ROUNDS = 7


def _upgrade() -> LocalUpgrade:
    """A server that assigns at ten points, in about 2.5 kB."""
    local = LocalUpgrade()
    for number in range(10):
        payloads = {"a": "x" * 20, "b": "y" * 20}
        local.experiment("site", f"target-{number}", conditions=["a", "b"], payloads=payloads)
    return local


def _best(work: Callable[[], object], times: int, clock: Callable[[], float]) -> float:
    """Return the least microseconds that one call took."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        begun = clock()
        for _ in range(times):
            work()
        rounds.append((clock() - begun) / times * 1e6)
    return min(rounds)


def _print(what: str, found: str) -> None:
    print(f"| {what} | {found} |", flush=True)


def _reads(name: str, store: Store, local: LocalUpgrade, clock: Callable[[], float]) -> float:
    """Measure the first read of a new client of a known user, and return its microseconds."""
    connection = UpgradeConnection(HOST, transport=local.transport, store=store)
    connection.client("user", "my-app", group={}).get_decision_point_assignment_sync(*POINT)

    def first_read() -> object:
        return connection.client("user", "my-app").get_decision_point_assignment_sync(*POINT)

    sent = len(local.requests)
    making = _best(lambda: connection.client("user", "my-app"), 1_000, clock)
    get = _best(lambda: store.get(f"{HOST} user"), 1_000, clock)
    first = _best(first_read, 1_000, clock)
    assert len(local.requests) == sent
    _print(f"{name}: `get` of the record", f"{get:.1f} µs")
    _print(f"{name}: making a client, and its first read", f"{first:.1f} µs")
    _print(f"{name}: … without making the client", f"{first - making:.1f} µs")
    return first


def _warm_reads(local: LocalUpgrade) -> None:
    for name, store in (("without a store", None), ("with a store", MemoryStore())):
        connection = UpgradeConnection(HOST, transport=local.transport, store=store, max_age=86_400)
        client = connection.client("user", "my-app", group={})
        client.get_decision_point_assignment_sync(*POINT)
        read = partial(client.get_decision_point_assignment_sync, *POINT)
        _print(f"warm read {name}", f"{_best(read, 100_000, time.process_time) * 1e3:.0f} ns")


def _redis_reads(url: str, local: LocalUpgrade) -> None:
    """Measure reads beside what redis-py takes to get as many bytes."""
    import redis

    first = _reads("Redis", RedisStore(url, timeout=5.0), local, time.perf_counter)
    client: Any = redis.Redis
    plain = client.from_url(url)
    get = _best(lambda: plain.get(f"upgrade:{HOST} user"), 1_000, time.perf_counter)
    _print("Redis: a plain GET of the same bytes", f"{get:.1f} µs")
    _print("Redis: making a client, and its first read", f"{first / get:.2f}x the plain GET")


def _records(store: MemoryStore, entry: Entry, users: int) -> None:
    """Fill a store with records that differ, since equal ones are decoded once."""
    for number in range(len(store), users):
        value = encode(attrs.evolve(entry, generation=f"{number:016x}"))
        store.replace(f"{HOST} user-{number}", value, None, 3_600)


def _many(local: LocalUpgrade, most: int) -> None:
    source = MemoryStore()
    connection = UpgradeConnection(HOST, transport=local.transport, store=source)
    connection.client("user", "my-app", group={}).get_decision_point_assignment_sync(*POINT)
    found = source.get(f"{HOST} user")
    assert found is not None
    entry = decode(found[0])
    assert entry is not None
    _print("bytes of a record of ten points", f"{len(found[0]):,}")
    store = MemoryStore(max_users=most)
    many = UpgradeConnection(HOST, transport=local.transport, store=store)
    for users in (1_000, 10_000, 100_000):
        if users <= most:
            _records(store, entry, users)
            ids = cycle([f"user-{number * 7_919 % users}" for number in range(users)])

            def first_read(ids: Iterator[str] = ids) -> object:
                client = many.client(next(ids), "my-app")
                return client.get_decision_point_assignment_sync(*POINT)

            took = _best(first_read, 1_000, time.process_time)
            _print(f"memory: first read among {users:,} users, decoded anew", f"{took:.1f} µs")
    gc.collect()
    objects = len(gc.get_objects())
    begun = time.perf_counter()
    gc.collect()
    pause = time.perf_counter() - begun
    tracemalloc.start()
    kept = MemoryStore(max_users=most)
    before = tracemalloc.get_traced_memory()[0]
    _records(kept, entry, most)
    gc.collect()
    held = (tracemalloc.get_traced_memory()[0] - before) / most
    tracemalloc.stop()
    walked = (len(gc.get_objects()) - objects) / most
    _print(f"memory: held by each of {most:,} records", f"{held:,.0f} bytes")
    _print("memory: objects of each that the garbage collector walks", f"{walked:.2f}")
    _print(f"memory: a full collection beside {most:,} records", f"{pause:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis")
    parser.add_argument("--users", type=int, default=100_000)
    options = parser.parse_args()
    local = _upgrade()
    print("| what | found |\n|---|---|")
    _warm_reads(local)
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SQLiteStore(Path(folder) / "store.db")
        _reads("memory", MemoryStore(), local, time.process_time)
        _reads("SQLite", sqlite, local, time.process_time)
        sqlite.close()
    if options.redis:
        _redis_reads(options.redis, local)
    _many(local, options.users)


if __name__ == "__main__":
    main()
