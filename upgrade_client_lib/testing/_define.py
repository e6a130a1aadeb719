"""From the pleasant arguments of ``LocalUpgrade.experiment`` and ``.flag`` to definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Optional, Union
from uuid import UUID, uuid5

from .._narrow import mapping_or_none
from ._checks import checked, text
from ._definitions import (
    GROUP,
    INDIVIDUAL,
    WITHIN_SUBJECTS,
    Condition,
    DecisionPoint,
    Experiment,
    Filter,
    Level,
    Members,
    Payload,
)
from ._draw import RANDOM

Weights = Union[Mapping[str, float], Sequence[str]]
"""Conditions: weights by condition code, or codes of equal weight."""

PayloadValue = Union[str, Payload, Mapping[str, Any], list[Any]]
"""A payload: a string, a ``Payload``, or what is to be sent as JSON."""

Payloads = Mapping[str, PayloadValue]
"""Payloads by condition code."""

Place = tuple[str, Optional[str]]
"""A decision point: its site and its target."""

Places = Union[Iterable[Place], Mapping[Place, Payloads]]
"""More decision points, with payloads of their own or without."""

Factors = Mapping[str, Union[Mapping[str, str], Sequence[str]]]
"""Factors: the payloads of its levels by level, or the levels alone."""

Groups = Mapping[str, Iterable[str]]
"""Group ids by group type."""

_NAMESPACE = UUID("6f1b3c52-5d0e-4f7c-9a43-0b8f6f0a7d11")


def stable_id(*names: str) -> str:
    """The same UUID for the same names, so that the same definitions draw the same."""
    return str(uuid5(_NAMESPACE, "\n".join(names)))


def percentages(name: str, conditions: Weights) -> dict[str, float]:
    """The weight of each condition in percent, in the order given."""
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
        text(f"experiment {name!r}: conditions: a code", code)
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


def stored_payloads(name: str, given: Payloads) -> dict[str, Payload]:
    """The payloads as the server stores them."""
    return {
        code: _payload(f"experiment {name!r}: payload of {code!r}", value)
        for code, value in given.items()
    }


def _payload(what: str, value: PayloadValue) -> Payload:
    if isinstance(value, Payload):
        text(what, value.value)
        return value
    if isinstance(value, str):
        return Payload("string", text(what, value))
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except TypeError:
        raise TypeError(f"{what}: {value!r} is neither a string nor JSON") from None
    except ValueError:
        raise ValueError(f"{what}: {value!r} is not JSON") from None
    return Payload("json", text(what, written))


def level_combinations(name: str, factors: Factors) -> dict[str, tuple[Level, ...]]:
    """Every condition code that the factors' levels make, such as ``color=red; shape=circle``."""
    levels = [_levels(f"experiment {name!r}: factors", *item) for item in factors.items()]
    return {
        "; ".join(f"{level.factor}={level.name}" for level in combination): combination
        for combination in product(*levels)
        if combination
    }


def _levels(where: str, factor: str, given: Mapping[str, str] | Sequence[str]) -> list[Level]:
    if isinstance(given, str):
        raise TypeError(f"{where}: {factor!r} must have a list of levels, not {given!r}")
    payloads = given if isinstance(given, Mapping) else dict.fromkeys(given, "")
    return [
        Level(
            text(f"{where}: a factor", factor),
            text(f"{where}: a level of {factor!r}", level),
            Payload("string", payload) if text(f"{where}: payload of {level!r}", payload) else None,
        )
        for level, payload in payloads.items()
    ]


def members(users: Iterable[str], groups: Groups | None) -> Members:
    """A list of users and groups."""
    if isinstance(users, str):
        raise TypeError(f"users must be a list of user ids, not the string {users!r}")
    listed = frozenset(text("a user id", user) for user in users)
    pairs: set[tuple[str, str]] = set()
    for kind, names in (groups or {}).items():
        if isinstance(names, str):
            raise TypeError(f"the {kind!r} groups must be a list, not the string {names!r}")
        pairs.update(
            (text("a group type", kind), text(f"one of the {kind!r} groups", name))
            for name in names
        )
    return Members(listed, frozenset(pairs))


def participants(
    include: Groups | None,
    include_users: Iterable[str],
    exclude: Groups | None,
    exclude_users: Iterable[str],
) -> Filter:
    """Everybody but the excluded; where anybody is included by name, nobody else."""
    included = members(include_users, include)
    return Filter(
        include_all=not (included.users or included.groups),
        include=included,
        exclude=members(exclude_users, exclude),
    )


def experiment(
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
    points: Places,
    factors: Factors,
    state: str,
    adaptive: bool,
    participants: Filter,
    id: str | None,
    names: Iterable[str],
) -> Experiment:
    """An experiment that adds up; ``names`` are the names that its context has already."""
    what = "an experiment's" if name is None else f"experiment {name!r}:"
    optional = {"target": target, "name": name, "group_type": group_type, "id": id}
    given = {field: value for field, value in optional.items() if value is not None}
    for field, value in {"site": site, "context": context, **given}.items():
        text(f"{what} {field}", value)
    if name is None:
        name = _free_name(site if not target else f"{site}/{target}", set(names))
    elif name in names:
        raise ValueError(f"experiment {name!r}: name: context {context!r} has one already")
    experiment_id = stable_id(context, name) if id is None else id
    combinations = level_combinations(name, factors)
    weights = percentages(name, list(combinations) if conditions is None else conditions)
    for code in weights if factors else ():
        if code not in combinations:
            raise ValueError(
                f"experiment {name!r}: factors: {code!r} is not a combination of their levels, "
                f"such as {next(iter(combinations), None)!r}"
            )
    everywhere = stored_payloads(name, payloads)
    own_payloads: Mapping[Place, Payloads] = mapping_or_none(points) or {}
    places: dict[Place, dict[str, Payload]] = {(site, target): everywhere}
    for place in points:
        own = own_payloads.get(place)
        if isinstance(place, str) or len(place) != 2:
            raise TypeError(f"experiment {name!r}: points: {place!r} is not (site, target)")
        if place in places:
            raise ValueError(f"experiment {name!r}: points: {place} occurs more than once")
        for part in place:
            if part is not None:
                text(f"experiment {name!r}: points: a site or target", part)
        places[place] = everywhere if own is None else stored_payloads(name, own)
    if unit == WITHIN_SUBJECTS and order is None:
        order = RANDOM
    return checked(
        Experiment(
            id=experiment_id,
            name=name,
            context=context,
            conditions=tuple(
                Condition(stable_id(experiment_id, code), code, weight, combinations.get(code, ()))
                for code, weight in weights.items()
            ),
            points=tuple(
                DecisionPoint(site, target, own) for (site, target), own in places.items()
            ),
            state=state,
            unit=unit,
            group_type=group_type,
            order=order,
            consistency=GROUP if unit == GROUP else INDIVIDUAL,
            factorial=bool(factors),
            adaptive=adaptive,
            reward_variable=f"{name}_REWARD_VARIABLE",
            filter=participants,
        )
    )


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name
