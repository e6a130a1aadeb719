"""Has anything become slower? Ratios of one run, compared with those that were recorded.

``expected.json`` says which Python they were recorded with, and for each comparison the ratio, how
far from it a run was at the most (``noise``), and by what share it may be exceeded (``tolerance``).
README.md tells how all this was found.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

import attrs

from .contestant import HERE
from .pair import Pair

EXPECTED = HERE / "expected.json"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
RECORD = "nox -s bench -- --check --record"
PROCESSES = 3  # each lays out its memory in its own way
ATTEMPTS = 3
RUNS = 5  # of a record
PLANTED = 0.3

Rounds = Sequence[tuple[float, float]]
"""The seconds that ours and the yardstick took, in each round."""


def median_ratio(rounds: Rounds) -> float:
    """Return the ratio of a usual round."""
    return statistics.median(ours / yardstick for ours, yardstick in rounds)


def best_ratio(rounds: Rounds) -> float:
    """Return the ratio of the best rounds, to whose elapsed time other work added least."""
    return min(ours for ours, _ in rounds) / min(yardstick for _, yardstick in rounds)


@attrs.frozen
class Comparison:
    """Ours and a yardstick, each a module of ``contestants`` and one of its functions.

    ``clock`` is a function of ``time``. In each round, each is called for about ``seconds``.
    """

    ours: tuple[str, str]
    yardstick: tuple[str, str]
    seconds: float
    rounds: int
    clock: str = "process_time"
    ratio: Callable[[Rounds], float] = median_ratio

    def measure(self, address: str, *, slower: bool = False) -> float:
        """Run both against the server at the address, and return their ratio."""
        pair = Pair(
            ours=self.ours,
            yardstick=self.yardstick,
            address=address,
            clock=self.clock,
            rounds=self.rounds,
            seconds=self.seconds,
            slower=PLANTED if slower else 0.0,
        )
        rounds: list[tuple[float, float]] = []
        for _ in range(PROCESSES):
            done = subprocess.run(
                [sys.executable, str(HERE / "pair.py")],
                input=json.dumps(pair),
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            rounds += json.loads(done.stdout)
        return self.ratio(rounds)


def _elapsed(ours: tuple[str, str], yardstick: tuple[str, str], seconds: float) -> Comparison:
    return Comparison(ours, yardstick, seconds, 100, "perf_counter", best_ratio)


MARK = ("upgrade", "mark"), ("plain", "mark")
COLD = ("upgrade", "cold_assign"), ("plain", "cold_assign")
SERVED = ("serving", "local_upgrade"), ("serving", "http_server")

# Processor time tells most exactly; what waits in vain shows in the elapsed time alone.
COMPARISONS = {
    "warm flag": Comparison(("upgrade", "warm_flag"), ("plain", "warm_flag"), 0.005, 40),
    "warm assignment": Comparison(
        ("upgrade", "warm_assignment"), ("plain", "warm_assignment"), 0.005, 40
    ),
    "mark": Comparison(*MARK, 0.01, 40),
    "mark, elapsed": _elapsed(*MARK, 0.002),
    "cold assign": Comparison(*COLD, 0.01, 30),
    "cold assign, elapsed": _elapsed(*COLD, 0.005),
    "import": Comparison(("imports", "package"), ("imports", "typing"), 0.005, 15),
    "first client": Comparison(
        ("imports", "first_call"), ("imports", "httpx_first_call"), 0.005, 4
    ),
    # Not beside as many of httpx's own: what they take depends on how the responses come in.
    "20 in flight": Comparison(("connection", "in_flight"), ("plain", "log_async"), 0.06, 10),
    "first read of a store": Comparison(("kept", "first_read"), ("kept", "dictionary"), 0.01, 40),
    # By the thread that hands over: those that deliver may wake up at any time.
    "handing over": Comparison(
        ("kept", "handed_over"), ("kept", "request_kept"), 0.01, 40, "thread_time"
    ),
    "LocalUpgrade": Comparison(*SERVED, 0.01, 40),
    "LocalUpgrade, elapsed": _elapsed(*SERVED, 0.002),
}

Expected = Mapping[str, Mapping[str, float]]
"""By comparison: ``ratio``, ``noise`` and ``tolerance``."""

Measure = Callable[[str], float]
"""Measures the ratio of a comparison."""


def check(measure: Measure, expected: Expected, names: Iterable[str]) -> bool:
    """Measure and print ratios; return whether none is too high.

    One that is too high is measured again once all the others were: other work may last as long as
    one comparison, but hardly as long as all of them, time and again.
    """
    too_high = [*names]
    for _ in range(ATTEMPTS):
        too_high = [name for name in too_high if not _is_within(measure, name, expected[name])]
    return not too_high


def _is_within(measure: Measure, name: str, expected: Mapping[str, float]) -> bool:
    share = 1 + expected["tolerance"]
    limit = expected["ratio"] * share
    found = measure(name)
    line = f"{name}: {found:.3f}, recorded {expected['ratio']:.3f}, at most {limit:.3f}"
    if found > limit:
        print(f"{line}: slower", flush=True)
        return False
    hint = f"; to keep it so, run `{RECORD}`" if found * share < expected["ratio"] else ""
    print(line + hint, flush=True)
    return True


def record(measure: Measure, expected: Expected, names: Iterable[str]) -> Expected:
    """Measure several times; return what is expected from now on."""
    renewed = dict(expected)
    for name in names:
        runs = [measure(name) for _ in range(RUNS)]
        ratio = statistics.median(runs)
        noise = max(abs(run / ratio - 1) for run in runs)
        print(f"{name}: {ratio:.3f}, the farthest run {noise:.1%} off", flush=True)
        renewed[name] = {**expected[name], "ratio": round(ratio, 3), "noise": round(noise, 3)}
    return renewed


def main(address: str, names: Sequence[str], *, recording: bool, slower: Sequence[str]) -> bool:
    """Check the named comparisons, or record them; return whether all is well."""

    def measure(name: str) -> float:
        return COMPARISONS[name].measure(address, slower=name in slower)

    written: dict[str, Any] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    if written["python"] != PYTHON:
        print(f"The ratios are those of Python {written['python']}, and this is {PYTHON}")
        return False
    if not recording:
        return check(measure, written["comparisons"], names)
    written["comparisons"] = record(measure, written["comparisons"], names)
    EXPECTED.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return True
