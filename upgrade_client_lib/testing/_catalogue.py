"""Everything that was defined, and how to find it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ._definitions import (
    Experiment,
    FeatureFlag,
    Members,
    Metric,
)

Place = tuple[str, Optional[str]]


class Catalogue:
    """The contexts, experiments, flags and metrics of a server, in the order of their creation.

    ``null_is_empty`` says that a null target and an empty one are the same place; ``places`` are
    each experiment's decision points as keys, in the order of its points.
    """

    def __init__(self, *, null_is_empty: bool) -> None:
        self.null_is_empty = null_is_empty
        self.contexts: dict[str, frozenset[str] | None] = {}
        self.experiments: dict[str, Experiment] = {}
        self.flags: dict[str, FeatureFlag] = {}
        self.metrics: dict[str, Metric] = {}
        self.excluded = Members()
        self.places: dict[str, list[Place]] = {}
        self._by_context: dict[str, list[str]] = {}
        self._by_place: dict[Place, list[str]] = {}

    def add_context(self, name: str, group_types: Iterable[str] | None = None) -> None:
        known = self.contexts.get(name)
        self.contexts[name] = known if group_types is None else frozenset(group_types)

    def add_experiment(self, experiment: Experiment) -> None:
        if experiment.id in self.experiments:
            raise ValueError(f"experiment {experiment.name!r}: id: {experiment.id} is taken")
        group_types = self.contexts.get(experiment.context)
        if experiment.group_type and group_types and experiment.group_type not in group_types:
            raise ValueError(
                f"experiment {experiment.name!r}: group_type: {experiment.group_type!r} is not "
                f"one of context {experiment.context!r}: {', '.join(sorted(group_types))}"
            )
        self.add_context(experiment.context)
        self.experiments[experiment.id] = experiment
        self._by_context.setdefault(experiment.context, []).append(experiment.id)
        places = [self.place(point.site, point.target) for point in experiment.points]
        self.places[experiment.id] = places
        for place in places:
            self._by_place.setdefault(place, []).append(experiment.id)

    def add_flag(self, flag: FeatureFlag) -> None:
        if flag.key in self.flags:
            raise ValueError(f"flag {flag.key!r}: key: there is one already")
        self.add_context(flag.context)
        self.flags[flag.key] = flag

    def place(self, site: str, target: str | None) -> Place:
        """A decision point as a key."""
        return (site, "" if target is None and self.null_is_empty else target)

    def in_context(self, context: str) -> list[Experiment]:
        return [self.experiments[name] for name in self._by_context.get(context, ())]

    def at(self, site: str, target: str | None) -> list[Experiment]:
        """The experiments, in whatever state, that have this decision point."""
        return [self.experiments[name] for name in self._by_place.get(self.place(site, target), ())]
