"""Reading the server's answers, with distrust: one bad item never spoils the rest.

Each reader raises ``TypeError``, ``ValueError`` or ``KeyError`` where an answer as a whole cannot
be read. Items of a list that cannot be read are left out, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from upgrade_openapi import models
from upgrade_openapi.types import Unset

from ._narrow import list_or_none, object_or_none
from .assignment import Assignment, Marker
from .types import (
    ExperimentType,
    ExperimentUser,
    FeatureFlag,
    LogRecord,
    MarkedDecisionPoint,
    Payload,
    PayloadType,
    Reward,
    RewardResponse,
    UserAliases,
)

Point = tuple[str, str]
"""A decision point: its site, and its target or ``""``."""

Unreadable = (TypeError, ValueError, KeyError)
"""What a reader raises."""

USER_NOT_DEFINED: str = models.ErrorType.EXPERIMENT_USER_NOT_DEFINED.value
"""The type of the error for a user who was never initialised."""

_logger = logging.getLogger("upgrade_client_lib")

# Assignments are indexed as they arrive and read when they are asked for, straight from the JSON:
# making generated models of them takes longer than all else. The wire's names of their fields
# come from those models, in the order in which these write them.
_SITE, _CONDITIONS, _TARGET, _EXPERIMENT_TYPE, _FACTORS = models.DecisionPointAssignment(
    site="", assigned_condition=[], target="", experiment_type="", assigned_factor=[]
).to_dict()
_CONDITION_ID, _CONDITION_CODE, _CONDITION_PAYLOAD, _EXPERIMENT_ID = models.AssignedCondition(
    id="", condition_code="", payload=None, experiment_id=""
).to_dict()
_LEVEL, _LEVEL_PAYLOAD = models.AssignedLevel(level="", payload=None).to_dict()
_PAYLOAD_VALUE, _PAYLOAD_TYPE = models.Payload(value="", type_="").to_dict()


def read_user(answer: Any) -> ExperimentUser:
    user = models.ExperimentUser.from_dict(_object(answer))
    return ExperimentUser(_text(user.id), _group(user.group), _working_group(user.working_group))


def read_aliases(answer: Any) -> UserAliases:
    aliases = models.UserAliases.from_dict(_object(answer))
    return UserAliases(_text(aliases.user_id), [_text(alias) for alias in _list(aliases.aliases)])


def read_mark(answer: Any) -> MarkedDecisionPoint:
    mark = models.MarkedDecisionPoint.from_dict(_object(answer))
    return MarkedDecisionPoint(
        id=_text(mark.id),
        userId=_text(mark.user_id),
        site=_text(mark.site),
        target=_text_or_none(mark.target),
        experimentId=_text_or_none(mark.experiment_id),
        condition=_text_or_none(mark.condition),
    )


def read_flags(answer: Any) -> dict[str, FeatureFlag]:
    keys = [key for key in _list(answer) if isinstance(key, str)]
    _warn_of_skipped("feature flags", len(answer) - len(keys))
    return {key: FeatureFlag(key) for key in keys}


def read_log(answer: Any) -> list[LogRecord]:
    records: list[LogRecord] = []
    for item in _list(answer):
        try:
            records.append(_read_record(item))
        except Unreadable:
            continue
    _warn_of_skipped("log records", len(answer) - len(records))
    return records


def read_reward(answer: Any) -> RewardResponse:
    given = {key: value for key, value in _object(answer).items() if value is not None}
    response = models.RewardAnswer.from_dict(given)
    reward = response.reward
    return RewardResponse(
        _text(response.message),
        object_or_none(response.request),
        None
        if isinstance(reward, Unset)
        else Reward(
            _text_if_text(reward.variable),
            _number_or_none(reward.value),
            _number_or_none(reward.mooclet),
            _number_or_none(reward.version),
            _text_if_text(reward.learner),
        ),
    )


def read_error(answer: Any) -> tuple[str | None, str | None]:
    """Give the message and the type of an error answer, as far as it has them."""
    try:
        error = models.Error.from_dict(_object(answer))
    except Unreadable:
        return None, None
    return _text_if_text(error.message) or None, _text_if_text(error.type_)


def read_assignments(answer: Any) -> dict[Point, Any]:
    """Index the items of an assign answer, still raw, by their decision point."""
    index: dict[Point, Any] = {}
    readable = 0
    items: list[dict[str, Any]] = [item for item in _list(answer) if isinstance(item, dict)]
    for item in items:
        site = item.get(_SITE)
        target = item.get(_TARGET) or ""
        queue = item.get(_CONDITIONS)
        if isinstance(site, str) and isinstance(target, str) and isinstance(queue, list) and queue:
            readable += 1
            point = site, target
            # Where a server has a null target and an empty one, the empty one can be marked.
            if point not in index or has_null_target(index[point]):
                index[point] = item
    _warn_of_skipped("assignments", len(answer) - readable)
    return index


def queue_length(item: Any) -> int:
    return len(list_or_none(item[_CONDITIONS]) or ())


def has_null_target(item: Any) -> bool:
    return item.get(_TARGET) is None


def experiment_of(item: Any) -> str | None:
    """Give the experiment that assigns at an item's decision point."""
    for condition in _conditions(item):
        experiment_id = condition.get(_EXPERIMENT_ID)
        if isinstance(experiment_id, str):
            return experiment_id
    return None


