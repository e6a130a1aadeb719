"""The mark endpoint: visits, enrolments, exclusions."""

from __future__ import annotations

import attrs

from .._narrow import object_or_none
from ._assign import condition_index, may_enrol, working_group
from ._call import Call, World
from ._definitions import GROUP, Experiment
from ._errors import QUERY_FAILED, Refusal
from ._records import Mark
from ._store import Enrolment, User, Visit

NOT_APPLIED = "condition not applied"


def mark(world: World, call: Call) -> object:
    """Counts the visit, enrols or excludes the user, answers the first mark of this point."""
    data = call.body["data"]
    assigned = object_or_none(data.get("assignedCondition")) or {}
    made = Mark(
        user=call.user.id,
        site=data["site"],
        target=data.get("target") or "",
        condition=assigned.get("conditionCode"),
        experiment_id=assigned.get("experimentId") or None,
        status=call.body.get("status"),
        uniquifier=call.body.get("uniquifier"),
        client_error=call.body.get("clientError"),
    )
    if any("\0" in text for text in (made.site, made.target, made.condition) if text):
        raise Refusal(
            500, 'invalid byte sequence for encoding "UTF8": 0x00', name="QueryFailedError"
        )
    experiment = _experiment(world, made)
    code = _condition_code(experiment, made)
    site, target = world.catalogue.place(made.site, made.target)
    experiment_id = experiment.id if experiment else made.experiment_id
    visit = world.store.visits.setdefault((call.user.id, site, target), Visit(code, experiment_id))
    visit.marks += 1
    if experiment and may_enrol(world, call.user, experiment):
        if made.status == NOT_APPLIED:
            world.store.exclusions.add((experiment.id, call.user.id))
        else:
            _enrol(world, call.user, experiment, code)
    world.store.marks.append(attrs.evolve(made, condition=code, experiment_id=experiment_id))
    within_subjects = experiment is not None and experiment.within_subjects
    return {
        "condition": code if within_subjects else visit.condition,
        "userId": call.user.id,
        "site": made.site,
        "target": target,
        "experimentId": visit.experiment_id,
        "id": visit.id,
    }


def _experiment(world: World, made: Mark) -> Experiment | None:
    """The experiment that is marked, when there are any at this point."""
    here: list[Experiment] = world.catalogue.at(made.site, made.target)
    if not here:
        return None
    for experiment in here:
        if experiment.id == made.experiment_id or (not made.experiment_id and len(here) == 1):
            return experiment
    raise Refusal(
        404,
        "Experiment ID not provided for shared Decision Point in markExperimentPoint: " + made.user,
        QUERY_FAILED,
    )


def _condition_code(experiment: Experiment | None, made: Mark) -> str | None:
    """The code of the condition that was sent, which may be one of its payloads instead."""
    if experiment is None or made.condition is None:
        return made.condition
    if experiment.index_of(made.condition) is not None:
        return made.condition
    for point in experiment.points:
        for code, payload in point.payloads.items():
            if payload.value and payload.value == made.condition:
                return code
    message = f"Condition not found: {made.condition}"
    raise Refusal(500, message, "Condition not found")


def _enrol(world: World, user: User, experiment: Experiment, code: str | None) -> None:
    """Enrol a user who is not enrolled yet.

    What was sent counts where the user's queue or the engine decides, and what the server
    assigns everywhere else.
    """
    store, key = world.store, (experiment.id, user.id)
    if key in store.enrolments:
        return
    as_sent = experiment.within_subjects or (experiment.adaptive and world.adaptive)
    if code is None or not as_sent:
        code = experiment.conditions[condition_index(world, user, experiment)].code
    group = working_group(user, experiment) if experiment.unit == GROUP else None
    store.enrolments[key] = Enrolment(code, group)
    if group:
        store.group_enrolments.setdefault((experiment.id, group), code)
