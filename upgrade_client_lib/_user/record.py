"""One response to assign, indexed: read when a point is asked for, changed by marks.

A decision point is *invalidated* when the server may hold another state of it: in a within-subjects
experiment after a mark of unknown outcome, a mark that overlapped a load, or a mark of another
point; in any experiment after a mark with another condition than the one known here, which an
adaptive experiment then keeps to. The next use of an invalidated point asks the server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from .. import _api
from .._http import PARSE_ERRORS
from .._rules.queues import MarkEffect, PointKey, PointState, Scope
from ..assignment import Assignment, Marker, attach_marker
from ..decision import Decision, FlagDecision
from ..types import FeatureFlag
from . import single_flight

_logger = logging.getLogger("upgrade_client_lib")

MAX_EMPTY_POINTS = 1_000
"""How many points without an assignment are kept for warm reads; targets may be endless."""

_ABSENT = object()


class Record:
    """What the server assigns to a user, and by how much marks advanced each queue since."""

    __slots__ = (
        "__weakref__",
        "_advanced_by",
        "_empty",
        "_identity",
        "_items",
        "answered_at",
        "current_by_site",
        "decisions_by_site",
        "invalidated",
        "is_discarded",
    )

    def __init__(self, identity: _api.Identity, items: dict[PointKey, _api.Item]) -> None:
        self._identity = identity
        self._items = items
        self._advanced_by: dict[PointKey, int] = {}
        self._empty = 0
        self.answered_at = time.time()
        self.invalidated: set[PointKey] = set()
        self.is_discarded = False
        # By site and then by target, which takes half the time of one pair.
        self.current_by_site: dict[str, dict[str, Assignment | None]] = {}
        self.decisions_by_site: dict[str, dict[str, Decision]] = {}

    def current(self, point: PointKey, marker: Marker) -> Assignment | None:
        """Return what a point assigns; ``None`` where it assigns nothing that can be read."""
        site, target = point
        try:
            return self.current_by_site[site][target]
        except KeyError:
            pass
        advanced_by = self._advanced_by.get(point, 0)
        assignment = self._read(point, advanced_by, marker)
        with single_flight.lock:
            if assignment is None:
                self._empty += 1
                if self._empty > MAX_EMPTY_POINTS:
                    return None
            # Not if a mark advanced or invalidated the queue while it was being read.
            if self._advanced_by.get(point, 0) == advanced_by and point not in self.invalidated:
                self.current_by_site.setdefault(site, {})[target] = assignment
        return assignment

    def keep_decision(self, point: PointKey, decision: Decision, default: str) -> None:
        """Keep a decision for warm reads, if its point is still what it was made of.

        Where nothing is assigned, only the one with an empty default is kept.
        """
        if decision.assignment is None and default:
            return
        site, target = point
        with single_flight.lock:
            if self.current_by_site.get(site, {}).get(target, _ABSENT) is decision.assignment:
                self.decisions_by_site.setdefault(site, {})[target] = decision

    def all_current(self, marker: Marker) -> list[Assignment]:
        assignments = [self.current(point, marker) for point in list(self._items)]
        return [assignment for assignment in assignments if assignment is not None]

    def id_of_condition(self, point: PointKey, code: str) -> str | None:
        """Return the id of a condition of a point that assigns something."""
        return _api.id_of_condition(self._items[point], code)

    def experiment_at(self, point: PointKey) -> str | None:
        item = self._items.get(point)
        return None if item is None else _api.experiment_of(item)

    def state_at(self, point: PointKey) -> PointState | None:
        """Return what the rules need to know of a point; ``None`` where it assigns nothing."""
        item = self._items.get(point)
        return None if item is None else _api.state_of(item)

    def apply(self, effect: MarkEffect, point: PointKey) -> None:
        """Advance and invalidate what a mark of the point did; called under the lock."""
        for changed in self._points(effect.advance, point):
            self._advanced_by[changed] = self._advanced_by.get(changed, 0) + 1
            self._forget_current(changed)
        for changed in self._points(effect.invalidate, point):
            self.invalidated.add(changed)
            self._forget_current(changed)

    def _points(self, scope: Scope, point: PointKey) -> Iterable[PointKey]:
        if scope == "none":
            return ()
        if scope == "point":
            return (point,)
        experiment_id = self.experiment_at(point)
        if experiment_id is None:
            return () if scope == "other points" else (point,)
        return [
            other
            for other, item in self._items.items()
            if _api.experiment_of(item) == experiment_id
            and (scope == "experiment" or other != point)
        ]

    def _read(self, point: PointKey, advanced_by: int, marker: Marker) -> Assignment | None:
        item = self._items.get(point)
        if item is None:
            return None
        try:
            assignment = _api.read_assignment(self._identity, point, item, advanced_by)
        except PARSE_ERRORS as error:  # the queue stays: its other conditions may be readable
            _logger.warning("left out the assignment at %r: it cannot be read (%s)", point, error)
            return None
        return attach_marker(assignment, marker)

    def _forget_current(self, point: PointKey) -> None:
        site, target = point
        self.current_by_site.get(site, {}).pop(target, None)
        self.decisions_by_site.get(site, {}).pop(target, None)


class Flags(dict[str, FeatureFlag]):
    """The flags that are on for a user, by key."""

    __slots__ = ("answered_at", "decisions")

    def __init__(self, flags: Mapping[str, FeatureFlag]) -> None:
        super().__init__(flags)
        self.answered_at = time.time()
        self.decisions: dict[str, FlagDecision] = {}

    def keep_decision(self, decision: FlagDecision) -> None:
        """Keep a decision for warm reads."""
        if decision.enabled or len(self.decisions) < len(self) + MAX_EMPTY_POINTS:
            self.decisions[decision.key] = decision
