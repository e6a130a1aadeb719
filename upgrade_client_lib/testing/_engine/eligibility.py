"""Which experiments a user may enter."""

from __future__ import annotations

from .._definitions import ENROLLING, ENROLLMENT_COMPLETE, GROUP, INDIVIDUAL, Experiment
from .state import ServerState
from .store import User


def may_enrol(state: ServerState, user: User, experiment: Experiment) -> bool:
    """Return whether a mark enrols this user."""
    return experiment.state == ENROLLING and is_eligible(state, user, user.groups, experiment)


def is_eligible(
    state: ServerState, user: User, groups: frozenset[tuple[str, str]], experiment: Experiment
) -> bool:
    """Return whether the experiment has a condition for this user."""
    if experiment.id in state.store.forced_for(user.id):
        return True
    if state.catalogue.excluded.contains(user.id, groups):
        return False
    key = (experiment.id, user.id)
    if key in state.store.exclusions or not experiment.filter.admits(user.id, groups):
        return False
    if experiment.unit == GROUP:
        group = working_group(user, experiment)
        enrolment = state.store.enrolments.get(key)
        if not group:
            return False
        if experiment.consistency == "experiment" and enrolment and enrolment.group != group:
            return False
    if experiment.state == ENROLLMENT_COMPLETE:
        return stored_condition(state, user, experiment) is not None
    return experiment.state == ENROLLING


def working_group(user: User, experiment: Experiment) -> str | None:
    """Return the user's working group of the type that the experiment assigns."""
    return (user.working_group or {}).get(experiment.group_type or "")


def stored_condition(state: ServerState, user: User, experiment: Experiment) -> str | None:
    """Return the condition that is settled, by the experiment's end or by an enrolment."""
    if experiment.state == ENROLLMENT_COMPLETE and experiment.post_experiment_rule == "assign":
        return experiment.revert_to
    store = state.store
    enrolment = store.enrolments.get((experiment.id, user.id))
    if experiment.unit != GROUP or (enrolment and experiment.consistency == INDIVIDUAL):
        return enrolment.condition if enrolment else None
    return store.group_enrolments.get((experiment.id, working_group(user, experiment) or ""))
