"""Marks: visits of decision points, enrolments, exclusions."""

from __future__ import annotations

import attrs

from .._definitions import GROUP, Experiment
from .assignments import condition_index
from .eligibility import may_enrol, working_group
from .reasons import Reason, Refused
from .records import Mark
from .state import ServerState
from .store import Enrolment, User, Visit

NOT_APPLIED = "condition not applied"


@attrs.frozen
class MarkResult:
    """What the server returns for a mark; ``condition`` may be that of an earlier mark."""

    visit: Visit
    target: str | None
    condition: str | None


def mark(state: ServerState, user: User, sent: Mark) -> MarkResult:
    """Count the visit, and enrol or exclude the user."""
    if any("\0" in text for text in (sent.site, sent.target, sent.condition) if text):
        message = 'invalid byte sequence for encoding "UTF8": 0x00'
        raise Refused(Reason.NUL_CHARACTER, message)
    experiment = _marked_experiment(state, sent)
    code = _condition_code(experiment, sent)
    site, target = state.catalogue.point_key(sent.site, sent.target)
    experiment_id = experiment.id if experiment else sent.experiment_id
    visit = state.store.visits.setdefault((user.id, site, target), Visit(code, experiment_id))
    visit.marks += 1
    if experiment and may_enrol(state, user, experiment):
        if sent.status == NOT_APPLIED:
            state.store.exclusions.add((experiment.id, user.id))
        else:
            _enrol(state, user, experiment, code)
    state.store.marks.append(attrs.evolve(sent, condition=code, experiment_id=experiment_id))
    within_subjects = experiment is not None and experiment.within_subjects
    return MarkResult(visit, target, code if within_subjects else visit.condition)


def _marked_experiment(state: ServerState, sent: Mark) -> Experiment | None:
    """Return the experiment that is marked; None where no experiment has this point."""
    here = state.catalogue.at(sent.site, sent.target)
    if not here:
        return None
    for experiment in here:
        if experiment.id == sent.experiment_id or (not sent.experiment_id and len(here) == 1):
            return experiment
    raise Refused(
        Reason.AMBIGUOUS_POINT,
        "Experiment ID not provided for shared Decision Point in markExperimentPoint: " + sent.user,
    )


def _condition_code(experiment: Experiment | None, sent: Mark) -> str | None:
    """Return the code of the condition that was sent, which may be one of its payloads instead."""
    if experiment is None or sent.condition is None:
        return sent.condition
    if experiment.index_of(sent.condition) is not None:
        return sent.condition
    for point in experiment.points:
        for code, payload in point.payloads.items():
            if payload.value and payload.value == sent.condition:
                return code
    raise Refused(Reason.CONDITION_NOT_FOUND, f"Condition not found: {sent.condition}")


def _enrol(state: ServerState, user: User, experiment: Experiment, code: str | None) -> None:
    """Enrol a user who is not enrolled yet.

    The condition sent counts where the user's queue or the engine decides, and the one that the
    server assigns everywhere else.
    """
    store, key = state.store, (experiment.id, user.id)
    if key in store.enrolments:
        return
    as_sent = experiment.within_subjects or (experiment.adaptive and state.adaptive)
    if code is None or not as_sent:
        code = experiment.conditions[condition_index(state, user, experiment)].code
    group = working_group(user, experiment) if experiment.unit == GROUP else None
    store.enrolments[key] = Enrolment(code, group)
    if group:
        store.group_enrolments.setdefault((experiment.id, group), code)
