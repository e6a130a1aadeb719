"""Ours and a yardstick in one process, in turn: what one takes in proportion to the other.

Started as ``python pair.py``, it reads a ``Pair`` as JSON and prints the seconds that a call of
each took in each round, as JSON. Side by side in one process, they meet the same caches, the same
processor and the same other work, so that their ratio hardly depends on these.
"""

from __future__ import annotations

import json
import math
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from benchmarks.contestants.timed import Timed


class Pair(TypedDict):
    """What is compared how; ours and the yardstick are a module and one of its functions."""

    ours: tuple[str, str]
    yardstick: tuple[str, str]
    address: str
    clock: str
    rounds: int
    seconds: float
    slower: float


def measure(pair: Pair) -> list[tuple[float, float]]:
    """Measure both in each round, now one first and now the other."""
    timing: Any = import_module("contestants.timed")
    timing.clock = getattr(time, pair["clock"])
    ours = _contestant(pair["ours"], pair["address"])
    yardstick = _contestant(pair["yardstick"], pair["address"])
    loops = {contestant: _loops(contestant, pair["seconds"]) for contestant in (ours, yardstick)}
    rounds: list[tuple[float, float]] = []
    for number in range(pair["rounds"]):
        order = (ours, yardstick) if number % 2 else (yardstick, ours)
        took = {contestant: contestant(loops[contestant]) for contestant in order}
        if pair["slower"]:  # the work is repeated, and counts in part
            took[ours] += pair["slower"] * ours(loops[ours])
        rounds.append((took[ours] / loops[ours], took[yardstick] / loops[yardstick]))
    return rounds


def _contestant(name: tuple[str, str], address: str) -> Timed:
    module, benchmark = name
    timed: Timed = getattr(import_module(f"contestants.{module}"), benchmark)(address)
    timed(1)
    return timed


def _loops(timed: Timed, seconds: float) -> int:
    """Return how many calls take about so long."""
    loops = 1
    while (taken := timed(loops)) < seconds / 4:
        loops *= 2
    return max(1, math.ceil(loops * seconds / taken))


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
