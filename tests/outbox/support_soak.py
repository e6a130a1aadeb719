"""Many rounds of ``support_kills``, over each store and with each fault in turn.

``nox -s soak`` runs them, and fails if a round does.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.outbox.support_kills import LocalServer, Nursery, ProofError, Settings, play
from tests.support_redis import RedisServer

AT_ONCE = 4
KINDS = ("SQLite", "Redis", "SQLite, full", "Redis, restarting", "SQLite, stopping")


@contextmanager
def settings_of(kind: str, folder: Path) -> Generator[Settings, None, None]:
    """Lend a store of one of ``KINDS``, and what happens to it."""
    if kind.startswith("SQLite"):
        store = ("sqlite", str(folder / "outbox.db"), "")
        yield Settings(
            store, folder, fills_disk=kind.endswith("full"), stops=kind.endswith("stopping")
        )
        return
    with RedisServer(folder, keeps_data=True) as redis:
        restart = redis.crash if kind.endswith("restarting") else None
        yield Settings(("redis", redis.url, "outbox:"), folder, restart_store=restart)


def play_some(seeds: range) -> tuple[Counter[str], list[str]]:
    """Play rounds one after the other; return how many events had which end, and what is wrong."""
    ends: Counter[str] = Counter()
    problems: list[str] = []
    with Nursery() as nursery:
        for seed in seeds:
            kind = KINDS[seed % len(KINDS)]
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                settings = stack.enter_context(settings_of(kind, folder))
                server = stack.enter_context(LocalServer.serving())
                try:
                    ends += play(seed, server, nursery, settings)
                except ProofError as problem:
                    problems.append(f"{kind}: {problem}")
    return ends, problems


def main(rounds: int, seed: int) -> None:
    """Play rounds of these seeds, and print what came of their events; exit if a round failed."""
    began = time.monotonic()
    shares = [range(seed + first, seed + rounds, AT_ONCE) for first in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        results = list(threads.map(play_some, shares))
    ends = sum((counted for counted, _ in results), Counter[str]())
    problems = [problem for _, failed in results for problem in failed]
    print(*problems, sep="\n\n")
    seconds = time.monotonic() - began
    print(f"Python {platform.python_version()}: {rounds} rounds from seed {seed}, {seconds:.0f} s")
    for end, number in sorted(ends.items()):
        print(f"{number:8} {end}")
    print(f"{len(problems):8} rounds that failed")
    if problems:
        sys.exit(1)
