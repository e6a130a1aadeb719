"""What an outbox costs: ``python -m benchmarks.outbox`` prints a table.

``--redis`` is the address of a Redis server, ``--events`` how many events wait at the most. Times
are the best of several rounds, since the machine may have other work.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import tracemalloc
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib.stores import EventStore, MemoryStore, RedisStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

HOST = "http://upgrade"
ROUNDS = 5
HANDED_OVER = 500
"""How many events are handed over in each round."""

DATA = b"x" * 420
"""About as long as a mark."""


def _print(what: str, found: str) -> None:
    print(f"| {what} | {found} |", flush=True)


@contextmanager
def _nothing_delivers() -> Generator[None, None, None]:
    """Have no thread deliver, so that handing over is measured alone."""
    before, deliverer.MAX_THREADS = deliverer.MAX_THREADS, 0
    try:
        yield
    finally:
        deliverer.MAX_THREADS = before


def _best(work: Callable[[], object], times: int, clock: Callable[[], float]) -> float:
    """Return the least microseconds that one call took."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        begun = clock()
        for _ in range(times):
            work()
        rounds.append((clock() - begun) / times * 1e6)
    return min(rounds)


def _handing_over(name: str, store: EventStore, clock: Callable[[], float]) -> float:
    """Measure handing a mark over, and return its microseconds."""
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    connection = UpgradeConnection(
        HOST, transport=local.transport, outbox=store, flush_at_exit=0, max_events=10**9
    )
    client = connection.client("user", "my-app", group={})
    assignment = client.get_decision_point_assignment_sync("home", "banner")
    assert assignment is not None
    with _nothing_delivers():
        took = _best(lambda: assignment.enqueue_mark_sync("condition applied"), HANDED_OVER, clock)
    connection.close()
    _print(f"{name}: handing a mark over", f"{took:.1f} µs")
    return took


def _redis(url: str) -> None:
    import redis

    store = RedisStore(url, timeout=5.0, prefix="bench:")
    took = _handing_over("Redis", store, time.perf_counter)
    client: Any = redis.Redis
    plain = client.from_url(url)
    numbers = itertools.count()
    write = _best(lambda: plain.set(f"bench:{next(numbers)}", DATA), HANDED_OVER, time.perf_counter)
    _print("Redis: a plain SET of as many bytes", f"{write:.1f} µs")
    _print("Redis: handing a mark over", f"{took / write:.2f}x the plain SET")
    plain.flushdb()


def _delivery(store: EventStore, name: str, users: int, each: int) -> None:
    """Compare delivery with the marks that clients send themselves, as many at once."""
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    with local.serve() as url:
        ids = [f"user-{number}" for number in range(users)]
        with UpgradeConnection(url) as connection, ThreadPoolExecutor(8) as threads:
            clients = [connection.client(user, "my-app", group={}) for user in ids]
            live = [
                client.get_decision_point_assignment_sync("home", "banner") for client in clients
            ]

            def mark(assignment: Any) -> None:
                for _ in range(each):
                    assignment.mark_decision_point_sync("condition applied")

            begun = time.perf_counter()
            list(threads.map(mark, live))
            itself = users * each / (time.perf_counter() - begun)
        with UpgradeConnection(url, outbox=store) as connection:
            clients = [connection.client(user, "my-app", group={}) for user in ids]
            own = [
                client.get_decision_point_assignment_sync("home", "banner") for client in clients
            ]
            with _nothing_delivers():
                for _ in range(each):
                    for assignment in own:
                        assert assignment is not None
                        assignment.enqueue_mark_sync("condition applied")
            begun = time.perf_counter()
            assert connection.outbox.flush_sync(300) == 0
            delivered = users * each / (time.perf_counter() - begun)
    _print(f"{name}: marks that 8 threads send themselves", f"{itself:,.0f} a second")
    _print(f"{name}: marks delivered", f"{delivered:,.0f} a second, {delivered / itself:.2f}x")


def _growth(name: str, store: EventStore, most: int) -> None:
    """Measure adding, taking and settling while 100, 1,000, … events of as many users wait."""
    numbers = itertools.count()

    def add() -> None:
        number = next(numbers)
        store.add_event(HOST, str(number), f"user-{number}", DATA, max_events=10**9, remember=0)

    def settle() -> None:
        event = store.take_event(HOST, "owner", 60.0)
        assert event is not None
        store.settle_event(HOST, event.id, "owner", state=None)

    waiting = 100
    while waiting <= most:
        held = sum(store.count_events(HOST).values())
        for _ in range(waiting - held):
            add()
        clock = time.process_time if name == "Memory" else time.perf_counter
        added, settled = _best(add, 200, clock), 0.0
        settled = _best(settle, 200, clock)
        _print(
            f"{name}: {waiting:,} events wait",
            f"adding one takes {added:.1f} µs, taking and settling one {settled:.1f} µs",
        )
        waiting *= 10


def _memory(events: int) -> None:
    tracemalloc.start()
    store = MemoryStore()
    for number in range(events):
        data = b"%d" % number + DATA
        store.add_event(HOST, str(number), f"user-{number}", data, max_events=10**9, remember=0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    _print(
        f"Memory: bytes for each of {events:,} events of {len(DATA)} bytes",
        f"{held / events:,.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", metavar="URL")
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = (Path(folder) / f"{number}.db" for number in itertools.count())
        _print("what", "found")
        _print("---", "---")
        _handing_over("Memory", MemoryStore(), time.process_time)
        _handing_over("SQLite", SQLiteStore(next(paths)), time.perf_counter)
        if options.redis:
            _redis(options.redis)
        _delivery(MemoryStore(), "Memory", 40, 25)
        _delivery(SQLiteStore(next(paths)), "SQLite", 40, 25)
        if options.redis:
            _delivery(RedisStore(options.redis, timeout=5.0), "Redis", 40, 25)
        _growth("Memory", MemoryStore(), options.events)
        _growth("SQLite", SQLiteStore(next(paths)), options.events)
        if options.redis:
            growing = RedisStore(options.redis, timeout=5.0, prefix="growth:")
            _growth("Redis", growing, options.events)
        _memory(min(options.events, 100_000))


if __name__ == "__main__":
    main()
