"""Timestamps as the server reads and writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d:?\d\d)?)?",
    re.IGNORECASE,
)


def read_timestamp(text: str) -> datetime | None:
    """The moment in UTC, in milliseconds; None for what is not ISO 8601.

    What names no zone is in the server's, which is UTC here.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "").ljust(3, "0")[:3]) * 1000,
            tzinfo=timezone.utc,
        )
        return moment - _offset(zone or "Z")
    except (ValueError, OverflowError):
        return None


def write_timestamp(moment: datetime) -> str:
    """ISO 8601 with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def _offset(zone: str) -> timedelta:
    if zone in "Zz":
        return timedelta()
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset
