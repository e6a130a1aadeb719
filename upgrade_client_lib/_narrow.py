"""Narrowing values of unknown type, in a way that type checkers follow.

pyright needs the casts to know what the items are; mypy finds some of them redundant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast


def object_or_none(value: Any) -> dict[str, Any] | None:
    """Return a JSON object, or ``None`` for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def list_or_none(value: Any) -> list[Any] | None:
    """Return a JSON list, or ``None`` for anything else."""
    if isinstance(value, list):
        return cast("list[Any]", value)  # type: ignore[redundant-cast]
    return None


def mapping_or_none(value: object) -> Mapping[Any, Any] | None:
    """Return a mapping, or ``None`` for anything else."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast]
    return None


def items_or_none(value: object) -> list[Any] | None:
    """Return the items of a collection; ``None`` for a string, a mapping or no collection."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return None
    return list(cast("Iterable[Any]", value))  # type: ignore[redundant-cast]
