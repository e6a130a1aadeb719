"""The assign endpoint: which experiments a user enters, and with which conditions."""

from __future__ import annotations

from collections.abc import Sequence

from ._assignment_text import AssignmentText
from ._call import Call, World
from ._catalogue import Place
from ._definitions import ENROLLING, ENROLLMENT_COMPLETE, GROUP, INDIVIDUAL, Experiment
from ._draw import one_of_pool, queue, weighted
from ._errors import invalid_context
from ._store import User


def assign(world: World, call: Call) -> bytes:
    context = call.body.get("context")
    if context not in world.catalogue.contexts:
        raise invalid_context(context)
    assigned: list[str] = []
    for experiment in entered(world, call.user, context):
        text = world.texts.get(experiment.id)
        if text is None:
            text = world.texts[experiment.id] = AssignmentText(experiment)
        if experiment.within_subjects:
            for point in range(len(experiment.points)):
                assigned.append(text.item(point, _queue(world, call.user, experiment, point)))
        else:
            index = condition_index(world, call.user, experiment)
            assigned += [text.item(point, (index,)) for point in range(len(experiment.points))]
    return f"[{','.join(assigned)}]".encode()


def entered(world: World, user: User, context: str) -> list[Experiment]:
    """The experiments of the context that have a condition for this user."""
    groups = user.groups
    mine = [
        experiment
        for experiment in world.catalogue.in_context(context)
        if _may_enter(world, user, groups, experiment)
    ]
    return [_choice(world, user, pool) for pool in _pools(world, mine)]


def may_enrol(world: World, user: User, experiment: Experiment) -> bool:
    """Whether a mark enrols this user."""
    return experiment.state == ENROLLING and _may_enter(world, user, user.groups, experiment)


def condition_index(world: World, user: User, experiment: Experiment) -> int:
    """The condition that a between-subjects experiment gives this user."""
    forced = _forced(world, user).get(experiment.id)
    if forced is not None:
        return forced
    code = _stored_condition(world, user, experiment)
    stored = None if code is None else experiment.index_of(code)
    if stored is not None:
        return stored
    if experiment.adaptive and world.adaptive:
        return _sampled(world, experiment)
    unit_id = (working_group(user, experiment) or "") if experiment.unit == GROUP else user.id
    return weighted(experiment.id, unit_id, [one.weight for one in experiment.conditions])


def working_group(user: User, experiment: Experiment) -> str | None:
    """The user's working group of the type that the experiment assigns."""
    return (user.working_group or {}).get(experiment.group_type or "")


def _forced(world: World, user: User) -> dict[str, int]:
    """The conditions that are forced for this user, by experiment, the latest last."""
    return world.store.forced.get(user.id, {})


def _may_enter(
    world: World, user: User, groups: frozenset[tuple[str, str]], experiment: Experiment
) -> bool:
    if experiment.id in _forced(world, user):
        return True
    if world.catalogue.excluded.hold(user.id, groups):
        return False
    key = (experiment.id, user.id)
    if key in world.store.exclusions or not experiment.filter.admits(user.id, groups):
        return False
    if experiment.unit == GROUP:
        group = working_group(user, experiment)
        enrolment = world.store.enrolments.get(key)
        if not group:
            return False
        if experiment.consistency == "experiment" and enrolment and enrolment.group != group:
            return False
    if experiment.state == ENROLLMENT_COMPLETE:
        return _stored_condition(world, user, experiment) is not None
    return experiment.state == ENROLLING


def _stored_condition(world: World, user: User, experiment: Experiment) -> str | None:
    """The condition that is settled: by the experiment's end, or by an enrolment."""
    if experiment.state == ENROLLMENT_COMPLETE and experiment.post_experiment_rule == "assign":
        return experiment.revert_to
    store = world.store
    enrolment = store.enrolments.get((experiment.id, user.id))
    if experiment.unit != GROUP or (enrolment and experiment.consistency == INDIVIDUAL):
        return enrolment.condition if enrolment else None
    return store.group_enrolments.get((experiment.id, working_group(user, experiment) or ""))


def _pools(world: World, experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Experiments that share decision points, together, each pool in the order of creation."""
    places = world.catalogue.places
    at: dict[Place, list[str]] = {}
    for experiment in experiments:
        for place in places[experiment.id]:
            at.setdefault(place, []).append(experiment.id)
    pools: list[list[Experiment]] = []
    pooled: set[str] = set()
    for experiment in experiments:
        if experiment.id in pooled:
            continue
        reached = [experiment.id]
        for member in reached:  # grows: whatever shares a place with a member is one, too
            for place in places[member]:
                reached += [other for other in at[place] if other not in reached]
        pooled.update(reached)
        pools.append(
            [experiment] if len(reached) == 1 else [e for e in experiments if e.id in reached]
        )
    return pools


def _choice(world: World, user: User, pool: list[Experiment]) -> Experiment:
    if len(pool) == 1:
        return pool[0]
    pooled = {experiment.id: experiment for experiment in pool}
    for experiment_id in reversed(_forced(world, user)):
        if experiment_id in pooled:
            return pooled[experiment_id]
    for experiment in pool:
        if (experiment.id, user.id) in world.store.enrolments:
            return experiment
    return one_of_pool(user.id, pool)


def _queue(world: World, user: User, experiment: Experiment, point: int) -> tuple[int, ...]:
    store, places = world.store, world.catalogue.places[experiment.id]
    length = len(experiment.conditions)
    drawn = queue(experiment.order or "", experiment.id, user.id, length)
    forced = _forced(world, user).get(experiment.id)
    if forced is not None:
        return (forced,) * len(drawn)
    counted = places if world.newer else places[point : point + 1]
    visits = [store.visits.get((user.id, site, target)) for site, target in counted]
    turn = sum(visit.marks for visit in visits if visit) % len(drawn)
    return drawn[turn:] + drawn[:turn]


def _sampled(world: World, experiment: Experiment) -> int:
    """Thompson sampling on the rewards so far, with a uniform prior."""
    rewards = world.store.rewards
    scores: list[float] = []
    for condition in experiment.conditions:
        values = [
            reward.value
            for reward in rewards
            if reward.experiment_id == experiment.id and reward.condition == condition.code
        ]
        won = values.count("SUCCESS")
        scores.append(world.random.betavariate(1 + won, 1 + len(values) - won))
    return scores.index(max(scores))
