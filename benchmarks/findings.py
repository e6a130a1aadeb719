"""What one run of the benchmarks found."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .contestant import Measured
from .fresh import Fresh
from .local_upgrade import Served


@attrs.frozen
class Counted:
    """What the server saw of a contestant."""

    requests: int
    connections: int


@attrs.frozen(kw_only=True)
class Findings:
    """Timings and counts are by comparison and contestant; memory is in bytes."""

    machine: list[str]
    timings: Mapping[str, Mapping[str, Measured]]
    missing: Mapping[str, str]
    counts: Mapping[str, Mapping[str, Counted]]
    held_by_a_client: float
    fresh: Mapping[str, Fresh]
    local_upgrade: Served


def shown(seconds: float) -> str:
    """Give a time with three digits and a unit."""
    for unit, size in [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
