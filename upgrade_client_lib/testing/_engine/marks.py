"""Marks: visits of decision points, and what they store in experiments."""

from __future__ import annotations

import attrs

from .._definitions import ENROLLING, ENROLLMENT_COMPLETE, GROUP, Experiment, PointKey
from .assignments import condition_index, participation
from .draw import draw_from_pool
from .eligibility import has_valid_group, is_admitted, working_group
from .enrolment import MarkEffect, effect_of_mark, excludes_late_group
from .reasons import NUL_MESSAGE, Reason, Refused
from .records import Mark
from .state import ServerState
from .store import Enrolment, User, Visit
from .strictness import require_known, require_point

NOT_APPLIED = "condition not applied"


@attrs.frozen
class MarkResult:
    """What the server returns for a mark; ``condition`` may be that of an earlier mark."""

    visit: Visit
    target: str | None
    condition: str | None


def mark(state: ServerState, user: User, sent: Mark) -> MarkResult:
    """Store the visit, and in the experiment that is marked an enrolment or an exclusion.

    Of users who are excluded globally, the visit is all that is stored, whatever was sent.
    """
    if any("\0" in text for text in (sent.site, sent.target, sent.condition) if text):
        raise Refused(Reason.NUL_CHARACTER, NUL_MESSAGE)
    experiment = _marked_experiment(state, sent)
    excluded = state.catalogue.excluded.contains(user.id, user.groups)
    entered = None if excluded else experiment
    if entered is not None:
        _exclude_other_groups(state, user, entered)
    code = _condition_code(state, entered, sent)
    point = state.catalogue.point_key(sent.site, sent.target)
    if entered and entered.state in (ENROLLING, ENROLLMENT_COMPLETE):
        _take_part(state, user, entered, point, sent, code)
    experiment_id = experiment.id if experiment else sent.experiment_id
    first = Visit(sent.condition, experiment_id)
    visit = state.store.visits.setdefault((user.id, *point), first)
    state.store.marks.append(attrs.evolve(sent, condition=code, experiment_id=experiment_id))
    return MarkResult(visit, point[1], _returned_condition(state, visit, sent))


def _marked_experiment(state: ServerState, sent: Mark) -> Experiment | None:
    """Return the experiment that is marked; None where no experiment has this point.

    Which one is marked at a shared point without an experiment id is undefined on the server.
    """
    here = state.catalogue.at(sent.site, sent.target)
    if not here:
        require_point(state, sent.site, sent.target)
        return None
    if not sent.experiment_id:
        return draw_from_pool(sent.user, here)
    for experiment in here:
        if experiment.id == sent.experiment_id:
            return experiment
    raise Refused(
        Reason.AMBIGUOUS_POINT,
        "Experiment ID not provided for shared Decision Point in markExperimentPoint: " + sent.user,
    )


def _condition_code(state: ServerState, experiment: Experiment | None, sent: Mark) -> str | None:
    """Return the code of the condition that was sent, which may be one of its payloads instead."""
    if experiment is None or sent.condition is None:
        return sent.condition
    if experiment.index_of(sent.condition) is not None:
        return sent.condition
    for point in experiment.points:
        for code, payload in point.payloads.items():
            if payload.value == sent.condition:
                return code
    codes = [condition.code for condition in experiment.conditions]
    require_known(state, f"condition of {experiment.name!r}:", sent.condition, codes)
    raise Refused(Reason.CONDITION_NOT_FOUND, f"Condition not found: {sent.condition}")


def _take_part(
    state: ServerState,
    user: User,
    experiment: Experiment,
    point: PointKey,
    sent: Mark,
    code: str | None,
) -> None:
    """Store what the mark means for the user in the experiment."""
    store, key = state.store, (experiment.id, user.id)
    applied = sent.status != NOT_APPLIED
    if experiment.adaptive and state.adaptive and applied:
        _check_version(experiment, sent.condition)
    enrolment = store.enrolments.get(key)
    stored = participation(store, experiment, user)
    admitted = is_admitted(experiment, user, state.catalogue.excluded)
    valid_group = has_valid_group(experiment, user)
    effect = effect_of_mark(
        experiment,
        stored,
        applied=applied,
        admitted=admitted,
        valid_group=valid_group,
        enrolled_here=enrolment is not None and point in enrolment.points,
    )
    if effect is MarkEffect.EXCLUDE:
        store.exclusions.add(key)
        if applied and not admitted:
            _exclude_listed_group(state, user, experiment)
    elif effect is MarkEffect.ENROL:
        store.turns[(experiment.id, user.id, *point)] += 1
        _enrol(state, user, experiment, point, code)
    group = working_group(experiment, user)
    late = excludes_late_group(experiment, stored, valid_group=valid_group)
    if group and applied and admitted and late:
        store.exclude_group(experiment.id, group)


def _exclude_other_groups(state: ServerState, user: User, experiment: Experiment) -> None:
    """Exclude the working groups of a user who is kept out by a group of another type."""
    types = experiment.filter.excluded_group_types(user.id, user.groups)
    if not types or experiment.group_type in types:
        return
    if user.working_group is None:
        message = "Cannot convert undefined or null to object"
        raise Refused(Reason.NO_WORKING_GROUP, message)
    for group in user.working_group.values():
        state.store.exclude_group(experiment.id, group)


def _exclude_listed_group(state: ServerState, user: User, experiment: Experiment) -> None:
    """Exclude the working group of a user who is kept out by a group of the experiment's type.

    It loses its enrolments, those in other experiments, too.
    """
    types = experiment.filter.excluded_group_types(user.id, user.groups)
    if experiment.group_type not in types:
        return
    group = working_group(experiment, user)
    if group is None:
        message = (
            'null value in column "groupId" of relation "group_exclusion" '
            "violates not-null constraint"
        )
        raise Refused(Reason.NO_GROUP_TO_EXCLUDE, message)
    store = state.store
    store.exclude_group(experiment.id, group)
    store.group_enrolments = {
        key: code for key, code in store.group_enrolments.items() if key[1] != group
    }


def _check_version(experiment: Experiment, condition: str | None) -> None:
    """Refuse a condition that the adaptive engine has no version for: it knows codes only."""
    if condition is None or experiment.index_of(condition) is None:
        shown = "null" if condition is None else condition
        message = f"[Mooclet Mark Condition] No version found for condition {shown}"
        raise Refused(Reason.NO_VERSION, message)


def _enrol(
    state: ServerState, user: User, experiment: Experiment, point: PointKey, code: str | None
) -> None:
    """Enrol a user at a decision point; the condition of the first one stays.

    The condition sent counts where the user's queue or the engine decides, and the one that the
    server assigns everywhere else.
    """
    store, key = state.store, (experiment.id, user.id)
    stored = participation(store, experiment, user)
    as_sent = experiment.within_subjects or (experiment.adaptive and state.adaptive)
    if code is None or not as_sent:
        code = experiment.conditions[condition_index(state, user, experiment)].code
    group = working_group(experiment, user) if experiment.unit == GROUP else None
    if not (group and stored.excluded):
        enrolment = store.enrolments.get(key, Enrolment(code, group))
        store.enrolments[key] = attrs.evolve(enrolment, points=enrolment.points | {point})
    if group and not stored.group_excluded:
        store.group_enrolments.setdefault((experiment.id, group), code)


def _returned_condition(state: ServerState, visit: Visit, sent: Mark) -> str | None:
    """Return the first condition that was sent; within subjects, the current one."""
    first = state.catalogue.experiments.get(visit.experiment_id or "")
    if first is not None and first.within_subjects:
        return sent.condition
    return visit.condition or sent.condition
