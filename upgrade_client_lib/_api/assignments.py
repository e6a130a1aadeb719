"""What a user is assigned: the items of a response, one for each decision point.

Items are indexed as they arrive and read when they are asked for, straight from the JSON: making
generated models of them takes longer than everything else. The wire's names of their fields come
from those models, in the order in which these write them.
"""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from upgrade_openapi.api.client import assign as assign_endpoint
from upgrade_openapi.models import (
    AssignedCondition,
    AssignedLevel,
    AssignRequest,
    DecisionPointAssignment,
    Payload as PayloadModel,
)

from .._http import PARSE_ERRORS, Operation
from .._narrow import list_or_none, object_or_none
from .._rules.queues import PointKey, PointState, position
from ..assignment import Assignment
from ..types import ExperimentType, Payload, PayloadType
from .identity import Identity
from .operation import read_operation
from .values import as_list, as_object, as_str, optional_str, warn_of_skipped

E = TypeVar("E")

Item = Mapping[str, Any]
"""What a response holds for one decision point."""

_SITE, _CONDITIONS, _TARGET, _EXPERIMENT_TYPE, _FACTORS = DecisionPointAssignment(
    site="", assigned_condition=[], target="", experiment_type="", assigned_factor=[]
).to_dict()
_CONDITION_ID, _CONDITION_CODE, _CONDITION_PAYLOAD, _EXPERIMENT_ID = AssignedCondition(
    id="", condition_code="", payload=None, experiment_id=""
).to_dict()
_LEVEL, _LEVEL_PAYLOAD = AssignedLevel(level="", payload=None).to_dict()
_PAYLOAD_VALUE, _PAYLOAD_TYPE = PayloadModel(value="", type_="").to_dict()

_EXPERIMENT_TYPES = {member.value: member for member in ExperimentType}
_PAYLOAD_TYPES = {member.value: member for member in PayloadType}


def assign(identity: Identity) -> Operation[dict[PointKey, Item]]:
    body = AssignRequest(identity.context)
    return read_operation(assign_endpoint._get_kwargs, identity, body, _index_items)


def _index_items(response: Any) -> dict[PointKey, Item]:
    """Index the items of a response by their decision point."""
    index: dict[PointKey, Item] = {}
    readable = 0
    for raw in as_list(response):
        item = object_or_none(raw)
        if item is None:
            continue
        site = item.get(_SITE)
        target = item.get(_TARGET) or ""
        queue = item.get(_CONDITIONS)
        if isinstance(site, str) and isinstance(target, str) and isinstance(queue, list) and queue:
            readable += 1
            point = site, target
            # Where a server has a null target and an empty one, the empty one can be marked.
            if index.setdefault(point, item) is not item and _has_null_target(index[point]):
                index[point] = item
    warn_of_skipped("assignments", len(response) - readable)
    return index


def read_assignment(
    identity: Identity, point: PointKey, item: Item, advanced_by: int
) -> Assignment:
    """Return the current condition of an item's queue after it was advanced so often."""
    site, target = point
    conditions = as_list(item[_CONDITIONS])
    current = position(advanced_by, len(conditions))
    condition = as_object(conditions[current])
    factors = _factors(item.get(_FACTORS), current)
    return Assignment(
        user_id=identity.user_id,
        context=identity.context,
        site=site,
        target=target,
        condition=_code(condition),
        condition_id=optional_str(condition.get(_CONDITION_ID)),
        experiment_id=optional_str(condition.get(_EXPERIMENT_ID)),
        experiment_type=_member_or_str(_EXPERIMENT_TYPES, item.get(_EXPERIMENT_TYPE)),
        payload=_payload(condition.get(_CONDITION_PAYLOAD)),
        factors=factors,
        has_queue=len(conditions) > 1,
        code_to_mark=_code_to_mark(condition, factors),
    )