def read_head(point: Point, item: Any, turns: int, marker: Marker) -> Assignment:
    """Read the head of an item's queue after it turned ``turns`` times."""
    site, target = point
    conditions = _list(item[_CONDITIONS])
    position = turns % len(conditions)
    condition = _object(conditions[position])
    return Assignment(
        site=site,
        target=target,
        condition=_text_or_none(condition.get(_CONDITION_CODE)),
        condition_id=_text_or_none(condition.get(_CONDITION_ID)),
        experiment_id=_text_or_none(condition.get(_EXPERIMENT_ID)),
        experiment_type=_member_or_text(ExperimentType, item.get(_EXPERIMENT_TYPE)),
        payload=_payload(condition.get(_CONDITION_PAYLOAD)),
        factors=_factors(item.get(_FACTORS), position),
        marker=marker,
    )


def id_of_condition(item: Any, code: str) -> str | None:
    """Give the id that the queue has for a condition code, if it has that code."""
    for condition in _conditions(item):
        condition_id = condition.get(_CONDITION_ID)
        if condition.get(_CONDITION_CODE) == code and isinstance(condition_id, str):
            return condition_id
    return None


def names_of_conditions(item: Any) -> set[str]:
    """Give what a mark may call the conditions of a queue: their codes, and payloads' values."""
    names: set[str] = set()
    for condition in _conditions(item):
        payload = object_or_none(condition.get(_CONDITION_PAYLOAD)) or {}
        for name in (condition.get(_CONDITION_CODE), payload.get(_PAYLOAD_VALUE)):
            if isinstance(name, str):
                names.add(name)
    return names


def _conditions(item: Any) -> Iterator[dict[str, Any]]:
    """Give the conditions of an item's queue, as far as they are conditions."""
    for raw in list_or_none(item[_CONDITIONS]) or ():
        known = object_or_none(raw)
        if known is not None:
            yield known


def _group(group: Any) -> dict[str, list[str]] | None:
    if not isinstance(group, models.GroupMembership):
        return None
    listed = {kind: list_or_none(ids) for kind, ids in group.additional_properties.items()}
    return {
        kind: ids
        for kind, ids in listed.items()
        if ids is not None and all(isinstance(one, str) for one in ids)
    }


def _working_group(group: Any) -> dict[str, str] | None:
    if not isinstance(group, models.WorkingGroup):
        return None
    given: dict[str, Any] = group.additional_properties
    return {kind: one for kind, one in given.items() if isinstance(one, str)}


def _factors(factors: Any, position: int) -> dict[str, tuple[str, Payload | None]]:
    if not factors:
        return {}
    # A list shorter than the queue says nothing of the conditions behind its end.
    here = _list(factors)[position : position + 1]
    return {
        name: (_text(assigned[_LEVEL]), _payload(assigned.get(_LEVEL_PAYLOAD)))
        for levels in here
        for name, level in _object(levels).items()
        for assigned in [_object(level)]
    }


def _payload(payload: Any) -> Payload | None:
    if payload is None:
        return None
    known = _object(payload)
    kind = _member_or_text(PayloadType, known.get(_PAYLOAD_TYPE))
    return Payload(kind or PayloadType.STRING, _text(known[_PAYLOAD_VALUE]))


def _read_record(item: Any) -> LogRecord:
    record = models.LogRecord.from_dict(_object(item))
    user_id = record.user_id
    user = object_or_none(record.user)
    if isinstance(user_id, Unset) and user is not None:
        user_id = models.ExperimentUser.from_dict(user).id
    data = object_or_none(record.data)
    if data is None:
        raise TypeError("a log record without data")
    metrics = list_or_none(record.metrics)
    return LogRecord(
        id=_number_or_none(record.id),
        userId=_text_or_none(user_id),
        uniquifier=_text_or_none(record.uniquifier),
        timeStamp=_moment(record.time_stamp),
        data=data,
        metrics=None
        if metrics is None
        else [metric for metric in metrics if object_or_none(metric) is not None],
    )


def _moment(text: Any) -> datetime | None:
    from dateutil.parser import isoparse  # its import takes longer than most calls

    try:
        moment = isoparse(text)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None or isinstance(value, Unset) else _text(value)


def _text_if_text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) else None  # of generated enums, the value


def _number_or_none(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any]:
    known = object_or_none(value)
    if known is None:
        raise TypeError(f"{type(value).__name__} where an object belongs")
    return known


def _list(value: Any) -> list[Any]:
    known = list_or_none(value)
    if known is None:
        raise TypeError(f"{type(value).__name__} where a list belongs")
    return known


def _member_or_text(enum: Any, value: Any) -> Any:
    """Give the member of that value, the text of an unknown one, or ``None`` for no value."""
    if not isinstance(value, str):
        return None
    try:
        return enum(value)
    except ValueError:
        return str(value)


def _warn_of_skipped(what: str, count: int) -> None:
    if count:
        _logger.warning(
            "left out %d of the %s that the server answered: they cannot be read", count, what
        )
