"""Times as people read them."""

from __future__ import annotations


def shown(seconds: float) -> str:
    """Give a time with three digits and a unit."""
    for unit, size in [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
