"""Values of a response, which may have any type: checked, or left out."""

from __future__ import annotations

import logging
from typing import Any

from upgrade_openapi.types import Unset

from .._narrow import list_or_none, object_or_none

_logger = logging.getLogger("upgrade_client_lib")


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; a ``TypeError`` for anything else."""
    narrowed = object_or_none(value)
    if narrowed is None:
        raise TypeError(f"{type(value).__name__} where an object belongs")
    return narrowed


def as_list(value: Any) -> list[Any]:
    """Return a JSON list; a ``TypeError`` for anything else."""
    narrowed = list_or_none(value)
    if narrowed is None:
        raise TypeError(f"{type(value).__name__} where a list belongs")
    return narrowed


def as_str(value: Any) -> str:
    """Return text; a ``TypeError`` for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def optional_str(value: Any) -> str | None:
    """Return text, or ``None`` where there is none; a ``TypeError`` for anything else."""
    return None if value is None or isinstance(value, Unset) else as_str(value)


def str_or_none(value: Any) -> str | None:
    """Return text, or ``None`` for anything else."""
    return str(value) if isinstance(value, str) else None  # of generated enums, the value


def number_or_none(value: Any) -> Any:
    """Return a number, or ``None`` for anything else."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def number_or_str_or_none(value: Any) -> Any:
    """Return a number or text, or ``None`` for anything else."""
    return value if isinstance(value, str) else number_or_none(value)


def warn_of_skipped(what: str, count: int) -> None:
    """Log how many items of a response were left out, if any."""
    if count:
        _logger.warning(
            "left out %d of the %s that the server answered: they cannot be read", count, what
        )
