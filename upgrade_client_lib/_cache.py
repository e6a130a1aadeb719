"""What is known of one user: flags, assignments, and how far each queue has turned.

A decision point is *doubtful* when the server may meanwhile think otherwise about it: in a
within-subjects experiment after a mark whose fate is unknown, a mark that crossed a load, or a mark
of another point; in any experiment after a mark with another condition than the one known here,
which an adaptive experiment then keeps to. The next use of a doubtful point asks the server.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Callable, Literal, Optional

import attrs

from . import _shared_load
from ._answers import (
    Point,
    Unreadable,
    experiment_of,
    has_null_target,
    id_of_condition,
    names_of_conditions,
    queue_length,
    read_head,
)
from ._faces import Face
from ._options import CallOptions
from ._shared_load import Load, SharedLoad
from .assignment import Assignment, Marker
from .types import FeatureFlag

_logger = logging.getLogger("upgrade_client_lib")

Flags = Mapping[str, FeatureFlag]

MOST_EMPTY_POINTS = 1_000
"""How many points without an assignment are kept for warm reads; targets may be endless."""

Rotation = Literal["auto", "decision_point", "experiment"]
"""What a mark turns: one point, all points of the experiment, or (auto) whichever is right."""

Fate = Literal["counted", "refused", "unknown"]
"""Whether the server counted a mark."""

Heads = Mapping[str, Mapping[str, Optional[Assignment]]]
"""What points assign, by site and then by target, which takes half the time of one pair."""


class Assignments:
    """One assign answer, indexed: read where it is asked for, turned where it was marked."""

    __slots__ = ("_empty", "_items", "_turns", "doubtful", "heads")

    def __init__(self, items: dict[Point, Any]) -> None:
        self._items = items
        self._turns: dict[Point, int] = {}
        self._empty = 0
        self.doubtful: set[Point] = set()
        self.heads: dict[str, dict[str, Assignment | None]] = {}

    def head(self, point: Point, marker: Marker) -> Assignment | None:
        """Give what a point assigns; ``None`` where it assigns nothing that can be read."""
        site, target = point
        try:
            return self.heads[site][target]
        except KeyError:
            pass
        turns = self._turns.get(point, 0)
        assignment = self._read(point, turns, marker)
        with _shared_load.lock:
            if assignment is None:
                self._empty += 1
                if self._empty > MOST_EMPTY_POINTS:
                    return None
            # Not if a mark turned the queue, or made it doubtful, while it was being read.
            if self._turns.get(point, 0) == turns and point not in self.doubtful:
                self.heads.setdefault(site, {})[target] = assignment
        return assignment

    def _read(self, point: Point, turns: int, marker: Marker) -> Assignment | None:
        item = self._items.get(point)
        if item is None:
            return None
        try:
            return read_head(point, item, turns, marker)
        except Unreadable as error:  # the queue stays: behind its head, it may be well
            _logger.warning("left out the assignment at %r: it cannot be read (%s)", point, error)
            return None

    def all_heads(self, marker: Marker) -> list[Assignment]:
        heads = [self.head(point, marker) for point in list(self._items)]
        return [head for head in heads if head is not None]

    def id_of_condition(self, point: Point, code: str) -> str | None:
        """Give the id of a condition of a point that assigns something."""
        return id_of_condition(self._items[point], code)

    def turns_at(self, point: Point) -> bool:
        """Whether the point has a queue that a mark turns: a within-subjects experiment."""
        item = self._items.get(point)
        return item is not None and queue_length(item) > 1

    def speaks_against(self, mark: Mark) -> bool:
        """Whether a mark with its condition may have changed what its point assigns."""
        item = self._items.get(mark.point)
        return (
            item is not None
            and bool(mark.condition)
            and mark.condition not in names_of_conditions(item)
        )

    def counts_marks_at(self, point: Point) -> bool:
        """Whether every server counts marks of the point; old ones have none without a target."""
        return not has_null_target(self._items[point])

    def experiment_at(self, point: Point) -> str | None:
        item = self._items.get(point)
        return None if item is None else experiment_of(item)

    def points_beside(self, point: Point) -> list[Point]:
        """Give the points at which the experiment of this one assigns, itself among them."""
        experiment_id = self.experiment_at(point)
        if experiment_id is None:
            return [point]
        return [
            other for other, item in self._items.items() if experiment_of(item) == experiment_id
        ]

    def turn(self, points: Iterable[Point]) -> None:
        """Turn queues by one; called under the lock."""
        for point in points:
            self._turns[point] = self._turns.get(point, 0) + 1
            self._forget_head(point)

    def doubt(self, points: Iterable[Point]) -> None:
        """Have queues read afresh before they are next used; called under the lock."""
        for point in points:
            self.doubtful.add(point)
            self._forget_head(point)

    def _forget_head(self, point: Point) -> None:
        site, target = point
        self.heads.get(site, {}).pop(target, None)


@attrs.frozen
class Mark:
    """A mark under way: where, by the experiment of the assignment that is marked, with what.

    ``excludes`` says that it takes the user out of that experiment.
    """

    point: Point
    experiment_id: str | None
    condition: str | None
    excludes: bool
    process: object = attrs.field(factory=_shared_load.this_process, init=False)


class AssignmentCache(SharedLoad[Assignments]):
    """A user's assignments. ``heads`` is where a warm read looks, and all that it needs."""

    __slots__ = ("__weakref__", "_asked", "_marks", "heads")

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[tuple[Point, str | None], str | None] = {}
        self.heads: Heads = {}
        self._marks: tuple[Mark, ...] = ()

    def known_at(self, point: Point) -> Assignments | None:
        """Give what is cached, if it is and this point is not doubtful in it."""
        known = self.value
        return None if known is None or point in known.doubtful else known

    async def at(
        self,
        face: Face,
        load: Callable[[float], Awaitable[Assignments]],
        options: CallOptions,
        point: Point,
    ) -> Assignments:
        """Give assignments in which this point is not doubtful."""
        return await self.loaded(
            face,
            load,
            options,
            wants=lambda known: point not in known.doubtful,
        )

    async def whole(
        self,
        face: Face,
        load: Callable[[float], Awaitable[Assignments]],
        options: CallOptions,
        *,
        fresh: bool,
    ) -> Assignments:
        """Give assignments in which no point is doubtful."""
        return await self.loaded(
            face,
            load,
            options,
            wants=lambda known: not known.doubtful,
            fresh=fresh,
        )

    def mark_begins(self, mark: Mark) -> None:
        """Know of a mark under way: a load that ends before it may have seen it, or not."""
        with _shared_load.lock:
            self._marks += (mark,)

    def mark_ends(
        self, mark: Mark, fate: Fate, rotation: Rotation, stored: str | None = None
    ) -> None:
        """Do to the queues what the server did, or have them asked for where that is unknown.

        ``stored`` is the experiment that the server names in its answer.
        """
        with _shared_load.lock:
            marks = list(self._marks)
            marks.remove(mark)
            self._marks = tuple(marks)
            if fate == "refused":
                return
            known = self.value
            if mark.excludes or (known and known.experiment_at(mark.point) != mark.experiment_id):
                # Experiments that share points make room for each other: all may be different.
                self._forget()
                return
            if known and stored and mark.experiment_id is None and self._is_news(mark):
                # Where this user is assigned nothing, the mark may have enrolled them, which other
                # points then follow.
                self._forget()
                return
            for load in self._loads:
                load.crossed_by.add(mark)
            if known is None:
                return
            if known.turns_at(mark.point):
                _follow(mark, known, fate, rotation)
            elif known.speaks_against(mark) and (fate == "unknown" or self._is_news(mark)):
                known.doubt(known.points_beside(mark.point))

    def _is_news(self, mark: Mark) -> bool:
        """Whether the last such mark said something else; the same again changes nothing."""
        where = mark.point, mark.experiment_id
        if where in self._asked and self._asked[where] == mark.condition:
            return False
        self._asked[where] = mark.condition
        return True

    def _settle(self, ended: Load[Assignments], value: Assignments) -> None:
        for mark in (*ended.crossed_by, *self._marks):
            assert isinstance(mark, Mark)
            if mark.process is _shared_load.this_process() and (
                value.turns_at(mark.point) or value.speaks_against(mark)
            ):
                value.doubt(value.points_beside(mark.point))

    def _set(self, value: Assignments | None) -> None:
        self.value = value
        self.heads = {} if value is None else value.heads


def _follow(mark: Mark, known: Assignments, fate: Fate, rotation: Rotation) -> None:
    """Turn the queues that a mark turned; doubt those of which that is not sure."""
    points = known.points_beside(mark.point)
    if fate == "unknown" or mark.experiment_id is None:
        known.doubt(points)
    elif rotation == "experiment":
        known.turn(points)
    else:
        if known.counts_marks_at(mark.point):
            known.turn([mark.point])
        else:
            known.doubt([mark.point])
        if rotation == "auto":
            known.doubt(point for point in points if point != mark.point)
