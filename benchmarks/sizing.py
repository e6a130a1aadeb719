"""How much reaches UpGrade, the store and the outbox: a simulation, checked against a run.

``python -m benchmarks.sizing`` prints what to expect of a million students an hour;
``--check`` has four workers show pages to some students at a LocalUpgrade on loopback, and compares
what was counted there with what the simulation says of the same pages. Counts are compared, never
times: the clock is that of the simulation.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import attrs

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

HOUR = 3_600.0
STALE_IF_ERROR = 3_600.0
SHARED, OWN, NO_STORE = "shared", "one of each worker", "none"
TARGETS = ("banner", "hint", "colour")
UPGRADE = ("init", "assign", "featureflag", "mark")
"""The endpoints that are counted; the other counts are calls of the store, and events."""


@attrs.frozen(kw_only=True)
class Load:
    """Students and their pages. Each page is a new client that reads decisions and a flag."""

    students: int = 1_000_000
    """How many come in ``arrive_within`` seconds."""

    arrive_within: float = HOUR
    pages: int = 10
    gap: float = 60.0
    """Seconds from one page of a student to the next, on average."""

    marks: int = 1
    """Marks of each page."""

    workers: int = 4
    """Any of them may show a student's next page."""

    store: str = SHARED
    max_age: float = 300.0
    outbox: bool = True
    """Whether marks are handed over to an outbox, which sends them."""

    new: float = 0.1
    """The share of students whom UpGrade does not know yet."""


@attrs.frozen
class Page:
    at: float
    student: int
    worker: int


def pages(load: Load, students: int, seed: int) -> list[Page]:
    """Return the pages of some students in their order, the same for the same seed."""
    rng = random.Random(seed)
    shown: list[Page] = []
    for student in range(students):
        at = rng.uniform(0, load.arrive_within)
        for _ in range(load.pages):
            shown.append(Page(at, student, rng.randrange(load.workers)))
            at += rng.expovariate(1 / load.gap)
    return sorted(shown, key=lambda page: page.at)


def is_new(load: Load, student: int) -> bool:
    """Return whether UpGrade does not know this student when they come."""
    return student % 100 < load.new * 100


def simulate(load: Load, shown: Sequence[Page]) -> Iterator[tuple[Page, Mapping[str, int]]]:
    """Yield what each page sends."""
    answered: dict[tuple[int, int], float] = {}
    known: set[int] = set()
    for page in shown:
        counts = Counter({"mark": load.marks, "events": load.marks * load.outbox})
        if load.store == NO_STORE:
            if is_new(load, page.student) and page.student not in known:
                counts.update(init=1, assign=1)  # the first is answered that nobody knows them
            counts.update(assign=1, featureflag=1)
        else:
            key = (page.student, page.worker if load.store == OWN else 0)
            counts.update(get=2 + load.marks)
            before = answered.get(key)
            if before is None or page.at - before >= load.max_age + STALE_IF_ERROR:
                counts.update(init=1, get=4, replace=1)
            if before is None or page.at - before >= load.max_age:
                counts.update(assign=1, featureflag=1, get=3, replace=2)
                answered[key] = page.at
        known.add(page.student)
        yield page, counts


def total(load: Load, shown: Sequence[Page]) -> Counter[str]:
    """Return what all pages send together."""
    sent: Counter[str] = Counter()
    for _, counts in simulate(load, shown):
        sent.update(counts)
    return sent


@attrs.frozen
class Prediction:
    """What to expect of a load."""

    each: Mapping[str, float]
    """For each student, how often."""

    peak: Mapping[str, float]
    """In the busiest minute, how many in a second."""


