"""Logged metrics: values into rows, new or there already."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs

from .._definitions import METRIC_SEPARATOR
from .reasons import Reason, Refused
from .records import LoggedMetric
from .state import ServerState
from .store import LogRow, User
from .timestamps import read_timestamp


@attrs.frozen
class LogEntry:
    """Attributes that were logged together; ``path`` is their group's class and key, or empty."""

    timestamp: str
    uniquifier: str
    path: tuple[str, ...]
    attributes: dict[str, Any]

    def metric_keys(self) -> dict[str, str]:
        """Return the attributes' names by the keys of their metrics."""
        return {METRIC_SEPARATOR.join((*self.path, name)): name for name in self.attributes}


@attrs.frozen
class LogResult:
    """The rows that a log call wrote."""

    updated: tuple[LogRow, ...]
    added: tuple[LogRow, ...]


def log(state: ServerState, user: User, entries: Iterable[LogEntry]) -> LogResult:
    """Write the values of metrics that are queried.

    The entries of one call are compared with the rows there were before it, so that the same
    metric twice in a call makes two rows.
    """
    rows = state.store.log_rows.setdefault(user.id, [])
    before = tuple(rows)
    updated: dict[int, LogRow] = {}
    added: list[LogRow] = []
    records: list[LoggedMetric] = []
    for entry in entries:
        moment = read_timestamp(entry.timestamp)
        new: list[str] = []
        for key, name in entry.metric_keys().items():
            row = _find(before, entry.uniquifier, key)
            queried = key in state.catalogue.metrics
            in_time = moment is not None and (row is None or moment >= row.timestamp)
            if queried and row is None:
                new.append(key)
            elif queried and row and moment and in_time:
                _write(row, moment, entry, [name])
                updated[row.id] = row
            records.append(_record(user, entry, name, stored=queried and in_time))
        if new:
            rows.append(_new_row(state, moment, entry, new))
            added.append(rows[-1])
    state.store.logs += records
    return LogResult(tuple(updated.values()), tuple(added))


def _find(rows: tuple[LogRow, ...], uniquifier: str, key: str) -> LogRow | None:
    for row in rows:
        if row.uniquifier == uniquifier and key in row.keys:
            return row
    return None


def _new_row(
    state: ServerState, moment: datetime | None, entry: LogEntry, keys: list[str]
) -> LogRow:
    if moment is None:
        message = 'invalid input syntax for type timestamp: "0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN"'
        raise Refused(Reason.UNREADABLE_TIMESTAMP, message)
    state.store.last_log_id += 1
    row = LogRow(state.store.last_log_id, entry.uniquifier, moment, tuple(keys), {})
    names = entry.metric_keys()
    _write(row, moment, entry, [names[key] for key in keys])
    return row


def _write(row: LogRow, moment: datetime, entry: LogEntry, names: list[str]) -> None:
    values = {name: entry.attributes[name] for name in names}
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        raise Refused(Reason.METRIC_NUL_CHARACTER, "unsupported Unicode escape sequence")
    data: dict[str, Any] = row.data
    for step in entry.path:
        data = data.setdefault(step, {})
    data.update(values)
    row.timestamp = moment


def _record(user: User, entry: LogEntry, name: str, *, stored: bool) -> LoggedMetric:
    group_class, group_key = entry.path or (None, None)
    return LoggedMetric(
        user=user.id,
        metric=name,
        value=entry.attributes[name],
        timestamp=entry.timestamp,
        uniquifier=entry.uniquifier,
        group_class=group_class,
        group_key=group_key,
        stored=stored,
    )
