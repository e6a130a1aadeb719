"""Read definitions from what UpGrade's web page exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union, cast

import attrs

from ..._narrow import list_or_none, object_or_none
from .checks import check_experiment, check_text
from .model import (
    GROUP,
    INDIVIDUAL,
    Condition,
    DecisionPoint,
    Experiment,
    FeatureFlag,
    Filter,
    Level,
    Metric,
    Payload,
    Segment,
)

Export = Union[str, "PathLike[str]", Mapping[str, Any], list[Any]]
"""An export: its parsed JSON, or the path of the file, or a list of these."""

_ALGORITHMS = {"random": False, "ts_configurable": True}


def _items(export: Export, what: str) -> Iterator[_Item]:
    """Yield the experiments or flags of an export, which holds one or a list of them."""
    where = what
    parsed: Any = export
    if isinstance(export, (str, PathLike)):
        where = f"{what} of {Path(export)}"
        try:
            parsed = json.loads(Path(export).read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{where}: not JSON: {error}") from None
    several = list_or_none(parsed)
    for item in [parsed] if several is None else several:
        if isinstance(item, (str, PathLike)):
            yield from _items(cast("str | PathLike[str]", item), what)
            continue
        name = (object_or_none(item) or {}).get("name")
        yield _Item(item, f"{what} {name!r}" if name else where)


@attrs.frozen
class _Item:
    """A JSON object of an export, and its name in complaints."""

    value: Any
    name: str

    def get(self, field: str, type_: Any, default: Any = attrs.NOTHING) -> Any:
        """Return the field's value if it has this type; ``default`` where absent or null."""
        fields = object_or_none(self.value)
        if fields is None:
            raise ValueError(f"{self.name}: not a JSON object, so not what the web page exports")
        value = fields.get(field)
        if value is None and default is not attrs.NOTHING:
            return default
        if value is None or not isinstance(value, type_):
            raise ValueError(f"{self.name}: {field}: missing or malformed in this export")
        return check_text(f"{self.name}: {field}", value) if isinstance(value, str) else value

    def text(self, field: str, default: Any = attrs.NOTHING) -> str:
        return cast(str, self.get(field, str, default))

    def optional_text(self, field: str) -> str | None:
        return cast(Optional[str], self.get(field, str, None))

    def object(self, field: str) -> _Item:
        return _Item(self.get(field, dict), f"{self.name}: {field}")

    def objects(self, field: str, *, required: bool = False) -> list[_Item]:
        values = cast("list[Any]", self.get(field, list, attrs.NOTHING if required else []))
        return [_Item(value, f"{self.name}: {field}") for value in values]

    def in_order(self, field: str) -> list[_Item]:
        return sorted(
            self.objects(field, required=True), key=lambda item: item.get("order", (int, float), 0)
        )

    def contexts(self) -> tuple[str, ...]:
        contexts = self.get("context", (list, str))
        return tuple(str(name) for name in ([contexts] if isinstance(contexts, str) else contexts))

    def created(self) -> str:
        return self.text("createdAt", "")


def read_experiments(export: Export) -> list[Experiment]:
    """Return the export's experiments, in the order of their creation."""
    found = sorted(_items(export, "experiment"), key=_Item.created)
    return [check_experiment(_experiment(item)) for item in found]


def read_metrics(export: Export) -> list[Metric]:
    """Return the metrics that the export's experiments query."""
    found: dict[str, Metric] = {}
    for item in _items(export, "experiment"):
        for query in item.objects("queries"):
            metric = query.object("metric")
            allowed = metric.get("allowedData", list, None)
            found[metric.text("key")] = Metric(
                key=metric.text("key"),
                type=metric.text("type", "continuous"),
                allowed=None if allowed is None else tuple(str(value) for value in allowed),
                contexts=metric.contexts(),
            )
    return list(found.values())


def read_flags(export: Export) -> list[FeatureFlag]:
    """Return the export's feature flags, in the order of their creation."""
    return [
        FeatureFlag(
            id=item.text("id"),
            key=item.text("key"),
            context=_only_context(item),
            enabled=item.text("status") == "enabled",
            filter=_filter(item, "featureFlagSegmentInclusion", "featureFlagSegmentExclusion"),
        )
        for item in sorted(_items(export, "flag"), key=_Item.created)
    ]


