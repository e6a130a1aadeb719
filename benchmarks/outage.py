"""Decisions while the server is silent, and when it is back.

`python -m benchmarks.outage` measures this alone, and prints its part of RESULTS.md.
"""

# Checkers do not have LaunchDarkly's SDK:
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from statistics import quantiles
from typing import Any, Callable

import attrs

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.types import DecisionReason

from .units import shown

THREADS = 50
TASKS = 50
EVERY = 0.05  # seconds from the beginning of a page to that of the worker's next one
SECONDS = 10.0
ALONE_SECONDS = 3.0
TIMEOUT = 1.0
POINTS = [("home", "banner"), ("lesson", "hint"), ("lesson", "layout"), ("home", "footer")]

SERVER = """
import sys
from examples.school import school
local = school()
with local.serve() as url:
    print(url, flush=True)
    for line in sys.stdin:
        getattr(local, line.strip())()
        print("done", flush=True)
"""

Page = Callable[[], None]


@attrs.frozen
class Outage:
    """What one contestant does meanwhile: times of pages in seconds, decisions in a second."""

    pages: int
    median: float
    p99: float
    longest: float
    alone: float
    load: float
    back: float | None = None
    """Seconds from the end of the pause to the first right decision."""


class Server:
    """A LocalUpgrade in a process of its own, which hangs and comes back when it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._read()

    def tell(self, what: str) -> None:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        self._read()

    def stop(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def outages() -> dict[str, Outage | str]:
    """Measure each contestant in a process of its own; text says why one does not run."""
    found: dict[str, Outage | str] = {}
    for who in ("ours", "launchdarkly"):
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.outage", who], capture_output=True, text=True
        )
        lines = (run.stdout if run.returncode == 0 else run.stderr).splitlines()
        found[who] = lines[-1] if run.returncode else Outage(**json.loads(lines[-1]))
    return found


def lines(found: Mapping[str, Outage | str]) -> Iterator[str]:
    """Give the part of RESULTS.md."""
    yield from ["", "## While the server is silent", ""]
    yield f"{THREADS} threads and {TASKS} tasks, each a page of {len(POINTS)} decisions every"
    yield f"{EVERY * 1e3:.0f} ms; ours with a new client for each page. Alone: one thread, without"
    yield "a pause. Nobody has been told anything yet: all get their defaults."
    yield ""
    yield "| who | pages | median | p99 | longest | alone, decisions/s | load average |"
    yield "|---|---|---|---|---|---|---|"
    for who, one in found.items():
        if isinstance(one, Outage):
            times = " | ".join(shown(seconds) for seconds in (one.median, one.p99, one.longest))
            yield f"| {who} | {one.pages:,} | {times} | {one.alone:,.0f} | {one.load:.1f} |"
        else:
            yield f"| {who} | did not run: {one} | | | | | |"
    ours = found["ours"]
    if isinstance(ours, Outage) and ours.back is not None:
        yield ""
        yield "After the server was back, and the pause over, the first right decision took"
        yield f"{shown(ours.back)}. The longest pages are those that tried the server in between,"
        yield f"for the {TIMEOUT:g} s that a call may take here."


# ---- In the process of a contestant ----


def run(who: str) -> Outage:
    server = Server()
    try:
        return _ours(server) if who == "ours" else _launchdarkly(server)
    finally:
        server.stop()


def _ours(server: Server) -> Outage:
    server.tell("hang")
    connection = UpgradeConnection(server.url, timeout=TIMEOUT)

    def page() -> None:
        client = connection.client("student-4", "my-app", group={"class": ["class-1"]})
        for site, target in POINTS:
            client.decide_sync(site, target, default="control")

    async def page_async() -> None:
        client = connection.client("student-4", "my-app", group={"class": ["class-1"]})
        for site, target in POINTS:
            await client.decide(site, target, default="control")

    opening = [threading.Thread(target=page) for _ in range(5)]
    for thread in opening:
        thread.start()
    for thread in opening:
        thread.join()
    alone = _alone(page)
    load = os.getloadavg()[0]
    pages = _pages(page, page_async)
    return attrs.evolve(_summary(pages, alone, load), back=_seconds_until_right(server, connection))


def _seconds_until_right(server: Server, connection: UpgradeConnection) -> float:
    """Bring the server back, and ask every hundredth of a second; count from the pause's end."""
    server.tell("up")
    breaker: Any = connection._server._breaker
    end_of_pause = breaker._circuit.open_until
    client = connection.client("student-4", "my-app", group={"class": ["class-1"]})
    while client.decide_sync("home", "banner").reason is not DecisionReason.ASSIGNED:
        time.sleep(0.01)
    return max(time.monotonic() - (end_of_pause or 0.0), 0.0)


def _launchdarkly(server: Server) -> Outage:
    import ldclient
    from ldclient.config import Config

    server.tell("hang")
    logging.disable(logging.CRITICAL)
    config = Config("key", base_uri=server.url, stream_uri=server.url, events_uri=server.url)
    client = ldclient.LDClient(config, start_wait=0)

    def page() -> None:
        user = ldclient.Context.create("student-4")
        for site, target in POINTS:
            client.variation(f"{site}/{target}", user, "control")

    async def page_async() -> None:
        page()

    alone = _alone(page)
    load = os.getloadavg()[0]
    return _summary(_pages(page, page_async), alone, load)


def _alone(page: Page) -> float:
    """How many decisions one thread gets in a second; the best of its half seconds."""
    best = 0.0
    end = time.perf_counter() + ALONE_SECONDS
    while time.perf_counter() < end:
        begun, count = time.perf_counter(), 0
        while (took := time.perf_counter() - begun) < 0.5:
            page()
            count += len(POINTS)
        best = max(best, count / took)
    return best


def _pages(page: Page, page_async: Callable[[], Any]) -> list[float]:
    """What pages of all threads and tasks take."""
    took: list[float] = []
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        next_page = time.perf_counter() + EVERY * number / THREADS
        while next_page < end:
            time.sleep(max(next_page - time.perf_counter(), 0.0))
            begun = time.perf_counter()
            page()
            ended = time.perf_counter()
            took.append(ended - begun)
            next_page = max(next_page + EVERY, ended)

    async def work_async(number: int) -> None:
        next_page = time.perf_counter() + EVERY * number / TASKS
        while next_page < end:
            await asyncio.sleep(max(next_page - time.perf_counter(), 0.0))
            begun = time.perf_counter()
            await page_async()
            ended = time.perf_counter()
            took.append(ended - begun)
            next_page = max(next_page + EVERY, ended)

    async def all_tasks() -> None:
        await asyncio.gather(*(work_async(number) for number in range(TASKS)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    threads.append(threading.Thread(target=lambda: asyncio.run(all_tasks())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _summary(pages: list[float], alone: float, load: float) -> Outage:
    cuts = quantiles(pages, n=100)
    return Outage(len(pages), cuts[49], cuts[98], max(pages), alone, load)


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(attrs.asdict(run(sys.argv[1]))), flush=True)
        os._exit(0)  # some SDKs keep threads alive
    print("\n".join(lines(outages())))


if __name__ == "__main__":
    main()
