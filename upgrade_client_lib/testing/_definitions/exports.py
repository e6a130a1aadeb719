"""Read definitions from what UpGrade's web page exports."""

from __future__ import annotations

from collections.abc import Mapping

from .checks import check_experiment
from .export_items import Export, Item, read_items
from .export_segments import SegmentReader
from .model import (
    GROUP,
    INDIVIDUAL,
    WITHIN_SUBJECTS,
    Condition,
    DecisionPoint,
    Experiment,
    FeatureFlag,
    Filter,
    Level,
    Metric,
    Payload,
)

_ALGORITHMS = {"random": False, "ts_configurable": True}


def read_experiments(export: Export, segments: SegmentReader) -> list[Experiment]:
    """Return the export's experiments, in the order of their creation."""
    found = sorted(read_items(export, "experiment"), key=Item.created)
    return [check_experiment(_experiment(item, segments)) for item in found]


def read_metrics(export: Export) -> list[Metric]:
    """Return the metrics that the export's experiments query."""
    found: dict[str, Metric] = {}
    for item in read_items(export, "experiment"):
        for query in item.objects("queries"):
            metric = query.object("metric")
            has_allowed = metric.get("allowedData", list, None) is not None
            found[metric.text("key")] = Metric(
                key=metric.text("key"),
                type=metric.text("type", "continuous"),
                allowed=metric.texts("allowedData") if has_allowed else None,
                contexts=metric.contexts(),
            )
    return list(found.values())


def read_flags(export: Export, segments: SegmentReader) -> list[FeatureFlag]:
    """Return the export's feature flags, in the order of their creation."""
    return [
        FeatureFlag(
            id=item.text("id"),
            key=item.text("key"),
            context=_only_context(item),
            enabled=item.text("status") == "enabled",
            filter=_filter(item, segments, "featureFlagSegment"),
        )
        for item in sorted(read_items(export, "flag"), key=Item.created)
    ]


def _experiment(item: Item, segments: SegmentReader) -> Experiment:
    unit = item.text("assignmentUnit")
    algorithm = item.text("assignmentAlgorithm", "random")
    if algorithm not in _ALGORITHMS:
        raise ValueError(
            f"{item.place}: assignmentAlgorithm: {algorithm!r} cannot be run here, "
            f"only {' and '.join(_ALGORITHMS)}"
        )
    levels = _levels(item)
    codes = {
        condition.text("id"): condition.text("conditionCode")
        for condition in item.objects("conditions", required=True)
    }
    policy = Item(item.get("moocletPolicyParameters", dict, {}), item.place)
    rule = item.text("postExperimentRule", "continue")
    revert_to = item.optional_text("revertTo")
    if rule == "continue" and revert_to not in codes:
        revert_to = None  # the server keeps what it was once sent, and never looks at it
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
        # What is left of another unit, the server keeps and never looks at.
        order=item.optional_text("conditionOrder") if unit == WITHIN_SUBJECTS else None,
        consistency=item.text("consistencyRule", INDIVIDUAL),
        factorial=item.text("type", "Simple") == "Factorial",
        adaptive=_ALGORITHMS[algorithm],
        reward_variable=policy.text("outcome_variable_name", ""),
        filter=_filter(item, segments, "experimentSegment"),
        post_experiment_rule=rule,
        revert_to=None if revert_to is None else codes.get(revert_to, revert_to),
    )


def _only_context(item: Item) -> str:
    contexts = item.contexts()
    if len(contexts) != 1:
        raise ValueError(f"{item.place}: context: there must be exactly one, not {len(contexts)}")
    return contexts[0]


def _payload(item: Item) -> Payload | None:
    payload = item.get("payload", dict, None)
    if payload is None:
        return None
    stored = Item(payload, f"{item.place}: payload")
    return Payload(stored.text("type"), stored.text("value", ""))


def _payloads(item: Item, point_id: str, codes: Mapping[str, str]) -> dict[str, Payload]:
    """Return the payloads at one decision point; one that names no point applies to each."""
    found: dict[str, Payload] = {}
    for entry in item.objects("conditionPayloads"):
        payload = _payload(entry)
        if payload is not None and entry.text("decisionPoint", point_id) == point_id:
            condition = entry.text("parentCondition")
            if condition not in codes:
                raise ValueError(f"{item.place}: conditionPayloads: no condition {condition!r}")
            found[codes[condition]] = payload
    return found


def _levels(item: Item) -> dict[str, Level]:
    """Return every factor's levels by id, in the order of the factors."""
    return {
        level.text("id"): Level(factor.text("name"), level.text("name"), _payload(level))
        for factor in (item.in_order("factors") if item.objects("factors") else [])
        for level in factor.objects("levels", required=True)
    }


def _condition_levels(condition: Item, levels: Mapping[str, Level]) -> tuple[Level, ...]:
    chosen: set[str] = set()
    for element in condition.objects("levelCombinationElements"):
        level_id = element.object("level").text("id")
        if level_id not in levels:
            raise ValueError(f"{condition.place}: no factor has the level {level_id!r}")
        chosen.add(level_id)
    return tuple(level for level_id, level in levels.items() if level_id in chosen)


def _filter(item: Item, segments: SegmentReader, lists: str) -> Filter:
    return Filter(
        include_all=item.text("filterMode", "includeAll") == "includeAll",
        include=segments.members(item.objects(f"{lists}Inclusion")),
        exclude=segments.members(item.objects(f"{lists}Exclusion")),
    )
