"""What a user is assigned in a context: experiments, and their conditions at each point."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .._definitions import ENROLLING, ENROLLMENT_COMPLETE, GROUP, Experiment
from .draw import draw_condition, draw_from_pool
from .eligibility import has_valid_group, is_admitted, working_group
from .enrolment import Participation, enrolled_condition, has_condition, reverts_to
from .pools import pools
from .queues import queue_at
from .reasons import NUL_MESSAGE, Reason, Refused
from .state import ServerState
from .store import Store, User
from .strictness import require_known


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
    if isinstance(context, str) and "\0" in context:
        raise Refused(Reason.NUL_CHARACTER_IN_QUERY, NUL_MESSAGE)
    require_known(state, "context", str(context), state.catalogue.contexts)
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
    assigned: list[Experiment] = []
    for pool in _pools(state, user, context):
        chosen = _choose(state, user, pool)
        if chosen is not None and _has_condition(state, user, chosen):
            assigned.append(chosen)
    return assigned


def pool_of(
    state: ServerState, user: User, context: str, experiments: Sequence[Experiment]
) -> list[Experiment]:
    """Return the user's pool that holds one of these experiments; empty if none does."""
    for pool in _pools(state, user, context):
        if any(member in experiments for member in pool):
            return pool
    return []


def _pools(state: ServerState, user: User, context: str) -> list[list[Experiment]]:
    members = [
        experiment
        for experiment in state.catalogue.in_context(context)
        if _is_candidate(state, user, experiment)
    ]
    return pools(members, state.catalogue.point_keys)


def _is_candidate(state: ServerState, user: User, experiment: Experiment) -> bool:
    """Return whether the experiment takes part in the user's pools."""
    if experiment.id in state.store.forced_for(user.id):
        return True
    if experiment.state not in (ENROLLING, ENROLLMENT_COMPLETE):
        return False
    if not is_admitted(experiment, user, state.catalogue.excluded):
        return False
    if has_valid_group(experiment, user):
        return True
    stored = participation(state.store, experiment, user)
    return stored.condition is not None and enrolled_condition(experiment, stored) is not None


def _has_condition(state: ServerState, user: User, experiment: Experiment) -> bool:
    """Return whether a candidate has a condition for the user."""
    if experiment.id in state.store.forced_for(user.id):
        return True
    return has_condition(experiment, participation(state.store, experiment, user))


def _choose(state: ServerState, user: User, pool: list[Experiment]) -> Experiment | None:
    """Return the experiment of a pool that is forced, or enrolled in, or drawn."""
    by_id = {experiment.id: experiment for experiment in pool}
    for experiment_id in reversed(state.store.forced_for(user.id)):
        if experiment_id in by_id:
            return by_id[experiment_id]
    for experiment in pool:
        stored = participation(state.store, experiment, user)
        if enrolled_condition(experiment, stored) is not None:
            return experiment
    candidates = [experiment for experiment in pool if _has_condition(state, user, experiment)]
    return draw_from_pool(user.id, candidates) if candidates else None


def condition_index(state: ServerState, user: User, experiment: Experiment) -> int:
    """Return the index of the condition that a between-subjects experiment gives this user."""
    forced = state.store.forced_for(user.id).get(experiment.id)
    if forced is not None:
        return forced
    stored = participation(state.store, experiment, user)
    code = reverts_to(experiment) or enrolled_condition(experiment, stored)
    settled = None if code is None else experiment.index_of(code)
    if settled is not None:
        return settled
    if experiment.adaptive and state.adaptive:
        return _sample(state, experiment)
    unit_id = (working_group(experiment, user) or "") if experiment.unit == GROUP else user.id
    weights = [condition.weight for condition in experiment.conditions]
    return draw_condition(experiment.id, unit_id, weights)


def participation(store: Store, experiment: Experiment, user: User) -> Participation:
    """Return what is stored of a user in an experiment."""
    key = (experiment.id, user.id)
    enrolment = store.enrolments.get(key)
    group_key = (experiment.id, working_group(experiment, user) or "")
    return Participation(
        condition=enrolment.condition if enrolment else None,
        group_condition=store.group_enrolments.get(group_key),
        excluded=key in store.exclusions,
        group_excluded=group_key in store.group_exclusions,
    )


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
