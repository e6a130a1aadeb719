"""Where the time goes: ``python -m benchmarks.profile WHAT`` prints a profile by own time, and
then the shares of packages.

``read`` is a warm read, ``call`` a mark, ``cold-assign`` a new client's first ten reads in a
context with 200 experiments; the last two are answered by a server in another process. A function
costs more while it is profiled, small ones most, so that shares are what counts.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contestants import upgrade
from benchmarks.contestants.timed import Timed
from benchmarks.server import serving

WARM_UP = 50
PROFILED: Mapping[str, tuple[str, int]] = {
    "read": ("warm_assignment", 1_000_000),
    "async-read": ("warm_assignment_async", 500_000),
    "call": ("mark", 3_000),
    "async-call": ("mark_async", 2_000),
    "cold-assign": ("cold_assign", 1_000),
}
"""A benchmark, and how often it is done."""


def profile(timed: Timed, times: int) -> pstats.Stats:
    timed(WARM_UP)
    profiler = cProfile.Profile()
    profiler.enable()
    timed(times)
    profiler.disable()
    return pstats.Stats(profiler)


def package_of(file: str, function: str) -> str:
    """Return what a function belongs to."""
    if "socket" in function:
        return "sockets, with waiting"
    parts = Path(file).parts
    if "upgrade_client_lib" in parts:
        inner = parts[parts.index("upgrade_client_lib") + 1]
        return f"upgrade_client_lib/{inner}"
    if "upgrade_openapi" in parts:
        return "upgrade_openapi"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if file == "~":
        return "built-in functions"
    return "the loop that calls" if "contestants" in parts else "standard library"


def shares(stats: pstats.Stats) -> dict[str, float]:
    """Return the seconds of each package, without those of what it calls."""
    seconds: dict[str, float] = {}
    profiled: Any = stats
    for (file, _, function), (_, _, own, _, _) in profiled.stats.items():
        package = package_of(file, function)
        seconds[package] = seconds.get(package, 0.0) + own
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("what", choices=PROFILED)
    parser.add_argument("--times", type=int, help="how often it is done")
    parser.add_argument("--lines", type=int, default=25, help="how many functions are shown")
    parser.add_argument("--total", action="store_true", help="sort by time with what is called")
    options = parser.parse_args()
    benchmark, times = PROFILED[options.what]
    with serving() as server:
        timed: Timed = getattr(upgrade, benchmark)(server.address)
        stats = profile(timed, options.times or times)
    stats.sort_stats("cumulative" if options.total else "tottime").print_stats(options.lines)
    found = shares(stats)
    whole = sum(found.values())
    for package, seconds in sorted(found.items(), key=lambda item: -item[1])[:15]:
        print(f"{seconds / whole:6.1%}  {package}")


if __name__ == "__main__":
    main()