def _experiment(item: _Item) -> Experiment:
    unit = item.text("assignmentUnit")
    algorithm = item.text("assignmentAlgorithm", "random")
    if algorithm not in _ALGORITHMS:
        raise ValueError(
            f"{item.name}: assignmentAlgorithm: {algorithm!r} cannot be run here, "
            f"only {' and '.join(_ALGORITHMS)}"
        )
    levels = _levels(item)
    codes = {
        condition.text("id"): condition.text("conditionCode")
        for condition in item.objects("conditions", required=True)
    }
    policy = _Item(item.get("moocletPolicyParameters", dict, {}), item.name)
    revert_to = item.optional_text("revertTo")
    return Experiment(
        id=item.text("id"),
        name=item.text("name"),
        context=_only_context(item),
        conditions=tuple(
            Condition(
                id=condition.text("id"),
                code=condition.text("conditionCode"),
                weight=float(condition.get("assignmentWeight", (int, float))),
                levels=_condition_levels(condition, levels),
            )
            for condition in item.in_order("conditions")
        ),
        points=tuple(
            DecisionPoint(
                site=point.text("site"),
                target=point.optional_text("target"),
                payloads=_payloads(item, point.text("id"), codes),
            )
            for point in item.in_order("partitions")
        ),
        state=item.text("state"),
        unit=unit,
        group_type=item.optional_text("group") if unit == GROUP else None,
        order=item.optional_text("conditionOrder"),
        consistency=item.text("consistencyRule", INDIVIDUAL),
        factorial=item.text("type", "Simple") == "Factorial",
        adaptive=_ALGORITHMS[algorithm],
        reward_variable=policy.text("outcome_variable_name", ""),
        filter=_filter(item, "experimentSegmentInclusion", "experimentSegmentExclusion"),
        post_experiment_rule=item.text("postExperimentRule", "continue"),
        revert_to=None if revert_to is None else codes.get(revert_to, revert_to),
    )


def _only_context(item: _Item) -> str:
    contexts = item.contexts()
    if len(contexts) != 1:
        raise ValueError(f"{item.name}: context: there must be exactly one, not {len(contexts)}")
    return contexts[0]


def _payload(item: _Item) -> Payload | None:
    payload = item.get("payload", dict, None)
    if payload is None:
        return None
    stored = _Item(payload, f"{item.name}: payload")
    return Payload(stored.text("type"), stored.text("value", ""))


def _payloads(item: _Item, point_id: str, codes: Mapping[str, str]) -> dict[str, Payload]:
    """Return the payloads at one decision point; one that names no point applies to each."""
    found: dict[str, Payload] = {}
    for entry in item.objects("conditionPayloads"):
        payload = _payload(entry)
        if payload is not None and entry.text("decisionPoint", point_id) == point_id:
            condition = entry.text("parentCondition")
            if condition not in codes:
                raise ValueError(f"{item.name}: conditionPayloads: no condition {condition!r}")
            found[codes[condition]] = payload
    return found


def _levels(item: _Item) -> dict[str, Level]:
    """Return every factor's levels by id, in the order of the factors."""
    return {
        level.text("id"): Level(factor.text("name"), level.text("name"), _payload(level))
        for factor in (item.in_order("factors") if item.objects("factors") else [])
        for level in factor.objects("levels", required=True)
    }


def _condition_levels(condition: _Item, levels: Mapping[str, Level]) -> tuple[Level, ...]:
    chosen: set[str] = set()
    for element in condition.objects("levelCombinationElements"):
        level_id = element.object("level").text("id")
        if level_id not in levels:
            raise ValueError(f"{condition.name}: no factor has the level {level_id!r}")
        chosen.add(level_id)
    return tuple(level for level_id, level in levels.items() if level_id in chosen)


def _filter(item: _Item, inclusion: str, exclusion: str) -> Filter:
    return Filter(
        include_all=item.text("filterMode", "includeAll") == "includeAll",
        include=_members(item.objects(inclusion)),
        exclude=_members(item.objects(exclusion)),
    )


def _members(lists: list[_Item]) -> Segment:
    segments = [entry.object("segment") for entry in lists if entry.get("enabled", bool, True)]
    users: set[str] = set()
    groups: set[tuple[str, str]] = set()
    for segment in segments:  # grows: a segment's own segments are appended
        users.update(user.text("userId") for user in segment.objects("individualForSegment"))
        groups.update(
            (group.text("type"), group.text("groupId"))
            for group in segment.objects("groupForSegment")
        )
        segments += segment.objects("subSegments")
    return Segment(frozenset(users), frozenset(groups))
