"""Events over those that wait: handing one over, beside other SDKs, and what a store does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from ..charts import Chart, Lines, chart
from .measuring import HOST, Curves, best, growing, sizes
from .stores import Kind, in_each_store

WAITING = "events that wait"

DATA = b"x" * 420
"""About as long as a mark."""

HANDED_OVER = 100
"""How many events are handed over in each round; the first rounds have the fewest waiting."""


def charts(most: int) -> Mapping[str, Chart]:
    return {"growth-events-handed-over": _handing_over(most), **_in_stores(most)}


def _handing_over(most: int) -> Chart:
    curves = Curves(
        {
            "this library, in memory": growing("ours_event"),
            "this library, SQLite": growing("ours_event_sqlite"),
            "LaunchDarkly": growing("launchdarkly_event"),
            "GrowthBook": growing("growthbook_event"),
            "PostHog": growing("posthog_event"),
        }
    )
    for waiting in sizes(100, most):
        curves.alone(waiting, 1e-6, HANDED_OVER)
    return chart(
        "Handing an event over",
        "events that wait",
        "µs of a processor",
        curves.lines,
        curves.missing,
    )


def _in_stores(most: int) -> Mapping[str, Chart]:
    """Measure what the store takes of it: adding an event, and taking and settling one."""
    added: Lines = {}
    settled: Lines = {}
    for kind in in_each_store():
        added[kind.name], settled[kind.name] = [], []
        for waiting, adding, settling in _adding_and_settling(kind, most):
            added[kind.name].append([waiting, adding])
            settled[kind.name].append([waiting, settling])
    return {
        "growth-events-added": chart("Adding an event to an outbox", WAITING, "µs", added),
        "growth-events-settled": chart("Taking and settling an event", WAITING, "µs", settled),
    }


def _adding_and_settling(kind: Kind, most: int) -> Iterator[tuple[int, float, float]]:
    numbers = itertools.count()
    store = kind.store

    def add() -> None:
        number = next(numbers)
        user = f"user-{number}"
        store.add_event(HOST, str(number), user, DATA, max_events=10**9, remember=0)

    def settle() -> None:
        event = store.take_event(HOST, "owner", 60.0)
        store.settle_event(HOST, event.id, "owner", state=None)

    for waiting in sizes(100, most):
        for _ in range(waiting - sum(store.count_events(HOST).values())):
            add()
        adding = best(add, 20, kind.clock, rounds=25)
        yield waiting, adding, best(settle, 20, kind.clock, rounds=25)
