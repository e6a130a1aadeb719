"""Assertions on records whose messages show what happened instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ANY: Any = object()
"""Stands for: whatever it was."""

_SHOWN = 10


def assert_recorded(what: str, records: Sequence[object], **expected: Any) -> None:
    """Passes when a record has all the expected values; else shows the records there are."""
    wanted = {field: value for field, value in expected.items() if value is not ANY}
    if any(not _differences(record, wanted) for record in records):
        return
    asked = ", ".join(f"{field}={value!r}" for field, value in wanted.items())
    raise AssertionError("\n".join([f"no {what} with {asked}", *_instead(what, records, wanted)]))


def _differences(record: object, wanted: dict[str, Any]) -> list[str]:
    return [field for field, value in wanted.items() if getattr(record, field) != value]


def _instead(what: str, records: Sequence[object], wanted: dict[str, Any]) -> list[str]:
    if not records:
        return [f"There was no {what} at all."]
    nearest = sorted(records, key=lambda record: len(_differences(record, wanted)))
    lines = [f"There was instead, nearest first ({len(records)} in all):"]
    for record in nearest[:_SHOWN]:
        differing = ", ".join(_differences(record, wanted))
        lines.append(f"  {record!r}  (other {differing})")
    return lines
