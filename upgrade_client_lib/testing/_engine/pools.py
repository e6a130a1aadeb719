"""Pools: experiments that share decision points, of which a user enters one."""

from __future__ import annotations

from collections.abc import Sequence

from .._definitions import Experiment, PointKey
from .draw import draw_from_pool
from .state import ServerState
from .store import User


def choose_one_of_each_pool(
    state: ServerState, user: User, experiments: Sequence[Experiment]
) -> list[Experiment]:
    """Return the experiments that the user enters, one of each pool."""
    return [_choose(state, user, pool) for pool in _pools(state, experiments)]


def _pools(state: ServerState, experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Return the pools, each in the order of creation."""
    keys = state.catalogue.point_keys
    at: dict[PointKey, list[str]] = {}
    for experiment in experiments:
        for key in keys[experiment.id]:
            at.setdefault(key, []).append(experiment.id)
    pools: list[list[Experiment]] = []
    pooled: set[str] = set()
    for experiment in experiments:
        if experiment.id in pooled:
            continue
        reached = [experiment.id]
        for member in reached:  # grows: whatever shares a point with a member is one, too
            for key in keys[member]:
                reached += [other for other in at[key] if other not in reached]
        pooled.update(reached)
        pools.append(
            [experiment] if len(reached) == 1 else [e for e in experiments if e.id in reached]
        )
    return pools


def _choose(state: ServerState, user: User, pool: list[Experiment]) -> Experiment:
    if len(pool) == 1:
        return pool[0]
    pooled = {experiment.id: experiment for experiment in pool}
    for experiment_id in reversed(state.store.forced_for(user.id)):
        if experiment_id in pooled:
            return pooled[experiment_id]
    for experiment in pool:
        if (experiment.id, user.id) in state.store.enrolments:
            return experiment
    return draw_from_pool(user.id, pool)
