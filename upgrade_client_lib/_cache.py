"""What is known of one user: flags, assignments, and how far each queue has turned.

A decision point is *doubtful* when the server may meanwhile think otherwise about it: a mark
whose fate is unknown, a mark that crossed a load, or another point of a within-subjects
experiment that was marked. The next use of a doubtful point asks the server.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Hashable, Iterable, Mapping
from typing import Any, Callable, Literal

import attrs

from . import _shared_load
from ._answers import (
    AssignedHead,
    Point,
    Unreadable,
    experiment_of,
    id_of_condition,
    queue_length,
    read_head,
)
from ._faces import Face
from ._shared_load import Load, SharedLoad
from .assignment import Assignment
from .types import FeatureFlag

_logger = logging.getLogger("upgrade_client_lib")

Flags = Mapping[str, FeatureFlag]
Bind = Callable[[Point, AssignedHead], Assignment]

Rotation = Literal["auto", "decision_point", "experiment"]
"""What a mark turns: one point, all points of the experiment, or (auto) whichever is right."""

Fate = Literal["counted", "refused", "unknown"]
"""Whether the server counted a mark."""


class Assignments:
    """One assign answer, indexed: read where it is asked for, turned where it was marked."""

    __slots__ = ("_items", "_turns", "doubtful", "heads")

    def __init__(self, items: dict[Point, Any]) -> None:
        self._items = items
        self._turns: dict[Point, int] = {}
        self.doubtful: set[Point] = set()
        self.heads: dict[Point, Assignment] = {}

    def head(self, point: Point, bind: Bind) -> Assignment | None:
        """Give what a point assigns; ``None`` where it assigns nothing that can be read."""
        known = self.heads.get(point)
        if known is not None:
            return known
        item = self._items.get(point)
        if item is None:
            return None
        turns = self._turns.get(point, 0)
        try:
            assignment = bind(point, read_head(item, turns))
        except Unreadable as error:
            _logger.warning("left out the assignment at %r: it cannot be read (%s)", point, error)
            with _shared_load.lock:
                self._items.pop(point, None)
            return None
        with _shared_load.lock:
            # Not if a mark turned the queue, or made it doubtful, while it was being read.
            if self._turns.get(point, 0) == turns and point not in self.doubtful:
                self.heads[point] = assignment
        return assignment

    def all_heads(self, bind: Bind) -> list[Assignment]:
        heads = [self.head(point, bind) for point in list(self._items)]
        return [head for head in heads if head is not None]

    def id_of_condition(self, point: Point, code: str) -> str | None:
        item = self._items.get(point)
        return None if item is None else id_of_condition(item, code)

    def turns_at(self, point: Point) -> bool:
        """Whether the point has a queue that a mark turns: a within-subjects experiment."""
        item = self._items.get(point)
        return item is not None and queue_length(item) > 1

    def points_of(self, experiment_id: str | None) -> list[Point]:
        """The points at which an experiment assigns."""
        if experiment_id is None:
            return []
        return [
            point for point, item in self._items.items() if experiment_of(item) == experiment_id
        ]

    def turn(self, points: Iterable[Point]) -> None:
        """Turn queues by one; called under the lock."""
        for point in points:
            self._turns[point] = self._turns.get(point, 0) + 1
            self.heads.pop(point, None)

    def doubt(self, points: Iterable[Point]) -> None:
        """Have points read afresh before they are next used; called under the lock."""
        for point in points:
            self.doubtful.add(point)
            self.heads.pop(point, None)


@attrs.frozen
class Mark:
    """A mark under way: where, and by the experiment of the assignment that is marked."""

    point: Point
    experiment_id: str | None


class AssignmentCache(SharedLoad[Assignments]):
    """A user's assignments. ``heads`` is where a warm read looks, and all that it needs."""

    __slots__ = ("_marks", "heads")

    def __init__(self) -> None:
        super().__init__()
        self.heads: Mapping[Point, Assignment] = {}
        self._marks: tuple[Mark, ...] = ()

    async def at(
        self, face: Face, load: Callable[[], Awaitable[Assignments]], point: Point, patience: float
    ) -> Assignments:
        """Give assignments in which this point is not doubtful."""
        return await self.loaded(
            face,
            load,
            patience=patience,
            wants=lambda known: point not in known.doubtful,
            accepts=_is_undoubted,
        )

    async def whole(
        self,
        face: Face,
        load: Callable[[], Awaitable[Assignments]],
        patience: float,
        *,
        fresh: bool,
    ) -> Assignments:
        """Give assignments in which no point is doubtful."""
        return await self.loaded(
            face,
            load,
            patience=patience,
            wants=lambda known: not known.doubtful,
            accepts=_is_undoubted,
            fresh=fresh,
        )

    def may_turn(self, point: Point) -> bool:
        """Whether a mark of this point may turn a queue, as far as is known."""
        known = self.value
        return known is None or point in known.doubtful or known.turns_at(point)

    def mark_begins(self, mark: Mark) -> None:
        """A load that is under way beside a mark may have seen the server before or after it."""
        with _shared_load.lock:
            self._marks += (mark,)
            self._doubt_loads(mark)

    def mark_ends(self, mark: Mark, fate: Fate, rotation: Rotation) -> None:
        """Do to the queues what the server did, or have them asked for where that is unknown."""
        with _shared_load.lock:
            marks = list(self._marks)
            marks.remove(mark)
            self._marks = tuple(marks)
            self._doubt_loads(mark)
            known = self.value
            if known is None or fate == "refused":
                return
            points = known.points_of(mark.experiment_id)
            if fate == "counted" and mark.point in points:
                known.turn(points if rotation == "experiment" else [mark.point])
                if rotation == "auto":
                    known.doubt(point for point in points if point != mark.point)
            else:
                known.doubt([mark.point, *points])

    def _doubt_loads(self, mark: Mark) -> None:
        for load in self._loads:
            load.doubtful.add(mark)

    def _doubtful(self) -> set[Hashable]:
        return set(self._marks)

    def _settle(self, ended: Load[Assignments], value: Assignments) -> None:
        for mark in ended.doubtful:
            assert isinstance(mark, Mark)
            value.doubt([mark.point, *value.points_of(mark.experiment_id)])

    def _set(self, value: Assignments | None) -> None:
        self.value = value
        self.heads = {} if value is None else value.heads


def _is_undoubted(running: Load[Assignments]) -> bool:
    return not running.doubtful
