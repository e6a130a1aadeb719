"""UpGrade's rules and ours as pure functions on small values: no input, output, clock or lock.

What few programs need is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .log_entries import validate_entries

__all__ = ["validate_entries"]


if not TYPE_CHECKING:
    __getattr__ = loader(__name__, {"validate_entries": "log_entries"})
