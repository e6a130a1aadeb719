"""Build definitions from the arguments of ``LocalUpgrade.experiment`` and ``LocalUpgrade.flag``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Union
from uuid import UUID, uuid5

from ..._narrow import items_or_none, mapping_or_none
from .catalogue import PointKey
from .checks import check_experiment, check_text
from .model import (
    GROUP,
    INDIVIDUAL,
    RANDOM,
    WITHIN_SUBJECTS,
    Condition,
    DecisionPoint,
    Experiment,
    Filter,
    Level,
    Payload,
    Segment,
)

Weights = Union[Mapping[str, float], Sequence[str]]
"""Conditions: weights by condition code, or codes of equal weight."""

PayloadValue = Union[str, Payload, Mapping[str, Any], list[Any]]
"""A payload: a string, a ``Payload``, or what is to be sent as JSON."""

Payloads = Mapping[str, PayloadValue]
"""Payloads by condition code."""

PointKeys = Union[Iterable[PointKey], Mapping[PointKey, Payloads]]
"""More decision points, with payloads of their own or without."""

Factors = Mapping[str, Union[Mapping[str, str], Sequence[str]]]
"""Factors: the payloads of its levels by level, or the levels alone."""

Groups = Mapping[str, Iterable[str]]
"""Group ids by group type."""

_NAMESPACE = UUID("6f1b3c52-5d0e-4f7c-9a43-0b8f6f0a7d11")


def stable_id(*names: str) -> str:
    """Return the same UUID for the same names, so that the same definitions draw the same."""
    return str(uuid5(_NAMESPACE, "\n".join(names)))


def _percentages(name: str, conditions: Weights) -> dict[str, float]:
    """Return the weight of each condition in percent, in the order given."""
    if isinstance(conditions, str):
        raise TypeError(
            f"experiment {name!r}: conditions: a list of codes, or weights by code, "
            f"not the string {conditions!r}"
        )
    if not conditions:
        raise ValueError(f"experiment {name!r}: conditions: give at least one, or factors")
    if isinstance(conditions, Mapping):
        weights = dict(conditions)
    else:
        weights = dict.fromkeys(conditions, 1.0)
        if len(weights) < len(conditions):
            raise ValueError(f"experiment {name!r}: conditions: a code occurs more than once")
    for code, weight in weights.items():
        check_text(f"experiment {name!r}: conditions: a code", code)
        if not _is_weight(weight):
            raise ValueError(
                f"experiment {name!r}: weights: {weight!r} of {code!r} is not a positive number"
            )
    total = sum(weights.values())
    if not total:
        raise ValueError(f"experiment {name!r}: weights: they sum to 0")
    if total == 100:
        return {code: float(weight) for code, weight in weights.items()}
    return {code: weight * 100 / total for code, weight in weights.items()}


def _is_weight(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _stored_payloads(name: str, payloads: Payloads) -> dict[str, Payload]:
    """Return the payloads as the server stores them."""
    return {
        code: _payload(f"experiment {name!r}: payload of {code!r}", value)
        for code, value in payloads.items()
    }


def _payload(what: str, value: PayloadValue) -> Payload:
    if isinstance(value, Payload):
        check_text(what, value.value)
        return value
    if isinstance(value, str):
        return Payload("string", check_text(what, value))
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except TypeError:
        raise TypeError(f"{what}: {value!r} is neither a string nor JSON") from None
    except ValueError:
        raise ValueError(f"{what}: {value!r} is not JSON") from None
    return Payload("json", check_text(what, written))


def _level_combinations(name: str, factors: Factors) -> dict[str, tuple[Level, ...]]:
    """Return the levels by condition code of every combination of levels.

    A code reads ``color=red; shape=circle``.
    """
    levels = [_levels(f"experiment {name!r}: factors", *item) for item in factors.items()]
    return {
        "; ".join(f"{level.factor}={level.name}" for level in combination): combination
        for combination in product(*levels)
        if combination
    }


def _levels(where: str, factor: str, levels: Mapping[str, str] | Sequence[str]) -> list[Level]:
    if isinstance(levels, str):
        raise TypeError(f"{where}: {factor!r} must have a list of levels, not {levels!r}")
    payloads = levels if isinstance(levels, Mapping) else dict.fromkeys(levels, "")
    return [
        Level(
            check_text(f"{where}: a factor", factor),
            check_text(f"{where}: a level of {factor!r}", level),
            Payload("string", payload)
            if check_text(f"{where}: payload of {level!r}", payload)
            else None,
        )
        for level, payload in payloads.items()
    ]


def build_segment(
    users: Iterable[str], groups: Groups | None, *, names: tuple[str, str] = ("users", "groups")
) -> Segment:
    """Return a list of users and groups; ``names`` are those of the arguments."""
    users_name, groups_name = names
    listed = frozenset(check_text("a user id", user) for user in _listed(users_name, users))
    if groups is not None and mapping_or_none(groups) is None:
        raise TypeError(f"{groups_name} must be lists of groups by group type, not {groups!r}")
    pairs: set[tuple[str, str]] = set()
    for kind, ids in (groups or {}).items():
        check_text("a group type", kind)
        pairs.update(
            (kind, check_text(f"one of the {kind!r} groups", one))
            for one in _listed(f"{groups_name}: the {kind!r} groups", ids)
        )
    return Segment(listed, frozenset(pairs))


def _listed(what: str, values: object) -> list[Any]:
    items = items_or_none(values)
    if items is None:
        raise TypeError(f"{what} must be a list, not {values!r}")
    return items


def build_filter(
    include: Groups | None,
    include_users: Iterable[str],
    exclude: Groups | None,
    exclude_users: Iterable[str],
) -> Filter:
    """Return a filter of everybody but the excluded; of the included alone where there are any."""
    included = build_segment(include_users, include, names=("include_users", "include"))
    return Filter(
        include_all=not (included.users or included.groups),
        include=included,
        exclude=build_segment(exclude_users, exclude, names=("exclude_users", "exclude")),
    )


def build_experiment(
    site: str,
    target: str | None,
    *,
    conditions: Weights | None,
    payloads: Payloads,
    name: str | None,
    context: str,
    unit: str,
    group_type: str | None,
    order: str | None,
    points: PointKeys,
    factors: Factors,
    state: str,
    adaptive: bool,
    filter: Filter,
    id: str | None,
    names: Iterable[str],
) -> Experiment:
    """Return a consistent experiment; ``names`` are the names already taken in its context."""
    what = "an experiment's" if name is None else f"experiment {name!r}:"
    optional = {"target": target, "name": name, "group_type": group_type, "id": id}
    present = {field: value for field, value in optional.items() if value is not None}
    for field, value in {"site": site, "context": context, **present}.items():
        check_text(f"{what} {field}", value)
    if name is None:
        name = _free_name(site if not target else f"{site}/{target}", set(names))
    elif name in names:
        raise ValueError(f"experiment {name!r}: name: context {context!r} has one already")
    experiment_id = stable_id(context, name) if id is None else id
    combinations = _level_combinations(name, factors)
    weights = _percentages(name, list(combinations) if conditions is None else conditions)
    for code in weights if factors else ():
        if code not in combinations:
            raise ValueError(
                f"experiment {name!r}: factors: {code!r} is not a combination of their levels, "
                f"such as {next(iter(combinations), None)!r}"
            )
    everywhere = _stored_payloads(name, payloads)
    own_payloads: Mapping[PointKey, Payloads] = mapping_or_none(points) or {}
    own_by_point: dict[PointKey, dict[str, Payload]] = {(site, target): everywhere}
    for key in points:
        own = own_payloads.get(key)
        if isinstance(key, str) or len(key) != 2:
            raise TypeError(f"experiment {name!r}: points: {key!r} is not (site, target)")
        if key in own_by_point:
            raise ValueError(f"experiment {name!r}: points: {key} occurs more than once")
        for part in key:
            if part is not None:
                check_text(f"experiment {name!r}: points: a site or target", part)
        own_by_point[key] = everywhere if own is None else _stored_payloads(name, own)
    if unit == WITHIN_SUBJECTS and order is None:
        order = RANDOM
    return check_experiment(
        Experiment(
            id=experiment_id,
            name=name,
            context=context,
            conditions=tuple(
                Condition(stable_id(experiment_id, code), code, weight, combinations.get(code, ()))
                for code, weight in weights.items()
            ),
            points=tuple(
                DecisionPoint(site, target, own) for (site, target), own in own_by_point.items()
            ),
            state=state,
            unit=unit,
            group_type=group_type,
            order=order,
            consistency=GROUP if unit == GROUP else INDIVIDUAL,
            factorial=bool(factors),
            adaptive=adaptive,
            reward_variable=f"{name}_REWARD_VARIABLE",
            filter=filter,
        )
    )


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name
