"""All definitions of one server, with indexes to look them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from .model import (
    Experiment,
    FeatureFlag,
    Metric,
    Segment,
)

PointKey = tuple[str, Optional[str]]


class Catalogue:
    """The contexts, experiments, flags and metrics of a server, in the order of their creation.

    ``null_is_empty`` says that a null target and an empty one are the same decision point;
    ``point_keys`` holds the keys of each experiment's decision points, in the order of its points.
    """

    def __init__(self, *, null_is_empty: bool) -> None:
        self.null_is_empty = null_is_empty
        self.contexts: dict[str, frozenset[str] | None] = {}
        self.experiments: dict[str, Experiment] = {}
        self.flags: dict[str, FeatureFlag] = {}
        self.metrics: dict[str, Metric] = {}
        self.excluded = Segment()
        self.point_keys: dict[str, list[PointKey]] = {}
        self._by_context: dict[str, list[str]] = {}
        self._by_point: dict[PointKey, list[str]] = {}

    def add_context(self, name: str, group_types: Iterable[str] | None = None) -> None:
        if group_types is not None:
            self.contexts[name] = frozenset(group_types)
        else:
            self.contexts.setdefault(name, None)

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
        keys = [self.point_key(point.site, point.target) for point in experiment.points]
        self.point_keys[experiment.id] = keys
        for key in keys:
            self._by_point.setdefault(key, []).append(experiment.id)

    def add_flag(self, flag: FeatureFlag) -> None:
        if flag.key in self.flags:
            raise ValueError(f"flag {flag.key!r}: key: there is one already")
        self.add_context(flag.context)
        self.flags[flag.key] = flag

    def point_key(self, site: str, target: str | None) -> PointKey:
        """Return the key of a decision point."""
        return (site, "" if target is None and self.null_is_empty else target)

    def in_context(self, context: str) -> list[Experiment]:
        return [self.experiments[name] for name in self._by_context.get(context, ())]

    def at(self, site: str, target: str | None) -> list[Experiment]:
        """Return the experiments, in whatever state, that have this decision point."""
        found = self._by_point.get(self.point_key(site, target), ())
        return [self.experiments[name] for name in found]
