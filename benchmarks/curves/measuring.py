"""What curves are measured by: the best of several rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Callable

from ..charts import Lines
from ..contestant import CannotRunError, Contestant, Running, compare

HOST = "http://upgrade"
ROUNDS = 5

Clock = Callable[[], float]


def sizes(least: int, most: int) -> Iterator[int]:
    """Return one size after the other, each ten times the last."""
    size = least
    while size <= most:
        yield size
        size *= 10


def rounded(number: float) -> float:
    return float(f"{number:.4g}")


def best(
    work: Callable[[], object],
    times: int,
    clock: Clock = time.process_time,
    *,
    rounds: int = ROUNDS,
) -> float:
    """Return the least microseconds that one call took."""
    found: list[float] = []
    for _ in range(rounds):
        begun = clock()
        for _ in range(times):
            work()
        found.append((clock() - begun) / times * 1e6)
    return rounded(min(found))


def growing(benchmark: str) -> Contestant:
    """Return a benchmark of what is compared as it grows; its clock is a processor's."""
    return Contestant("growing", benchmark, clock="process_time")


class Curves:
    """The lines of contestants, and who of them could not run."""

    def __init__(self, contestants: Mapping[str, Contestant]) -> None:
        self._contestants = contestants
        self.lines: Lines = {}
        self.missing: list[str] = []

    def in_turn(self, size: int, unit: float, seconds: float = 0.03) -> None:
        """Measure one size, by rounds of so many seconds of each, who take turns."""
        measured, missing = compare(self._contestants, str(size), rounds=ROUNDS, seconds=seconds)
        for name, found in measured.items():
            self._add(name, size, found.best / unit)
        self._miss(missing)

    def alone(self, size: int, unit: float, times: int) -> None:
        """Measure one size of one after the other, by rounds of so many calls."""
        for name, contestant in self._contestants.items():
            try:
                running = Running(contestant, str(size))
            except CannotRunError as why:
                self._miss({name: str(why)})
                continue
            took = min(running.seconds(times) for _ in range(ROUNDS)) / times
            running.stop()
            self._add(name, size, took / unit)

    def _add(self, name: str, size: int, value: float) -> None:
        self.lines.setdefault(name, []).append([size, rounded(value)])

    def _miss(self, missing: Mapping[str, str]) -> None:
        for name, why in missing.items():
            if name not in self.missing:
                self.missing.append(name)
                print(f"{name} did not run: {why}", flush=True)