def state_of(item: Item) -> PointState:
    """Return what an item says of its decision point, as far as a mark can change it."""
    is_queue = has_queue(item)
    return PointState(
        experiment_of(item),
        is_queue,
        _has_null_target(item),
        frozenset() if is_queue else _markable_names(item),
    )


def has_queue(item: Item) -> bool:
    """Whether marks advance an item's decision point."""
    return len(list_or_none(item[_CONDITIONS]) or ()) > 1


def experiment_of(item: Item) -> str | None:
    """Return the id of the experiment that assigns at an item's decision point."""
    for condition in _conditions(item):
        experiment_id = condition.get(_EXPERIMENT_ID)
        if isinstance(experiment_id, str):
            return experiment_id
    return None


def id_of_condition(item: Item, code: str) -> str | None:
    """Return the id that the queue has for a condition code, if it has that code."""
    for condition in _conditions(item):
        condition_id = condition.get(_CONDITION_ID)
        if _code_or_none(condition) == code and isinstance(condition_id, str):
            return condition_id
    return None


def _code(condition: Mapping[str, Any]) -> str | None:
    """Return a condition's code.

    In a factorial experiment with one factor whose level has a payload, a server gives that payload
    as the code.
    """
    code = condition.get(_CONDITION_CODE)
    payload = object_or_none(code)
    return optional_str(code) if payload is None else as_str(payload[_PAYLOAD_VALUE])


def _code_to_mark(
    condition: Mapping[str, Any], factors: Mapping[str, tuple[str, Payload | None]]
) -> str | None:
    """Return the code by which a mark names a condition; ``None`` where it is not known.

    A server knows no condition by the payload that it gave as the code: in such an experiment, a
    condition's own code is its factor and level.
    """
    if object_or_none(condition.get(_CONDITION_CODE)) is None:
        return _code(condition)
    return "; ".join(f"{factor}={level}" for factor, (level, _) in factors.items()) or None


def _code_or_none(condition: Mapping[str, Any]) -> str | None:
    try:
        return _code(condition)
    except PARSE_ERRORS:
        return None


def _markable_names(item: Item) -> frozenset[str]:
    """Return what a mark may call the conditions: their codes, and the values of payloads."""
    names: list[object] = []
    for current, condition in enumerate(_conditions(item)):
        payload = object_or_none(condition.get(_CONDITION_PAYLOAD)) or {}
        names += [_code_or_none(condition), payload.get(_PAYLOAD_VALUE)]
        with suppress(*PARSE_ERRORS):
            names.append(_code_to_mark(condition, _factors(item.get(_FACTORS), current)))
    return frozenset(name for name in names if isinstance(name, str))


def _has_null_target(item: Item) -> bool:
    return item.get(_TARGET) is None


def _conditions(item: Item) -> Iterator[dict[str, Any]]:
    """Yield the conditions of an item's queue, without what is no condition."""
    for raw in list_or_none(item[_CONDITIONS]) or ():
        condition = object_or_none(raw)
        if condition is not None:
            yield condition


def _factors(factors: Any, current: int) -> dict[str, tuple[str, Payload | None]]:
    if not factors:
        return {}
    # A list shorter than the queue says nothing of the conditions behind its end.
    of_condition = as_list(factors)[current : current + 1]
    return {
        name: (as_str(assigned[_LEVEL]), _payload(assigned.get(_LEVEL_PAYLOAD)))
        for levels in of_condition
        for name, level in as_object(levels).items()
        for assigned in [as_object(level)]
    }


def _payload(raw: Any) -> Payload | None:
    if raw is None:
        return None
    payload = as_object(raw)
    payload_type = _member_or_str(_PAYLOAD_TYPES, payload.get(_PAYLOAD_TYPE))
    return Payload(payload_type or PayloadType.STRING, as_str(payload[_PAYLOAD_VALUE]))


def _member_or_str(members: Mapping[str, E], value: Any) -> E | str | None:
    """Return the member of that value, an unknown value as text, ``None`` for no text."""
    return members.get(value, value) if isinstance(value, str) else None
