"""Many users at once: ``python -m benchmarks.batch`` prints two tables.

How fast ``decide_many`` is beside a loop written by hand, in turns, over the same client with the
same concurrency; and how much memory a process takes for so many users. ``--users`` are how many
each turn decides for, ``--memory`` for how many memory is measured. The canned server is an httpx
transport in the process, so that nothing but the client takes time, or a process that is reached
over loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Callable

import httpx

from benchmarks.server import serving
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.batch import decide_many

POINT = ("home", "banner")
CONCURRENCY = 20
ROUNDS = 9
ANSWER = json.dumps(
    [
        {
            "site": "home",
            "target": "banner",
            "experimentType": "Simple",
            "assignedCondition": [
                {"id": "1", "conditionCode": "warm", "payload": None, "experimentId": "2"}
            ],
        }
    ]
).encode()


class Canned(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers each request with the same assignment."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER)


def users(count: int) -> Iterator[str]:
    return (f"student-{number}" for number in range(count))


async def by_hand(connection: UpgradeConnection, count: int) -> int:
    """What one would write with asyncio: tasks that take users from one iterator."""
    waiting = users(count)
    done = 0

    async def work() -> None:
        nonlocal done
        for user in waiting:
            await connection.client(user, "my-app").decide(*POINT)
            done += 1

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return done


async def many_async(connection: UpgradeConnection, count: int) -> int:
    rows = decide_many(connection, "my-app", users(count), [POINT], concurrency=CONCURRENCY)
    done = 0
    async for _ in rows:
        done += 1
    return done


def many(connection: UpgradeConnection, count: int) -> int:
    rows = decide_many(connection, "my-app", users(count), [POINT], concurrency=CONCURRENCY)
    return sum(1 for _ in rows)


Way = Callable[[UpgradeConnection, int], int]


def in_event_loop(
    decide: Callable[[UpgradeConnection, int], Coroutine[Any, Any, int]],
) -> Way:
    return lambda connection, count: asyncio.run(decide(connection, count))


WAYS: Mapping[str, Way] = {
    "a loop by hand, asyncio": in_event_loop(by_hand),
    "`async for` over `decide_many`": in_event_loop(many_async),
    "`for` over `decide_many`": many,
}


def compare(connect: Callable[[], UpgradeConnection], count: int) -> None:
    """Print users per second of each way, and the median of its ratio to the first, in turns.

    The seconds are those of this process on a processor: others have the machine, too.
    """
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, decide in WAYS.items():
            with connect() as connection:
                begun = time.process_time()
                assert decide(connection, count) == count
                rates[way].append(count / (time.process_time() - begun))
    first, *_ = rates.values()
    for way, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(found, first))
        print(f"| {way} | {max(found):,.0f} | {max(found) / max(first):.2f} | {ratio:.2f} |")


def peak_of(way: str, count: int) -> int:
    """Return the most resident memory of a new process, in KiB, for so many users."""
    command = [sys.executable, "-m", "benchmarks.batch", "--peak", way, "--users", str(count)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--peak", choices=["for", "async for"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.peak is not None:
        decide = many if options.peak == "for" else WAYS["`async for` over `decide_many`"]
        with UpgradeConnection("http://upgrade", transport=Canned()) as connection:
            assert decide(connection, options.users) == options.users
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    print("| way | users per processor second, best round | of the first | ratios' median |")
    print("|---|---|---|---|\n| *server in the process* | | | |")
    compare(lambda: UpgradeConnection("http://upgrade", transport=Canned()), options.users)
    print("| *server over loopback, 200 experiments* | | | |")
    with serving() as server:
        compare(lambda: UpgradeConnection(server.address), options.users)
    print("\n| users | `for`: most memory | `async for`: most memory |\n|---|---|---|")
    for count in options.memory:
        peaks = [f"{peak_of(way, count) / 1024:.1f} MiB" for way in ("for", "async for")]
        print(f"| {count:,} | {' | '.join(peaks)} |", flush=True)


if __name__ == "__main__":
    main()
