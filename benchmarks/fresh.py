"""What a statement costs in an interpreter that has just started: its time, and the memory held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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
    """Run each statement in turn, again and again, each time in a new interpreter.

    Modules are compiled before, as installing a package does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    sizes: dict[str, list[float]] = {name: [] for name in statements}
    with tempfile.TemporaryDirectory() as compiled:
        for statement in statements.values():
            _printed_by(_TIMED.format(statement=statement), compiled)
        for _ in range(rounds):
            for name, statement in statements.items():
                seconds[name].append(_printed_by(_TIMED.format(statement=statement), compiled))
                sizes[name].append(_printed_by(_MEASURED.format(statement=statement), compiled))
    return {name: Fresh(min(seconds[name]), min(sizes[name])) for name in statements}


def _printed_by(program: str, compiled: str) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return float(done.stdout)
