"""Logged metrics: values into rows, new or there already."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any

import attrs

from .._definitions import METRIC_SEPARATOR
from .reasons import Reason, Refused
from .records import LoggedMetric
from .state import ServerState
from .store import LogRow, User
from .strictness import require_known
from .timestamps import is_comparable, read_timestamp


@attrs.frozen
class LogGroup:
    """Attributes that were logged together; ``path`` is their group's class and key, or empty."""

    uniquifier: str
    path: tuple[str, ...]
    attributes: dict[str, Any]

    def metric_keys(self) -> dict[str, str]:
        """Return the attributes' names by the keys of their metrics."""
        return {METRIC_SEPARATOR.join((*self.path, name)): name for name in self.attributes}


@attrs.frozen
class LogEntry:
    """What was logged at one time."""

    timestamp: str
    groups: tuple[LogGroup, ...]


@attrs.frozen
class WrittenRow:
    """A row as one entry of a log call left it; ``added`` tells that it is new."""

    row: LogRow
    added: bool


def log(state: ServerState, user: User, entries: Iterable[LogEntry]) -> list[WrittenRow]:
    """Write the values of metrics that are queried; return the rows, entry by entry.

    Every entry of a call starts from the rows that there were before the call. So the same metric
    twice in a call makes two rows, and of two entries that update one row the last remains.
    """
    rows = state.store.log_rows.setdefault(user.id, [])
    before = tuple(rows)
    written: list[WrittenRow] = []
    records: list[LoggedMetric] = []
    for entry in entries:
        moment = read_timestamp(entry.timestamp)
        updated: dict[int, LogRow] = {}
        added: list[LogRow] = []
        for group in entry.groups:
            new: list[str] = []
            for key, name in group.metric_keys().items():
                require_known(state, "metric", key, state.catalogue.metrics)
                row = _find(before, user.id, group.uniquifier, key)
                queried = key in state.catalogue.metrics
                if queried:
                    _check_apostrophes(user.id, group.uniquifier, key)
                later = row is None or (
                    moment is not None
                    and is_comparable(entry.timestamp)
                    and moment >= row.timestamp
                )
                in_time = moment is not None and later
                if queried and row is None:
                    new.append(name)
                elif queried and row and moment and in_time:
                    copy = updated.setdefault(row.id, attrs.evolve(row, data=deepcopy(row.data)))
                    _write(copy, moment, group, [name])
                records.append(_record(user, entry, group, name, stored=queried and in_time))
            if new:
                added.append(_new_row(state, moment, group, new))
        written += [WrittenRow(row, added=False) for row in updated.values()]
        written += [WrittenRow(row, added=True) for row in added]
    by_id = {row.id: row for row in (*before, *(change.row for change in written))}
    rows[:] = by_id.values()
    state.store.logs += records
    return written


def _check_apostrophes(*texts: str) -> None:
    """Refuse what ends a string in the server's query, into which it puts these texts as they are.

    Two apostrophes stand for one there, so that the query finds nothing of such a text.
    """
    for text in texts:
        _, apostrophe, rest = text.replace("''", "").partition("'")
        if apostrophe:
            raise Refused(Reason.APOSTROPHE, f'syntax error at or near "{rest}"')


def _find(rows: tuple[LogRow, ...], user_id: str, uniquifier: str, key: str) -> LogRow | None:
    if any("'" in text for text in (user_id, uniquifier, key)):
        return None
    for row in rows:
        if row.uniquifier == uniquifier and key in row.keys:
            return row
    return None


def _new_row(
    state: ServerState, moment: datetime | None, group: LogGroup, names: list[str]
) -> LogRow:
    if moment is None:
        message = 'invalid input syntax for type timestamp: "0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN"'
        raise Refused(Reason.UNREADABLE_TIMESTAMP, message)
    state.store.last_log_id += 1
    keys = tuple(key for key, name in group.metric_keys().items() if name in names)
    row = LogRow(state.store.last_log_id, group.uniquifier, moment, keys, {})
    _write(row, moment, group, names)
    return row


def _write(row: LogRow, moment: datetime, group: LogGroup, names: list[str]) -> None:
    values = {name: group.attributes[name] for name in names}
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        raise Refused(Reason.NUL_CHARACTER_IN_QUERY, "unsupported Unicode escape sequence")
    data: dict[str, Any] = row.data
    for step in group.path:
        data = data.setdefault(step, {})
    data.update(values)
    row.timestamp = moment


def _record(
    user: User, entry: LogEntry, group: LogGroup, name: str, *, stored: bool
) -> LoggedMetric:
    group_class, group_key = group.path or (None, None)
    return LoggedMetric(
        user=user.id,
        metric=name,
        value=group.attributes[name],
        timestamp=entry.timestamp,
        uniquifier=group.uniquifier,
        group_class=group_class,
        group_key=group_key,
        stored=stored,
    )
