"""One response to assign, indexed: read when a point is asked for, changed by marks.

A decision point is *invalidated* when the server may hold another state of it: in a within-subjects
experiment after a mark of unknown outcome, a mark that overlapped a load, or a mark of another
point; in any experiment after a mark with another condition than the one known here, which an
adaptive experiment then keeps to. The next use of an invalidated point asks the server.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from .. import _api
from .._http import PARSE_ERRORS
from .._locks import held
from .._rules.queues import MarkEffect, PointKey, PointState, Scope
from ..assignment import Assignment, Marker, attach_marker
from ..decision import Decision, FlagDecision
from ..exceptions import UpgradeApiError
from . import single_flight
from .single_flight import SingleFlight

if TYPE_CHECKING:
    from ..types import FeatureFlag

_logger = logging.getLogger("upgrade_client_lib")

MAX_EMPTY_POINTS = 1_000
"""How many points without an assignment are kept for warm reads; targets may be endless."""

_ABSENT = object()

_get_item: Any = dict[str, Any].__getitem__
"""What takes half as long as ``super().__getitem__``."""

V = TypeVar("V")


@attrs.define
class Validity:
    """Which points of a record are invalidated, and whether it was replaced or taken back.

    Decisions hold it in place of the record, which keeps them.
    """

    invalidated: set[PointKey] = attrs.field(factory=set[PointKey])
    is_discarded: bool = False


class Record:
    """What the server assigns to a user, and by how much marks advanced each queue since.

    A record of a store ``is_shared``: other workers may change it, so it is used for a short time
    only, and a queue is not kept at all for warm reads.
    """

    __slots__ = (
        "__weakref__",
        "_empty",
        "_identity",
        "_is_shared",
        "_states",
        "_valid_until",
        "advanced_by",
        "answered_at",
        "current_by_site",
        "decisions_by_site",
        "invalidated",
        "is_from_server",
        "items",
        "load_id",
        "stale_because",
        "validity",
    )

    def __init__(
        self,
        identity: _api.Identity,
        items: Mapping[PointKey, _api.Item],
        *,
        is_shared: bool = False,
    ) -> None:
        self._is_shared = is_shared
        self._valid_until = math.inf
        self.is_from_server = False
        self.load_id: str | None = None
        self.stale_because: UpgradeApiError | None = None
        self._identity = identity
        self.items = items
        self.advanced_by: dict[PointKey, int] = {}
        self._states: dict[PointKey, PointState] = {}  # of marked points: items never change
        self._empty = 0
        self.answered_at = time.time()
        self.validity = Validity()
        self.invalidated = self.validity.invalidated
        # By site and then by target, which takes half the time of one pair.
        current: dict[str, dict[str, Assignment | None]] = {}
        decisions: dict[str, dict[str, Decision]] = {}
        self.current_by_site = Expiring(current) if is_shared else current
        self.decisions_by_site = Expiring(decisions) if is_shared else decisions

    def current(self, point: PointKey, marker: Marker) -> Assignment | None:
        """Return what a point assigns; ``None`` where it assigns nothing that can be read."""
        site, target = point
        try:
            return self.current_by_site[site][target]
        except KeyError:
            pass
        advanced_by = self.advanced_by.get(point, 0)
        item = self.items.get(point)
        assignment = None if item is None else self._read(point, item, advanced_by, marker)
        with held(single_flight.lock):
            if assignment is None:
                self._empty += 1
                if self._empty > MAX_EMPTY_POINTS:
                    return None
            if self._is_shared and item is not None and _api.has_queue(item):
                return assignment
            # Not if a mark advanced or invalidated the queue while it was being read.
            if self.advanced_by.get(point, 0) == advanced_by and point not in self.invalidated:
                self.current_by_site.setdefault(site, {})[target] = assignment
        return assignment

    def keep_decision(self, point: PointKey, decision: Decision) -> None:
        """Keep a decision for warm reads, if its point is still what it was made of."""
        site, target = point
        with held(single_flight.lock):
            if self.current_by_site.get(site, {}).get(target, _ABSENT) is decision.assignment:
                self.decisions_by_site.setdefault(site, {})[target] = decision

    def all_current(self, marker: Marker) -> list[Assignment]:
        assignments = [self.current(point, marker) for point in list(self.items)]
        return [assignment for assignment in assignments if assignment is not None]

    def id_of_condition(self, point: PointKey, code: str) -> str | None:
        """Return the id of a condition of a point that assigns something."""
        return _api.id_of_condition(self.items[point], code)

    def has_queue(self, point: PointKey) -> bool:
        """Whether marks advance this point."""
        item = self.items.get(point)
        return item is not None and _api.has_queue(item)

    def use_until(self, moment: float) -> None:
        """Have this record used for warm reads until a moment of ``time.monotonic()``."""
        self._valid_until = moment
        for by_site in (self.current_by_site, self.decisions_by_site):
            if isinstance(by_site, Expiring):
                by_site.expires_at = moment

    def is_valid_at(self, point: PointKey) -> bool:
        """Whether a point may be read from this record without loading it again."""
        if point in self.invalidated:
            return False
        if not self._is_shared:
            return True
        return time.monotonic() < self._valid_until and not self.has_queue(point)

    def is_valid(self) -> bool:
        """Whether every point may be read from this record without loading it again."""
        return not self.invalidated and not self._is_shared

    def experiment_at(self, point: PointKey) -> str | None:
        item = self.items.get(point)
        return None if item is None else _api.experiment_of(item)

    def state_at(self, point: PointKey) -> PointState | None:
        """Return what the rules need to know of a point; ``None`` where it assigns nothing."""
        if point not in self._states:
            item = self.items.get(point)
            if item is None:
                return None
            self._states[point] = _api.state_of(item)
        return self._states[point]

    def apply(self, effect: MarkEffect, point: PointKey) -> None:
        """Advance and invalidate what a mark of the point did; called under the lock."""
        for changed in self._points(effect.advance, point):
            self.advanced_by[changed] = self.advanced_by.get(changed, 0) + 1
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
            for other, item in self.items.items()
            if _api.experiment_of(item) == experiment_id
            and (scope == "experiment" or other != point)
        ]

    def _read(
        self, point: PointKey, item: _api.Item, advanced_by: int, marker: Marker
    ) -> Assignment | None:
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


class Expiring(dict[str, V]):
    """What a shared record holds by site, found until it expires."""

    __slots__ = ("expires_at",)

    expires_at: float

    def __getitem__(self, site: str) -> V:
        if time.monotonic() >= self.expires_at:
            raise KeyError(site)
        value: V = _get_item(self, site)
        return value


class ExpiringFlags(SingleFlight["Flags"]):
    """The flags of a user whom a store knows: none once they have to be looked up again."""

    __slots__ = ("_latest",)

    @property
    def value(self) -> Flags | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        flags = self._latest
        return flags if flags is not None and time.monotonic() < flags.valid_until else None

    @value.setter
    def value(self, flags: Flags | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._latest = flags


class Flags(dict[str, "FeatureFlag"]):
    """The flags that are on for a user, by key."""

    __slots__ = ("answered_at", "decisions", "is_from_server", "stale_because", "valid_until")

    def __init__(self, flags: Mapping[str, FeatureFlag]) -> None:
        super().__init__(flags)
        self.answered_at = time.time()
        self.decisions: dict[str, FlagDecision] = {}
        self.is_from_server = False
        self.stale_because: UpgradeApiError | None = None
        self.valid_until = math.inf

    def use_until(self, moment: float) -> None:
        """Have these flags used for warm reads until a moment of ``time.monotonic()``."""
        self.valid_until = moment

    def keep_decision(self, decision: FlagDecision) -> None:
        """Keep a decision for warm reads."""
        if decision.enabled or len(self.decisions) < len(self) + MAX_EMPTY_POINTS:
            self.decisions[decision.key] = decision
