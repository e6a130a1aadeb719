"""What a caller hands to the client. Field names are the wire's, as users' code has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Union

import attrs

__all__ = ["DecisionPoint", "LogGroupMetrics", "LogInput", "LogMetrics", "MetricValue"]

MetricValue = Union[str, int, float]
"""What a metric's attribute may hold: a non-empty string or a finite number.

At run time, other real numbers are taken too and sent as ``int`` or ``float``: numpy's scalars, a
``Fraction``. ``bool`` and ``Decimal`` are refused: convert them to what the metric shall hold.
"""


@attrs.frozen
class LogGroupMetrics:
    """Metrics of one group of work, such as one attempt at one workspace.

    ``groupUniquifier`` tells repeated measures apart: logging the same class, key and uniquifier
    again overwrites, another uniquifier adds.
    """

    groupClass: str
    groupKey: str
    groupUniquifier: str
    attributes: Mapping[str, MetricValue]


@attrs.frozen
class LogMetrics:
    """The metrics of one log entry: plain ones in ``attributes``, the rest by group."""

    attributes: Mapping[str, MetricValue] = attrs.field(factory=dict[str, MetricValue])
    groupedMetrics: Sequence[LogGroupMetrics] = ()


@attrs.frozen
class LogInput:
    """One log entry, and when it was measured.

    ``timestamp`` is text in ISO 8601, sent as it is, or a ``datetime``, which is sent in UTC and
    cut to milliseconds. A naive ``datetime`` is taken as the local time of this machine; text
    without an offset, as the server's.

    >>> LogInput("2026-11-20T08:00:00.000Z", LogMetrics({"totalTimeSeconds": 95}))
    LogInput(timestamp='2026-11-20T08:00:00.000Z', metrics=LogMetrics(...))
    """

    timestamp: str | datetime
    metrics: LogMetrics


@attrs.frozen
class DecisionPoint:
    """A place in the application where an experiment may act."""

    site: str
    target: str = ""
