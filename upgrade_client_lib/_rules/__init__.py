"""UpGrade's rules and ours as pure functions on small values: no input, output, clock or lock.

What few programs need is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr

if TYPE_CHECKING:
    from .log_entries import validate_entries

__all__ = ["validate_entries"]


if not TYPE_CHECKING:
    __getattr__ = lazy_getattr(__name__, {"validate_entries": "log_entries"})
