"""What one run of the benchmarks found."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .contestant import Measured
from .fresh import Fresh
from .local_upgrade import Served
from .outage import Outage


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
    outages: Mapping[str, Outage | str]
