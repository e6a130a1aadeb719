"""Log entries of a caller, validated and normalised before they are sent.

The server refuses a whole request for one bad value without saying which, and drops others in
silence; so everything is checked here, and the error names the entry and the key.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from numbers import Integral, Real
from operator import index
from typing import Any, TypeVar

import attrs

from .._narrow import items_or_none, mapping_or_none
from ..types import LogGroupMetrics, LogInput, LogMetrics, MetricValue
from . import arguments

T = TypeVar("T")

# ISO 8601 as the server reads it, which does not know all of its forms.
_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_ISO_8601 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    rf"([T ]{_TIME}(:[0-5]\d(\.\d+)?)?([Zz]|[+-]{_TIME.replace(':', ':?')})?)?",
    re.ASCII,
)


def validate_entries(metrics: object) -> list[LogInput]:
    """Check log entries, or mappings of the same shape, and put their times in UTC."""
    entries = items_or_none(metrics)
    if entries is None:
        raise TypeError(f"metrics must be a list of LogInput, not {type(metrics).__name__}")
    return [_valid_entry(f"metrics[{i}]", entry) for i, entry in enumerate(entries)]


def _valid_entry(where: str, entry: object) -> LogInput:
    log_input = _as(LogInput, where, entry)
    return LogInput(
        _valid_timestamp(f"{where}.timestamp", log_input.timestamp),
        _valid_metrics(f"{where}.metrics", log_input.metrics),
    )


def _valid_metrics(where: str, metrics: object) -> LogMetrics:
    log_metrics = _as(LogMetrics, where, metrics)
    groups = items_or_none(log_metrics.groupedMetrics)
    if groups is None:
        raise ValueError(
            f"{where}.groupedMetrics must be a list, not {log_metrics.groupedMetrics!r}"
        )
    return LogMetrics(
        _valid_attributes(f"{where}.attributes", log_metrics.attributes),
        [_valid_group(f"{where}.groupedMetrics[{i}]", item) for i, item in enumerate(groups)],
    )


def _valid_group(where: str, group: object) -> LogGroupMetrics:
    group_metrics = _as(LogGroupMetrics, where, group)
    return LogGroupMetrics(
        _valid_text(f"{where}.groupClass", group_metrics.groupClass),
        _valid_text(f"{where}.groupKey", group_metrics.groupKey),
        _valid_text(f"{where}.groupUniquifier", group_metrics.groupUniquifier),
        _valid_attributes(f"{where}.attributes", group_metrics.attributes),
    )


def _valid_attributes(where: str, attributes: object) -> dict[str, MetricValue]:
    mapping = mapping_or_none(attributes)
    if mapping is None:
        raise ValueError(f"{where} must map names to values, not {attributes!r}")
    return {
        _valid_text(f"a name in {where}", key): _valid_value(f"{where}[{key!r}]", value)
        for key, value in mapping.items()
    }


def _valid_value(where: str, value: object) -> MetricValue:
    if isinstance(value, str):
        return _valid_text(where, value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{where} must be a text or a number, not {value!r}")
    try:
        number = int(index(value)) if isinstance(value, Integral) else float(value)
    except TypeError:  # numpy counts a timedelta64 among the whole numbers
        raise ValueError(f"{where} must be a text or a number, not {value!r}") from None
    except OverflowError:
        number = math.inf
    if not _is_finite(number):
        raise ValueError(f"{where} must be a finite number, of 1.8e308 at the most")
    return number


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no JavaScript number holds
        return False


def _valid_text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a text, not {value!r}")
    return arguments.storable(where, arguments.nonempty(where, value))


def _valid_timestamp(where: str, value: object) -> str:
    if isinstance(value, datetime):
        try:
            in_utc = _plain(value).astimezone(timezone.utc)  # which takes a naive one as local time
        except (OverflowError, OSError, TypeError, ValueError):
            raise ValueError(f"{where} is out of range, or no time at all: {value!r}") from None
        return in_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stamp = _valid_text(where, value)
    if not _ISO_8601.fullmatch(stamp):
        raise ValueError(
            f"{where} must be a time in ISO 8601, such as '2026-11-20T08:00:00Z', not {stamp!r}"
        )
    return stamp


def _plain(value: datetime) -> datetime:
    """Return a ``datetime`` for a value of a subclass, which may convert in a way of its own."""
    return datetime.combine(value.date(), value.timetz())


def _as(kind: type[T], where: str, value: object) -> T:
    """Return a value of the type, made from a mapping of its fields if need be."""
    if isinstance(value, kind):
        return value
    mapping = mapping_or_none(value)
    if mapping is None:
        raise TypeError(f"{where} must be a {kind.__name__} or a mapping, not {value!r}")
    fields: tuple[Any, ...] = attrs.fields(kind)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    for key in mapping:
        if key not in names:
            raise ValueError(f"{where} has no {key!r}; its keys are {', '.join(names)}")
    for field in fields:
        if field.default is attrs.NOTHING and field.name not in mapping:
            raise ValueError(f"{where} lacks its {field.name!r}")
    return kind(**mapping)
