"""Which bodies each endpoint accepts. Any other is a 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ..._narrow import list_or_none, object_or_none

MARK_STATUSES = ("condition applied", "condition not applied", "no condition assigned")
REWARD_VALUES = ("SUCCESS", "FAILURE")

_Body = Mapping[str, Any]
_Check = Callable[[Any], bool]


def init(body: _Body, is_6_7: bool) -> bool:
    """Return whether init accepts the body: the one endpoint that allows no other keys."""
    return (
        set(body) <= {"group", "workingGroup"}
        and _optional(body, "group", _groups)
        and _optional(body, "workingGroup", _working_group)
    )


def groupmembership(body: _Body, is_6_7: bool) -> bool:
    return _optional(body, "group", _groups)


def workinggroup(body: _Body, is_6_7: bool) -> bool:
    return _working_group(body.get("workingGroup"))


def useraliases(body: _Body, is_6_7: bool) -> bool:
    return _list_of(_text, body.get("aliases"))


def assign(body: _Body, is_6_7: bool) -> bool:
    return _filled(body.get("context"))


def featureflag(body: _Body, is_6_7: bool) -> bool:
    groups, merged = body.get("groupsForSession"), body.get("includeStoredUserGroups")
    if not _filled(body.get("context")):
        return False
    if groups is None:
        return merged is None or ("groupsForSession" in body and isinstance(merged, bool))
    return _groups(groups) and isinstance(merged, bool)


def mark(body: _Body, is_6_7: bool) -> bool:
    several = list_or_none(body.get("data"))
    if several is not None:  # its elements are checked, if any, and then it has no site
        return all(mark({"data": item}, is_6_7) for item in several)
    data = object_or_none(body.get("data"))
    return (
        data is not None
        and _filled(data.get("site"))
        and (_text(data.get("target")) or (is_6_7 and data.get("target") is None))
        and _optional(data, "assignedCondition", _assigned_condition)
        and body.get("status") in (None, *MARK_STATUSES)
        and _optional(body, "uniquifier", _text)
        and _optional(body, "clientError", _text)
    )


def log(body: _Body, is_6_7: bool) -> bool:
    return _list_of(_log_entry, body.get("value"))


def reward(body: _Body, is_6_7: bool) -> bool:
    """Return whether reward accepts the body; it does not look at types."""
    by_point = body.get("context") and body.get("decisionPoint")
    return body.get("rewardValue") in REWARD_VALUES and bool(body.get("experimentId") or by_point)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _filled(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _optional(body: _Body, key: str, check: _Check) -> bool:
    value = body.get(key)
    return value is None or check(value)


def _list_of(check: _Check, value: Any) -> bool:
    items = list_or_none(value)
    return items is not None and all(map(check, items))


def _groups(value: Any) -> bool:
    groups = object_or_none(value)
    return groups is not None and all(
        _filled(group_type) and _list_of(_filled, names) for group_type, names in groups.items()
    )


def _working_group(value: Any) -> bool:
    groups = object_or_none(value)
    return groups is not None and all(
        _filled(group_type) and _filled(name) for group_type, name in groups.items()
    )


def _assigned_condition(value: Any) -> bool:
    if _list_of(_assigned_condition, value):  # accepted, then ignored
        return True
    condition = object_or_none(value)
    return condition is not None and all(
        _optional(condition, key, _text) for key in ("conditionCode", "experimentId", "id")
    )


def _log_entry(value: Any) -> bool:
    entry = object_or_none(value) or {}
    metrics = object_or_none(entry.get("metrics"))
    return (
        metrics is not None
        and _filled(entry.get("timestamp"))
        and _optional(metrics, "attributes", _attributes)
        and _optional(metrics, "groupedMetrics", lambda items: _list_of(_grouped_metric, items))
    )


def _grouped_metric(value: Any) -> bool:
    group = object_or_none(value) or {}
    return _attributes(group.get("attributes")) and all(
        _filled(group.get(key)) for key in ("groupClass", "groupKey", "groupUniquifier")
    )


def _attributes(value: Any) -> bool:
    attributes = object_or_none(value)
    return attributes is not None and all(
        _filled(name) and _metric_value(value) for name, value in attributes.items()
    )


def _metric_value(value: Any) -> bool:
    return _filled(value) or (isinstance(value, (int, float)) and not isinstance(value, bool))
