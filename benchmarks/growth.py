"""What grows with what: ``python -m benchmarks.growth`` measures curves and draws them.

They are over users in each store, experiments in a context, calls in flight, and events that wait.
``growth.json`` keeps what was measured, and ``docs/pictures`` the charts; ``--draw`` draws them
anew without measuring, and names of curves measure these alone. Redis is started where it is
installed. Times are the best of several rounds: those of a processor, apart from Redis, which is
another process.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import attrs
import httpx

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._user.entry import decode, encode
from upgrade_client_lib.stores import MemoryStore, RedisStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

from . import machine
from .charts import MEASURED, Chart, kept, svg
from .contestants import plain, timed, upgrade

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
HOST = "http://upgrade"
ROUNDS = 5
EXPERIMENTS = "experiments in the context"
Clock = Callable[[], float]
AnyStore = Any
"""A store of this library: each keeps users as well as events."""


def best(work: Callable[[], object], times: int, clock: Clock = time.process_time) -> float:
    """Return the least microseconds that one call took."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        begun = clock()
        for _ in range(times):
            work()
        rounds.append((clock() - begun) / times * 1e6)
    return float(f"{min(rounds):.4g}")


@contextmanager
def stores() -> Generator[Mapping[str, tuple[AnyStore, Clock]], None, None]:
    """Yield an empty store of each kind, and the clock by which it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SQLiteStore(Path(folder) / "store.db")
        kinds: dict[str, tuple[AnyStore, Clock]] = {
            "MemoryStore": (MemoryStore(max_users=10**6), time.process_time),
            "SQLiteStore": (sqlite, time.process_time),
        }
        redis = None
        if shutil.which("redis-server"):
            socket = Path(folder) / "redis.sock"
            command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
            redis = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL)
            while not socket.exists():
                time.sleep(0.05)
            kinds["RedisStore"] = RedisStore(f"unix://{socket}", timeout=10.0), time.perf_counter
        try:
            yield kinds
        finally:
            sqlite.close()
            if redis is not None:
                redis.terminate()
                redis.wait()


def users_in_a_store(most: int) -> Chart:
    """Measure the first read of a new client, of a user whom the store knows."""
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    lines: dict[str, list[list[float]]] = {}
    with stores() as kinds:
        for name, (store, clock) in kinds.items():
            connection = UpgradeConnection(HOST, transport=local.transport, store=store)
            connection.client("user", "my-app", group={}).decide_sync("home", "banner")
            value, _ = store.get(f"{HOST} user")
            entry = decode(value)
            assert entry is not None
            held = 0
            for users in sizes(100, most):
                for number in range(held, users):
                    own = encode(attrs.evolve(entry, generation=f"{number:016x}"))
                    store.replace(f"{HOST} user-{number}", own, None, 3_600)
                held = users
                ids = itertools.cycle(f"user-{number * 7_919 % users}" for number in range(users))

                def first_read(
                    ids: Iterator[str] = ids, connection: UpgradeConnection = connection
                ) -> object:
                    client = connection.client(next(ids), "my-app")
                    return client.get_decision_point_assignment_sync("home", "banner")

                sent = len(local.requests)
                lines.setdefault(name, []).append([users, best(first_read, 500, clock)])
                assert len(local.requests) == sent
    return Chart(
        title="A new client and its first read", x="users in the store", y="µs", lines=lines
    )


class Canned(httpx.BaseTransport):
    """Answers each request with the same bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self._content)


def experiments_in_a_context(most: int) -> tuple[Chart, Chart]:
    """Measure a new client's first ten reads, and one after them; the server is in the process."""
    cold: dict[str, list[list[float]]] = {"this library": [], "httpx + json.loads": []}
    warm: dict[str, list[list[float]]] = {"assignment": [], "decision": []}
    for count in sizes(1, most):
        local = LocalUpgrade()
        for number in range(count):
            payloads = {"a": "x" * 20, "b": "y" * 20}
            local.experiment("home", f"t{number}", conditions=["a", "b"], payloads=payloads)
        UpgradeConnection(HOST, transport=local.transport).client("u", "my-app").init_sync({})
        with httpx.Client(transport=local.transport) as client:
            headers = {"User-Id": "u", "Session-Id": "s", "Client-Context": "my-app"}
            address = f"{HOST}/api/v6/assign"
            post = functools.partial(
                client.post, address, headers=headers, json={"context": "my-app"}
            )
            content = post().raise_for_status().content
        connection = UpgradeConnection(HOST, transport=Canned(content))
        targets = [f"t{number * 7 % count}" for number in range(10)]

        def ten_reads(
            connection: UpgradeConnection = connection, targets: list[str] = targets
        ) -> None:
            client = connection.client("u", "my-app")
            for target in targets:
                assert client.get_decision_point_assignment_sync("home", target) is not None

        times = max(20, 500 // count)
        cold["this library"].append([count, best(ten_reads, times)])
        with httpx.Client(transport=Canned(content)) as plain:
            post = functools.partial(
                plain.post, address, headers=headers, json={"context": "my-app"}
            )

            def parsed(post: Callable[[], httpx.Response] = post) -> object:
                return json.loads(post().content)

            took = best(parsed, times)
            cold["httpx + json.loads"].append([count, took])
        user = connection.client("u", "my-app")
        read = functools.partial(user.get_decision_point_assignment_sync, "home", "t0")
        warm["assignment"].append([count, round(best(read, 50_000) * 1e3, 1)])
        decide = functools.partial(user.decide_sync, "home", "t0", default="a")
        warm["decision"].append([count, round(best(decide, 50_000) * 1e3, 1)])
    return (
        Chart(
            title="A new client's first ten reads",
            x="experiments in the context",
            y="µs",
            lines=cold,
        ),
        Chart(title="A read after the first", x="experiments in the context", y="ns", lines=warm),
    )


def calls_in_flight(most: int) -> Chart:
    """Measure the processor's time of an async call, while so many are in flight."""
    lines: dict[str, list[list[float]]] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for count in (1, 2, 5, 10, 20, 50, 100, 200):
            if count <= most:
                for name, call in _calls(url, count).items():
                    way = timed.many_in_flight(call, count)
                    way(count)
                    times = max(200, 2 * count)
                    took = min(way(times) for _ in range(ROUNDS)) / times * 1e6
                    lines.setdefault(name, []).append([count, round(took, 1)])
        server.stdin.close()
    return Chart(title="An async call", x="calls in flight", y="µs of a processor", lines=lines)


def _calls(url: str, count: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the ways to log one entry."""

    def ours(**options: Any) -> Callable[[], Awaitable[object]]:
        client = UpgradeConnection(url, timeout=60.0, **options).client("learner-1", "big-app")
        return functools.partial(client.log, upgrade.entries())

    client = httpx.AsyncClient(timeout=60.0)

    async def log() -> Any:
        response = await client.post(url + plain.LOG[0], headers=plain.HEADERS, json=plain.LOG[1])
        return json.loads(response.content)

    return {
        "a socket for each": ours(max_connections=count),
        "20 sockets (default)": ours(),
        "aiohttp": ours(max_connections=count, async_engine="aiohttp"),
        "httpx.AsyncClient": log,
    }


def waiting_events(most: int) -> tuple[Chart, Chart]:
    """Measure adding an event, and taking and settling one, while so many wait."""
    added: dict[str, list[list[float]]] = {}
    settled: dict[str, list[list[float]]] = {}
    with stores() as kinds:
        for name, (store, clock) in kinds.items():
            numbers = itertools.count()

            def add(store: AnyStore = store, numbers: Iterator[int] = numbers) -> None:
                number = next(numbers)
                user = f"user-{number}"
                store.add_event(HOST, str(number), user, DATA, max_events=10**9, remember=0)

            def settle(store: AnyStore = store) -> None:
                event = store.take_event(HOST, "owner", 60.0)
                store.settle_event(HOST, event.id, "owner", state=None)

            for waiting in sizes(100, most):
                for _ in range(waiting - sum(store.count_events(HOST).values())):
                    add()
                added.setdefault(name, []).append([waiting, best(add, 20, clock)])
                settled.setdefault(name, []).append([waiting, best(settle, 20, clock)])
    return (
        Chart(title="Adding an event to an outbox", x="events that wait", y="µs", lines=added),
        Chart(title="Taking and settling an event", x="events that wait", y="µs", lines=settled),
    )


DATA = b"x" * 420
"""About as long as a mark."""


def sizes(least: int, most: int) -> Iterator[int]:
    size = least
    while size <= most:
        yield size
        size *= 10


# ---- What is kept and drawn ----


def measure(names: Collection[str], most: int) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    if "users" in names:
        charts["growth-users"] = users_in_a_store(most)
    if "experiments" in names:
        both = experiments_in_a_context(1_000)
        charts["growth-experiments-cold"], charts["growth-experiments-warm"] = both
    if "calls" in names:
        charts["growth-calls"] = calls_in_flight(200)
    if "events" in names:
        both = waiting_events(most)
        charts["growth-events-added"], charts["growth-events-settled"] = both
    return charts


CURVES = ("users", "experiments", "calls", "events")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("curves", nargs="*", choices=[*CURVES, []], help="all, if none is named")
    parser.add_argument("--draw", action="store_true", help="draw what was measured before")
    parser.add_argument("--most", type=int, default=100_000, help="users and events at the most")
    options = parser.parse_args()
    charts = kept() if MEASURED.exists() else {}
    if not options.draw:
        on = machine.description()[:3]
        charts.update(measure(options.curves or CURVES, options.most))
        text = json.dumps(
            {"machine": on, "charts": dict(sorted(charts.items()))}, indent=1, ensure_ascii=False
        )
        text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text)
        MEASURED.write_text(text + "\n", "utf-8")
    for name, chart in charts.items():
        (PICTURES / f"{name}.svg").write_text(svg(chart), "utf-8")


if __name__ == "__main__":
    main()
