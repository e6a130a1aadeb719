"""Running contestants in turn, each in a process of its own."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

HERE = Path(__file__).parent


class CannotRunError(Exception):
    """A contestant that is not installed, or that does not work here."""


@attrs.frozen
class Contestant:
    """A benchmark: a function of one of the ``contestants`` modules, and who runs it.

    ``clock`` is a function of ``time``.
    """

    module: str
    benchmark: str
    interpreter: str = sys.executable
    clock: str = "perf_counter"


@attrs.frozen
class Measured:
    """What one call took, in seconds, in each of the rounds."""

    samples: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return min(self.samples)


class Running:
    """A contestant that was started and is ready.

    The address is that of the server, or how much there is of what grows.
    """

    def __init__(self, contestant: Contestant, address: str) -> None:
        self._process = subprocess.Popen(
            [
                contestant.interpreter,
                str(HERE / "worker.py"),
                contestant.module,
                contestant.benchmark,
                address,
                contestant.clock,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(contestant.interpreter),
        )
        self._expect_ready()

    def seconds(self, loops: int) -> float:
        """Make so many calls, and give the seconds that they took."""
        assert self._process.stdin is not None
        try:
            print(loops, file=self._process.stdin, flush=True)
            return float(self._read())
        except (BrokenPipeError, ValueError):
            raise CannotRunError("it ended midway") from None

    def stop(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.communicate(timeout=1)
        except subprocess.TimeoutExpired:  # some SDKs keep threads alive
            self._process.kill()
            self._process.communicate()

    def _expect_ready(self) -> None:
        said = self._read()
        if said != "ready":
            self.stop()
            raise CannotRunError(said or "it ended at once")

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _environment(interpreter: str) -> dict[str, str]:
    """Another interpreter finds its own packages, not those that this one was told of."""
    inherited = dict(os.environ)
    if interpreter != sys.executable:
        inherited.pop("PYTHONPATH", None)
    return inherited


def compare(
    contestants: Mapping[str, Contestant], address: str, *, rounds: int, seconds: float
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Measure contestants in turn, and say why some could not be.

    In each round everybody makes as many calls as take about ``seconds``, one after the other, so
    that what else the machine does meets all alike.
    """
    running: dict[str, Running] = {}
    missing: dict[str, str] = {}
    samples: dict[str, list[float]] = {}
    loops: dict[str, int] = {}
    try:
        for name, contestant in contestants.items():
            try:
                running[name] = Running(contestant, address)
            except CannotRunError as why:
                missing[name] = str(why)
            else:
                loops[name] = _loops(running[name], seconds)
                samples[name] = []
        for _ in range(rounds):
            for name, one in running.items():
                samples[name].append(one.seconds(loops[name]) / loops[name])
    finally:
        for one in running.values():
            one.stop()
    return {name: Measured(taken) for name, taken in samples.items()}, missing


def _loops(running: Running, seconds: float) -> int:
    """How many calls take about so long."""
    loops = 1
    while (taken := running.seconds(loops)) < seconds / 4:
        loops *= 2
    return max(1, math.ceil(loops * seconds / taken))
