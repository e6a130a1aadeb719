"""Metrics that are logged, and the rows that the server made of them."""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from upgrade_openapi.api.client import log as log_endpoint
from upgrade_openapi.models import (
    ExperimentUser,
    GroupMembership as GroupMembership,  # a user's, whom a row names
    LogAttributes,
    LogEntry,
    LogGroupMetrics,
    LogMetrics,
    LogRecord as RecordModel,
    LogRequest,
    WorkingGroup as WorkingGroup,
)
from upgrade_openapi.types import Unset

from .._http import PARSE_ERRORS, Operation
from .._narrow import list_or_none, object_or_none
from ..types import LogInput, LogRecord
from .identity import Identity
from .operation import operation
from .values import as_list, as_object, number_or_str_or_none, optional_str, warn_of_skipped

_ENDING_IN_Z = re.compile("[Zz]$")


def log(identity: Identity, entries: Sequence[LogInput]) -> Operation[list[LogRecord]]:
    body = LogRequest([_log_entry(entry) for entry in entries])
    return operation(log_endpoint._get_kwargs, identity, body, _read_log, idempotent=True)


def _log_entry(entry: LogInput) -> LogEntry:
    timestamp = entry.timestamp
    assert isinstance(timestamp, str)
    return LogEntry(
        timestamp=timestamp,
        metrics=LogMetrics(
            attributes=LogAttributes.from_dict(entry.metrics.attributes),
            grouped_metrics=[
                LogGroupMetrics(
                    group_class=group.groupClass,
                    group_key=group.groupKey,
                    group_uniquifier=group.groupUniquifier,
                    attributes=LogAttributes.from_dict(group.attributes),
                )
                for group in entry.metrics.groupedMetrics
            ],
        ),
    )


def _read_log(response: Any) -> list[LogRecord]:
    records: list[LogRecord] = []
    for item in as_list(response):
        try:
            records.append(_read_record(item))
        except PARSE_ERRORS:
            continue
    warn_of_skipped("log records", len(response) - len(records))
    return records


def _read_record(item: Any) -> LogRecord:
    record = RecordModel.from_dict(as_object(item))
    user_id = record.user_id
    user = object_or_none(record.user)
    if isinstance(user_id, Unset) and user is not None:
        user_id = ExperimentUser.from_dict(user).id
    data = object_or_none(record.data)
    if data is None:
        raise TypeError("a log record without data")
    metrics = list_or_none(record.metrics)
    return LogRecord(
        id=number_or_str_or_none(record.id),
        userId=optional_str(user_id),
        uniquifier=optional_str(record.uniquifier),
        timeStamp=_parse_time(record.time_stamp),
        data=data,
        metrics=None
        if metrics is None
        else [metric for metric in metrics if object_or_none(metric) is not None],
    )


def _parse_time(text: Any) -> datetime | None:
    try:
        # Before Python 3.11, datetime does not know the Z with which servers end a time.
        moment = datetime.fromisoformat(_ENDING_IN_Z.sub("+00:00", text))
        if moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None
