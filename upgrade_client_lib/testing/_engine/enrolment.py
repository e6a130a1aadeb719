"""Enrolments and exclusions: what is stored of users in experiments, and what follows."""

from __future__ import annotations

from enum import Enum

import attrs

from .._definitions import ENROLLING, ENROLLMENT_COMPLETE, EXPERIMENT, GROUP, INDIVIDUAL, Experiment


@attrs.frozen
class Participation:
    """What is stored of a user in one experiment.

    ``condition`` is that of the user's own enrolment, ``group_condition`` that of the user's
    working group; both are None where there is none. ``excluded`` and ``group_excluded`` are
    whether the user and the working group were excluded by marks.
    """

    condition: str | None = None
    group_condition: str | None = None
    excluded: bool = False
    group_excluded: bool = False


class MarkEffect(Enum):
    """What a mark stores in an experiment."""

    NOTHING = "nothing"
    ENROL = "an enrolment"
    EXCLUDE = "an exclusion"


def assigns_by_group(experiment: Experiment) -> bool:
    """Return whether the working group's enrolment counts before the user's own."""
    return experiment.unit == GROUP and experiment.consistency != INDIVIDUAL


def enrolled_condition(experiment: Experiment, stored: Participation) -> str | None:
    """Return the condition of the enrolment that counts for the user; None without one."""
    if experiment.unit != GROUP:
        return stored.condition
    own, of_group = stored.condition, stored.group_condition
    first, second = (of_group, own) if assigns_by_group(experiment) else (own, of_group)
    return second if first is None else first


def is_shut_out(experiment: Experiment, stored: Participation) -> bool:
    """Return whether an exclusion keeps the user from a condition.

    Where users get one condition after the other, or are to see an experiment consistently, an
    enrolment outweighs it. Where groups are assigned, the rule says what counts first: what is
    stored of the group, or what is stored of the user.
    """
    if experiment.within_subjects or experiment.consistency == EXPERIMENT:
        excluded = stored.excluded or stored.group_excluded
        return excluded and enrolled_condition(experiment, stored) is None
    if assigns_by_group(experiment):
        return stored.group_excluded or (stored.excluded and stored.group_condition is None)
    return stored.excluded or (stored.group_excluded and stored.condition is None)


def has_condition(experiment: Experiment, stored: Participation) -> bool:
    """Return whether an experiment that the user may take part in has a condition for them."""
    if experiment.state == ENROLLING:
        return not is_shut_out(experiment, stored)
    if experiment.within_subjects or enrolled_condition(experiment, stored) is None:
        return False
    return reverts_to(experiment) is not None or not is_shut_out(experiment, stored)


def reverts_to(experiment: Experiment) -> str | None:
    """Return the condition that an experiment ended with; None where all keep their own."""
    over = experiment.state == ENROLLMENT_COMPLETE and experiment.post_experiment_rule == "assign"
    return experiment.revert_to if over else None


def effect_of_mark(
    experiment: Experiment,
    stored: Participation,
    *,
    applied: bool,
    admitted: bool,
    valid_group: bool,
    enrolled_here: bool,
) -> MarkEffect:
    """Return what a mark stores in an experiment that enrols, or did until it was completed.

    ``applied`` is False for the status "condition not applied"; ``admitted`` and ``valid_group``
    tell of the user's lists and groups. ``enrolled_here`` is whether a mark of the same decision
    point enrolled the user: the server does not look at the experiment's other points.
    """
    by_experiment = experiment.unit == GROUP and experiment.consistency == EXPERIMENT
    if not admitted or not applied:
        return MarkEffect.EXCLUDE
    if experiment.state == ENROLLMENT_COMPLETE:
        kept = enrolled_here or experiment.consistency == EXPERIMENT
        of_group = experiment.unit == GROUP and stored.group_condition is not None
        return MarkEffect.NOTHING if kept or of_group else MarkEffect.EXCLUDE
    if stored.group_excluded and not by_experiment:
        return MarkEffect.EXCLUDE
    if not valid_group:
        kept = by_experiment or enrolled_here
        return MarkEffect.NOTHING if kept else MarkEffect.EXCLUDE
    if stored.excluded and not (experiment.within_subjects or by_experiment):
        return MarkEffect.NOTHING
    return MarkEffect.ENROL


def excludes_late_group(
    experiment: Experiment, stored: Participation, *, valid_group: bool
) -> bool:
    """Return whether a mark that is applied excludes the working group: it came after the end."""
    over = experiment.unit == GROUP and experiment.state == ENROLLMENT_COMPLETE
    late = over and experiment.consistency != EXPERIMENT and valid_group
    return late and stored.group_condition is None


def enrolment_ends_with_group(experiment: Experiment) -> bool:
    """Return whether a user who leaves a working group leaves the own enrolment behind."""
    return assigns_by_group(experiment)


def exclusion_ends_with_group(experiment: Experiment) -> bool:
    """Return whether a user who leaves a working group leaves an exclusion behind."""
    return experiment.unit == GROUP and experiment.consistency != EXPERIMENT
