"""What a user is assigned in a context: experiments, and their conditions at each point."""

from __future__ import annotations

import attrs

from .._definitions import GROUP, Experiment
from .draw import draw_condition
from .eligibility import is_eligible, stored_condition, working_group
from .pools import choose_one_of_each_pool
from .queues import queue_at
from .reasons import Reason, Refused
from .state import ServerState
from .store import User


@attrs.frozen
class AssignedPoint:
    """One decision point of an experiment, by index, and the queue of its condition indices."""

    experiment: Experiment
    point: int
    queue: tuple[int, ...]


def check_context(state: ServerState, context: object) -> str:
    """Return the context; refuse one that the server does not have."""
    if isinstance(context, str) and context in state.catalogue.contexts:
        return context
    shown = "undefined" if context is None else context
    raise Refused(Reason.UNKNOWN_CONTEXT, f"Invalid app context: {shown}")


def assign(state: ServerState, user: User, context: object) -> list[AssignedPoint]:
    """Return what the user is assigned at every decision point of the context."""
    assigned: list[AssignedPoint] = []
    for experiment in assigned_experiments(state, user, check_context(state, context)):
        points = range(len(experiment.points))
        if experiment.within_subjects:
            queues = [queue_at(state, user, experiment, point) for point in points]
        else:
            queues = [(condition_index(state, user, experiment),)] * len(points)
        assigned += [AssignedPoint(experiment, point, queues[point]) for point in points]
    return assigned


def assigned_experiments(state: ServerState, user: User, context: str) -> list[Experiment]:
    """Return the experiments of the context that have a condition for this user."""
    groups = user.groups
    eligible = [
        experiment
        for experiment in state.catalogue.in_context(context)
        if is_eligible(state, user, groups, experiment)
    ]
    return choose_one_of_each_pool(state, user, eligible)


def condition_index(state: ServerState, user: User, experiment: Experiment) -> int:
    """Return the index of the condition that a between-subjects experiment gives this user."""
    forced = state.store.forced_for(user.id).get(experiment.id)
    if forced is not None:
        return forced
    code = stored_condition(state, user, experiment)
    stored = None if code is None else experiment.index_of(code)
    if stored is not None:
        return stored
    if experiment.adaptive and state.adaptive:
        return _sample(state, experiment)
    unit_id = (working_group(user, experiment) or "") if experiment.unit == GROUP else user.id
    weights = [condition.weight for condition in experiment.conditions]
    return draw_condition(experiment.id, unit_id, weights)


def _sample(state: ServerState, experiment: Experiment) -> int:
    """Return a condition by Thompson sampling on the rewards so far, with a uniform prior."""
    scores: list[float] = []
    for condition in experiment.conditions:
        values = [
            reward.value
            for reward in state.store.rewards
            if reward.experiment_id == experiment.id and reward.condition == condition.code
        ]
        won = values.count("SUCCESS")
        scores.append(state.random.betavariate(1 + won, 1 + len(values) - won))
    return scores.index(max(scores))
