"""What a statement costs in an interpreter that has just started: its time, and the memory held."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import attrs

_TIMED = """
import time
begun = time.perf_counter()
{statement}
print(time.perf_counter() - begun)
"""

# Linux tells what is resident; elsewhere the peak stands in for it.
_MEASURED = """
{statement}
import os, resource, sys
try:
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
except OSError:
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


@attrs.frozen
class Fresh:
    """The best of several interpreters."""

    seconds: float
    bytes: float


def in_fresh_interpreters(statements: Mapping[str, str], rounds: int) -> dict[str, Fresh]:
    """Run each statement in turn, again and again, each time in a new interpreter."""
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    sizes: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            seconds[name].append(_printed_by(_TIMED.format(statement=statement)))
            sizes[name].append(_printed_by(_MEASURED.format(statement=statement)))
    return {name: Fresh(min(seconds[name]), min(sizes[name])) for name in statements}


def _printed_by(program: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)
