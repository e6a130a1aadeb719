"""The log endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..._engine import LogEntry, LogRow, ServerState, log as engine_log, write_timestamp
from ..requests import Call

_UNGROUPED = "1"  # the uniquifier of what is not grouped


def log(state: ServerState, call: Call) -> object:
    """Return the rows that were updated, then those that are new."""
    result = engine_log(state, call.user, _entries(call.body["value"]))
    updated = [_updated_row(call, row) for row in result.updated]
    return updated + [_new_row(state, call, row) for row in result.added]


def _entries(value: list[dict[str, Any]]) -> Iterator[LogEntry]:
    for item in value:
        timestamp, metrics = item["timestamp"], item["metrics"]
        if metrics.get("attributes"):
            yield LogEntry(timestamp, _UNGROUPED, (), metrics["attributes"])
        for grouped in metrics.get("groupedMetrics") or ():
            path = (grouped["groupClass"], grouped["groupKey"])
            yield LogEntry(timestamp, grouped["groupUniquifier"], path, grouped["attributes"])


def _updated_row(call: Call, row: LogRow) -> object:
    return {
        "id": row.id,
        "uniquifier": row.uniquifier,
        "timeStamp": write_timestamp(row.timestamp),
        "data": row.data,
        "userId": call.user.id,
    }


def _new_row(state: ServerState, call: Call, row: LogRow) -> object:
    user = call.user
    return {
        "timeStamp": write_timestamp(row.timestamp),
        "uniquifier": row.uniquifier,
        "data": row.data,
        "metrics": [_metric(state, key) for key in row.keys],
        "user": {
            "createdAt": user.created,
            "updatedAt": user.updated,
            "versionNumber": user.version,
            "id": user.id,
            "group": user.group,
            "workingGroup": user.working_group,
            "requestedUserId": call.user_id,
        },
        "id": row.id,
    }


def _metric(state: ServerState, key: str) -> object:
    metric = state.catalogue.metrics[key]
    return {
        "createdAt": state.started,
        "updatedAt": state.started,
        "versionNumber": 1,
        "key": metric.key,
        "type": metric.type,
        "allowedData": None if metric.allowed is None else list(metric.allowed),
        "context": list(metric.contexts),
    }
