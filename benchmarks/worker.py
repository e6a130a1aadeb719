"""One contestant in a process of its own.

Started as ``python worker.py MODULE BENCHMARK ADDRESS CLOCK``, where the module is one of
``contestants`` and the clock a function of ``time``. It prints ``ready``, or why it cannot run;
then, for each number that it reads, it makes so many calls and prints the seconds that they took.
It imports nothing of this project's library itself, so that an interpreter with another release of
it can run it too.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.contestants.timed import Timed


def main(module: str, benchmark: str, address: str, clock: str) -> None:
    try:
        timing: Any = import_module("contestants.timed")
        timing.clock = getattr(time, clock)
        timed: Timed = getattr(import_module(f"contestants.{module}"), benchmark)(address)
        timed(1)
    except Exception as why:
        print(f"{type(why).__name__}: {why}".replace("\n", " "), flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(timed(int(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
