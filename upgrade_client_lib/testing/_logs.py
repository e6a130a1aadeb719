"""The log endpoint: values of metrics into rows, new or there already."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs

from ._call import Call, World
from ._definitions import METRIC_SEPARATOR
from ._errors import QUERY_FAILED, Refusal
from ._records import LoggedMetric
from ._store import LogRow
from ._timestamps import read_timestamp, write_timestamp

_UNGROUPED = "1"  # the uniquifier of what is not grouped


@attrs.frozen
class _Entry:
    """Attributes that were logged together, of one group or of none."""

    timestamp: str
    uniquifier: str
    path: tuple[str, ...]  # the group's class and key
    attributes: dict[str, Any]

    def keys(self) -> dict[str, str]:
        """Each attribute by the key of its metric."""
        return {METRIC_SEPARATOR.join((*self.path, name)): name for name in self.attributes}


def log(world: World, call: Call) -> object:
    """Writes what is queried; answers the rows that were updated, then those that are new.

    What one request holds is compared with the rows there were before it, so that the same
    metric twice in a request makes two rows.
    """
    rows = world.store.log_rows.setdefault(call.user.id, [])
    before = tuple(rows)
    updated: dict[int, LogRow] = {}
    added: list[object] = []
    records: list[LoggedMetric] = []
    for entry in _entries(call.body["value"]):
        moment = read_timestamp(entry.timestamp)
        new: list[str] = []
        for key, name in entry.keys().items():
            row = _row(before, entry.uniquifier, key)
            queried = key in world.catalogue.metrics
            in_time = moment is not None and (row is None or moment >= row.timestamp)
            if queried and row is None:
                new.append(key)
            elif queried and row and moment and in_time:
                _write(row, moment, entry, [name])
                updated[row.id] = row
            records.append(_record(call, entry, name, stored=queried and in_time))
        if new:
            rows.append(_new_row(world, moment, entry, new))
            added.append(_shown_new(world, call, rows[-1]))
    world.store.logs += records
    return [_shown_updated(call, row) for row in updated.values()] + added


def _entries(value: list[dict[str, Any]]) -> Iterator[_Entry]:
    for item in value:
        metrics = item["metrics"]
        if metrics.get("attributes"):
            yield _Entry(item["timestamp"], _UNGROUPED, (), metrics["attributes"])
        for grouped in metrics.get("groupedMetrics") or ():
            path = (grouped["groupClass"], grouped["groupKey"])
            yield _Entry(item["timestamp"], grouped["groupUniquifier"], path, grouped["attributes"])


def _row(rows: tuple[LogRow, ...], uniquifier: str, key: str) -> LogRow | None:
    for row in rows:
        if row.uniquifier == uniquifier and key in row.keys:
            return row
    return None


def _new_row(world: World, moment: datetime | None, entry: _Entry, keys: list[str]) -> LogRow:
    if moment is None:
        message = 'invalid input syntax for type timestamp: "0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN"'
        raise Refusal(500, message, name="QueryFailedError")
    world.store.last_log_id += 1
    row = LogRow(world.store.last_log_id, entry.uniquifier, moment, tuple(keys), {})
    names = entry.keys()
    _write(row, moment, entry, [names[key] for key in keys])
    return row


def _write(row: LogRow, moment: datetime, entry: _Entry, names: list[str]) -> None:
    if any("\0" in entry.attributes[name] for name in names if _is_text(entry, name)):
        message = "unsupported Unicode escape sequence"
        raise Refusal(500, message, QUERY_FAILED, "QueryFailedError")
    data: dict[str, Any] = row.data
    for step in entry.path:
        data = data.setdefault(step, {})
    data.update((name, entry.attributes[name]) for name in names)
    row.timestamp = moment


def _is_text(entry: _Entry, name: str) -> bool:
    return isinstance(entry.attributes[name], str)


def _record(call: Call, entry: _Entry, name: str, *, stored: bool) -> LoggedMetric:
    group_class, group_key = entry.path or (None, None)
    return LoggedMetric(
        user=call.user.id,
        metric=name,
        value=entry.attributes[name],
        timestamp=entry.timestamp,
        uniquifier=entry.uniquifier,
        group_class=group_class,
        group_key=group_key,
        stored=stored,
    )


def _shown_updated(call: Call, row: LogRow) -> object:
    return {
        "id": row.id,
        "uniquifier": row.uniquifier,
        "timeStamp": write_timestamp(row.timestamp),
        "data": row.data,
        "userId": call.user.id,
    }


def _shown_new(world: World, call: Call, row: LogRow) -> object:
    user = call.user
    return {
        "timeStamp": write_timestamp(row.timestamp),
        "uniquifier": row.uniquifier,
        "data": row.data,
        "metrics": [_shown_metric(world, key) for key in row.keys],
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


def _shown_metric(world: World, key: str) -> object:
    metric = world.catalogue.metrics[key]
    return {
        "createdAt": world.started,
        "updatedAt": world.started,
        "versionNumber": 1,
        "key": metric.key,
        "type": metric.type,
        "allowedData": None if metric.allowed is None else list(metric.allowed),
        "context": list(metric.contexts),
    }
