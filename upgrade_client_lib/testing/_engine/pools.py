"""Pools: experiments that share decision points, of which a user enters one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._definitions import Experiment, PointKey


def pools(
    experiments: Sequence[Experiment], point_keys: Mapping[str, Sequence[PointKey]]
) -> list[list[Experiment]]:
    """Return the experiments grouped into pools, each in the given order.

    ``point_keys`` are the decision points of each experiment by its id. A pool holds whatever
    shares a decision point with one of its members; most hold a single experiment.
    """
    at: dict[PointKey, list[str]] = {}
    for experiment in experiments:
        for key in point_keys[experiment.id]:
            at.setdefault(key, []).append(experiment.id)
    found: list[list[Experiment]] = []
    pooled: set[str] = set()
    for experiment in experiments:
        if experiment.id in pooled:
            continue
        reached = [experiment.id]
        for member in reached:  # grows: whatever shares a point with a member is one, too
            for key in point_keys[member]:
                reached += [other for other in at[key] if other not in reached]
        pooled.update(reached)
        found.append(
            [experiment] if len(reached) == 1 else [e for e in experiments if e.id in reached]
        )
    return found