def predict(load: Load, *, students: int = 10_000, seed: int = 1) -> Prediction:
    """Simulate some of the students, and take each for as many as there are more."""
    shown = pages(load, students, seed)
    minutes: dict[int, Counter[str]] = {}
    for page, counts in simulate(load, shown):
        minutes.setdefault(int(page.at // 60), Counter()).update(counts)
    sent = sum(minutes.values(), Counter[str]())
    scale = load.students / students / 60
    names = [*UPGRADE, "get", "replace", "events"]
    return Prediction(
        {name: sent[name] / students for name in names},
        {name: max(counts[name] for counts in minutes.values()) * scale for name in names},
    )


# ---- The run that it is checked against ----


class CountingStore:
    """Another store, whose calls are counted."""

    def __init__(self, store: MemoryStore | SQLiteStore, counts: Counter[str]) -> None:
        self._store = store
        self._counts = counts

    def get(self, key: str) -> tuple[bytes, int] | None:
        self._counts["get"] += 1
        return self._store.get(key)

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        self._counts["replace"] += 1
        return self._store.replace(key, value, version, ttl)

    def delete(self, key: str) -> None:
        self._counts["delete"] += 1
        self._store.delete(key)


def count(load: Load, shown: Sequence[Page]) -> Counter[str]:
    """Show the pages, with a connection for each worker, and return what was sent."""
    counts: Counter[str] = Counter()
    local = LocalUpgrade()
    for target in TARGETS:
        local.experiment("home", target, conditions=["control", "treatment"])
    local.flag("HINTS")
    start = 1_800_000_000.0
    now = start
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(local.serve())
        for student in {page.student for page in shown}:
            if not is_new(load, student):
                with UpgradeConnection(url) as connection:
                    connection.client(f"student-{student}", "my-app").init_sync({})
        before = len(local.requests)
        stack.enter_context(patch("time.time", lambda: now))
        connections: list[UpgradeConnection] = []
        for _ in range(load.workers):
            store: MemoryStore | SQLiteStore = MemoryStore()
            if load.store == SHARED:
                store = SQLiteStore(Path(folder) / "store.db")
                stack.callback(store.close)
            connection = UpgradeConnection(
                url,
                store=None if load.store == NO_STORE else CountingStore(store, counts),
                outbox=MemoryStore() if load.outbox else None,
                max_age=load.max_age,
                timeout=60.0,
            )
            connections.append(stack.enter_context(connection))
        for page in shown:
            now = start + page.at
            connection = connections[page.worker]
            client = connection.client(f"student-{page.student}", "my-app", group={})
            decisions = [client.decide_sync("home", target, default="x") for target in TARGETS]
            client.decide_flag_sync("HINTS")
            for decision in decisions[: load.marks]:
                counts["events"] += decision.mark_sync() is not None and load.outbox
            if load.outbox:
                assert connection.outbox.flush_sync(60) == 0
        counts.update(request.endpoint for request in local.requests[before:])
    return counts


def check(students: int) -> bool:
    """Print what was predicted and counted; return whether it is the same."""
    is_same = True
    print("| store | outbox | what | predicted | counted |\n|---|---|---|---|---|")
    for store, outbox in ((NO_STORE, False), (OWN, False), (SHARED, False), (SHARED, True)):
        load = Load(store=store, outbox=outbox, max_age=120.0, arrive_within=600.0, new=0.3)
        shown = pages(load, students, seed=2)
        predicted, counted = total(load, shown), count(load, shown)
        for what in sorted({*predicted, *counted}):
            if predicted[what] or counted[what]:
                is_same &= predicted[what] == counted[what]
                cells = [store, "yes" if outbox else "no", what]
                print(f"| {' | '.join(cells)} | {predicted[what]:,} | {counted[what]:,} |")
    return is_same


def show(load: Load, label: str) -> None:
    prediction = predict(load)
    peak = prediction.peak
    asked = sum(prediction.each[name] for name in UPGRADE)
    print(
        f"| {label} | {prediction.each['assign']:.2f} | {asked:.1f} "
        f"| {sum(peak[name] for name in UPGRADE):,.0f} "
        f"| {peak['get']:,.0f} + {peak['replace']:,.0f} | {peak['events']:,.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--check", action="store_true", help="count what a real run sends")
    parser.add_argument("--check-students", type=int, default=40)
    defaults = Load()
    for name in ("students", "pages", "marks", "workers"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    for name in ("arrive-within", "gap", "max-age", "new"):
        default = getattr(defaults, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=float, default=default)
    options = vars(parser.parse_args())
    students = options.pop("check_students")
    if options.pop("check"):
        sys.exit(not check(students))
    load = Load(**options)
    print(
        "| store, `max_age` | assignments asked, a student | all requests, a student "
        "| requests/s to UpGrade, busiest minute | store: reads + writes/s | marks/s "
        "|\n|---|---|---|---|---|---|"
    )
    show(attrs.evolve(load, store=NO_STORE), "none")
    show(attrs.evolve(load, store=OWN), f"one of each worker, {load.max_age:.0f} s")
    for max_age in sorted({60.0, load.max_age, 900.0}):
        show(attrs.evolve(load, max_age=max_age), f"shared, {max_age:.0f} s")


if __name__ == "__main__":
    main()
