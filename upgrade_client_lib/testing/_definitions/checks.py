"""Consistency checks of definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

from .model import (
    CONSISTENCY_RULES,
    ENROLLING,
    ENROLLMENT_COMPLETE,
    GROUP,
    INDIVIDUAL,
    ORDERS,
    PAYLOAD_TYPES,
    POST_EXPERIMENT_RULES,
    STATES,
    UNITS,
    Experiment,
)

_Problems = Iterator[tuple[str, str]]


def check_text(what: str, value: object) -> str:
    """Return the value if it is a string that UTF-8 can encode; else raise an error naming it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} must not hold half a surrogate pair: {value!r}") from None
    return value


def check_experiment(experiment: Experiment) -> Experiment:
    """Return the experiment, or raise a ValueError that names it and the inconsistent field.

    One whose state assigns nothing may be unfinished, as on a real server.
    """
    problems = chain(_settings(experiment), _parts(experiment))
    if experiment.state in (ENROLLING, ENROLLMENT_COMPLETE):
        problems = chain(problems, _complete(experiment))
    for field, problem in problems:
        raise ValueError(f"experiment {experiment.name!r}: {field}: {problem}")
    return experiment


def _settings(experiment: Experiment) -> _Problems:
    if not experiment.id:
        yield "id", "must not be empty"
    if not experiment.context:
        yield "context", "must not be empty"
    yield from _one_of("state", experiment.state, STATES)
    yield from _one_of("unit", experiment.unit, UNITS)
    yield from _one_of("consistency rule", experiment.consistency, CONSISTENCY_RULES)
    yield from _one_of(
        "post-experiment rule", experiment.post_experiment_rule, POST_EXPERIMENT_RULES
    )
    if experiment.unit == GROUP and not experiment.group_type:
        yield "group_type", "a group experiment needs the type of its groups"
    if experiment.unit != GROUP and experiment.group_type:
        yield (
            "group_type",
            f"only group experiments have one, and this one's unit is {experiment.unit}",
        )
    if experiment.within_subjects:
        yield from _one_of("order", experiment.order, ORDERS)
    elif experiment.order:
        yield "order", f"only within-subjects experiments have one, not {experiment.unit} ones"
    if experiment.adaptive and experiment.unit != INDIVIDUAL:
        yield "adaptive", f"adaptive experiments assign individuals, not {experiment.unit}"


def _parts(experiment: Experiment) -> _Problems:
    """Yield what is wrong with single conditions and points."""
    for condition in experiment.conditions:
        if not condition.code:
            yield "conditions", "a condition code must not be empty"
    for point in experiment.points:
        if not point.site:
            yield "points", "a site must not be empty"
        for code, payload in point.payloads.items():
            if experiment.index_of(code) is None:
                yield "payloads", f"there is no condition {code!r}"
            yield from _one_of(f"payload type of {code!r}", payload.type, PAYLOAD_TYPES)


def _complete(experiment: Experiment) -> _Problems:
    """Yield what keeps an experiment from assigning conditions."""
    codes = [condition.code for condition in experiment.conditions]
    if not codes:
        yield "conditions", "there are none"
    for condition in experiment.conditions:
        if codes.count(condition.code) > 1:
            yield "conditions", f"{condition.code!r} occurs more than once"
        if not (math.isfinite(condition.weight) and condition.weight >= 0):
            yield "weights", f"{condition.weight!r} of {condition.code!r} is not a weight"
    total = sum(condition.weight for condition in experiment.conditions)
    if abs(total - 100) > 0.5:
        yield "weights", f"they sum to {total:g}, not to 100"
    if experiment.revert_to is not None and experiment.revert_to not in codes:
        yield "revert to", f"there is no condition {experiment.revert_to!r}"
    places = [(point.site, point.target) for point in experiment.points]
    if not places:
        yield "points", "there are none"
    for place in places:
        if places.count(place) > 1:
            yield "points", f"{place} occurs more than once"


def _one_of(field: str, value: object, allowed: Sequence[str]) -> _Problems:
    if value not in allowed:
        yield field, f"{value!r} is not one of {', '.join(allowed)}"
