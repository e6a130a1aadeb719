"""Read and write timestamps as the server does, which is written in JavaScript."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_ISO_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_YEAR = r"(?P<year>[1-9]\d{3})"
_DAY = r"(?P<day>\d\d?)"
_NAMED_MONTH = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*"
_WEEKDAY = r"(?:[a-z]+,?\s+)?"
_DATES = (
    rf"{_YEAR}-(?P<month>\d\d)-(?P<day>\d\d)",
    rf"(?P<month>\d\d?)/{_DAY}/{_YEAR}",
    rf"{_WEEKDAY}{_DAY}\s+{_NAMED_MONTH}\s+{_YEAR}",
    rf"{_WEEKDAY}{_NAMED_MONTH}\s+{_DAY},?\s+{_YEAR}",
)
_TIME = r"(?P<hour>\d\d?):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.(?P<fraction>\d+))?)?"
_HALF = r"(?:\s+(?P<half>[ap])m\b)?"
_OFFSET = r"(?P<sign>[+-])(?P<hours>[01]\d|2[0-3]):?(?P<minutes>[0-5]\d)"
_ZONE = rf"(?:\s*Z|\s+GMT|\s+UTC)?(?:\s*{_OFFSET})?(?:\s+\(.*\))?"
_DIGITS = re.compile(
    r"(\d{4})[-/]?(\d\d?)?[-/]?(\d\d?)?"
    r"[T\s]*(\d\d?)?:?(\d\d?)?:?(\d\d?)?[.:]?(\d+)?",
    re.ASCII,
)
_FORMS = [
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"{_ISO_DATE}(?:T(?=\d\d:){_TIME}(?:Z|{_OFFSET})?)?",
        *(rf"{date}(?:,?\s+{_TIME}{_HALF}{_ZONE})?" for date in _DATES),
    )
]


def read_timestamp(text: str) -> datetime | None:
    """Return the moment in UTC, to the millisecond; None for what cannot be read.

    ISO 8601 is read, and what else programs write, such as ``Nov 20, 2026 08:00:00 GMT``. A day
    that its month does not have is one of the next month. What names no zone is in the server's,
    which is UTC here.
    """
    digits = _DIGITS.fullmatch(text)
    if digits is not None:
        return _read_digits(digits)
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        return None
    part = match.groupdict("")

    def number(name: str) -> int:
        return int(part.get(name) or 0)

    hour, half = number("hour"), part.get("half", "").lower()
    if half and hour > 12:
        return None
    since_midnight = timedelta(
        hours=hour % 12 + (12 if half == "p" else 0) if half else hour,
        minutes=number("minute"),
        seconds=number("second"),
        milliseconds=int(part.get("fraction", "").ljust(3, "0")[:3]),
    )
    if not 1 <= number("day") <= 31 or since_midnight > timedelta(days=1):
        return None
    month = _MONTHS.index(part["name"].lower()) + 1 if "name" in part else number("month")
    offset = timedelta(hours=number("hours"), minutes=number("minutes"))
    try:
        first = datetime(number("year"), month, 1, tzinfo=timezone.utc)
        moment = first + timedelta(days=number("day") - 1) + since_midnight
        return moment + offset if part.get("sign") == "-" else moment - offset
    except (ValueError, OverflowError):
        return None


def _read_digits(match: re.Match[str]) -> datetime | None:
    """Read a year that month, day and time may follow, with or without separators.

    What does not exist is taken from what comes before or after: seconds since 1970, sent as a
    text, are a day of some century. The digits after a second are milliseconds: ``.5`` is five.
    """
    *parts, fraction = match.groups("")
    year, month, day, hour, minute, second = (
        int(part) if part else default for part, default in zip(parts, (0, 1, 1, 0, 0, 0))
    )
    since_midnight = timedelta(
        hours=hour, minutes=minute, seconds=second, milliseconds=int(fraction[:3] or 0)
    )
    try:
        first = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=timezone.utc)
        return first + timedelta(days=day - 1) + since_midnight
    except (ValueError, OverflowError):
        return None


def is_comparable(text: str) -> bool:
    """Return whether the server can tell if a timestamp is later than a stored one.

    It stores seconds since 1970, sent as a text, but cannot compare them: no year is that long.
    """
    return re.match(r"\d{7}", text, re.ASCII) is None


def write_timestamp(moment: datetime) -> str:
    """Return ISO 8601 with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
