"""A hundred thousand clients on one connection: ``python -m benchmarks.many_clients``.

How much an idle client holds, what a read takes beside few clients and beside many, and whether
what dropped clients held can be used again. Going round all clients, a read finds nothing of them
in the processor caches; nor does it in dictionaries, which are measured beside them.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from upgrade_client_lib import UpgradeClient, UpgradeConnection

FEW, MANY = 100, 100_000
READS = 200_000
ROUNDS = 7


CONDITION = {"id": "1", "conditionCode": "control", "payload": None, "experimentId": "2"}
ITEM = {
    "site": "home",
    "target": "banner",
    "experimentType": "Simple",
    "assignedCondition": [CONDITION],
}


def connection() -> UpgradeConnection:
    """Return a connection to a server that keeps nothing of its users."""
    assigned = httpx.MockTransport(lambda _: httpx.Response(200, json=[ITEM]))
    return UpgradeConnection("http://upgrade", transport=assigned)


def idle_bytes(to: UpgradeConnection, count: int) -> float:
    """Return what a client holds of whom nothing is known; ids of users are not counted."""
    users = [f"user-{number}" for number in range(count)]
    to.client("warm-up", "my-app")
    gc.collect()
    tracemalloc.start()
    clients = [to.client(user, "my-app") for user in users]
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - sys.getsizeof(clients)
    tracemalloc.stop()
    return held / count


def loaded(to: UpgradeConnection, count: int) -> list[UpgradeClient]:
    """Return clients that know what they are assigned."""
    clients = [to.client(f"user-{number}", "my-app") for number in range(count)]
    for client in clients:
        client.get_decision_point_assignment_sync("home", "banner")
    return clients


def seconds(reads: Sequence[Callable[[str, str], object]]) -> float:
    """Return the best round's processor time of a read, going round these."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for read in itertools.islice(itertools.cycle(reads), READS):
            read("home", "banner")
        best = min(best, (time.process_time() - begun) / READS)
    return best


def read_seconds(clients: Sequence[UpgradeClient]) -> tuple[float, float]:
    """Return what a read takes: of the same hundred clients, and going round all."""
    reads = [client.get_decision_point_assignment_sync for client in clients]
    return seconds(reads[:FEW]), seconds(reads)


class Known:
    """What one would write without a library."""

    def __init__(self) -> None:
        self._conditions = {"home": {"banner": [*"control"]}}

    def condition(self, site: str, target: str = "") -> object:
        at_site = self._conditions.get(site)
        return at_site.get(target) if at_site is not None else None


def resident_bytes() -> int:
    """Return the memory that this process has, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    idle = idle_bytes(connection(), MANY)
    yardstick = seconds([Known().condition for _ in range(FEW)])
    yardstick_round = seconds([Known().condition for _ in range(MANY)])
    with connection() as to:
        few, _ = read_seconds(loaded(to, FEW))
        before = resident_bytes()
        clients = loaded(to, MANY)
        first = resident_bytes() - before
        beside_many, going_round = read_seconds(clients)
        clients.clear()
        dropped = resident_bytes() - before
        clients = loaded(to, MANY)
        second = resident_bytes() - before
    print("| what | found |\n|---|---|")
    print(f"| an idle client holds | {idle:.0f} bytes |")
    print(f"| a warm read, {FEW:,} clients | {few * 1e9:.0f} ns |")
    print(f"| … beside {MANY:,} | {beside_many * 1e9:.0f} ns, {beside_many / few:.2f}x |")
    print(
        f"| … going round them | {going_round * 1e9:.0f} ns, {going_round / few:.1f}x;"
        f" of dictionaries {yardstick_round / yardstick:.1f}x |"
    )
    print(f"| the process grew by, with {MANY:,} clients | {first / 2**20:.0f} MiB |")
    print(f"| … after they were dropped | {dropped / 2**20:.0f} MiB |")
    print(f"| … with as many new ones | {second / 2**20:.0f} MiB |")


if __name__ == "__main__":
    main()
