"""A user's assignments: loaded once, valid until a mark or a change of the user says otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Callable, Optional

import attrs

from .._http import CallOptions
from .._locks import held
from .._rules.freshness import is_outdated_by
from .._rules.queues import (
    NO_EFFECT,
    Mark,
    MarkEffect,
    MarkOutcome,
    PointKey,
    Rotation,
    effect_of_mark,
)
from .._sync import Backend
from ..assignment import Assignment
from ..decision import Decision
from . import single_flight
from .record import Record
from .single_flight import Load, SingleFlight

CurrentBySite = Mapping[str, Mapping[str, Optional[Assignment]]]
"""What points assign, by site and then by target."""

_NOTHING: Mapping[Any, Any] = {}
"""What is known of a user of whom nothing is: one for all, since most users of many are idle."""


@attrs.frozen
class PendingMark:
    """A mark in progress, and the process that sends it."""

    mark: Mark
    process: object = attrs.field(factory=single_flight.process_token, init=False)


class AssignmentCache(SingleFlight[Record]):
    """A user's record.

    ``current_by_site`` and ``decisions_by_site`` are where warm reads look, and all they need.
    """

    __slots__ = (
        "__weakref__",
        "_changes",
        "_last_marked",
        "_pending",
        "current_by_site",
        "decisions_by_site",
    )

    def __init__(self) -> None:
        super().__init__()
        self._last_marked: Mapping[tuple[PointKey, str | None], str | None] = _NOTHING
        self.current_by_site: CurrentBySite = _NOTHING
        self.decisions_by_site: Mapping[str, Mapping[str, Decision]] = _NOTHING
        self._pending: tuple[PendingMark, ...] = ()
        self._changes = 0  # how often marks or others may have changed what is known

    @property
    def changes(self) -> int:
        """What tells a moment from one before a mark, a load or a change of the user."""
        return self._changes

    def keep(self, record: Record, changes: int) -> None:
        """Keep a record that was found elsewhere, unless something changed since."""
        with held(single_flight.lock):
            if self._changes == changes and not self._pending:
                self._set(record)

    def get_valid(self, point: PointKey) -> Record | None:
        """Return the cached record, if there is one and this point is valid in it."""
        record = self.value
        return record if record is not None and record.is_valid_at(point) else None

    async def load_point(
        self,
        backend: Backend,
        load: Callable[[float], Awaitable[Record]],
        options: CallOptions,
        point: PointKey,
    ) -> Record:
        """Return a record in which this point is valid."""
        return await self.get_or_load(
            backend,
            load,
            options,
            is_usable=lambda record: record.is_valid_at(point),
            serves=lambda record: record.is_from_server or point not in record.invalidated,
        )

    async def load_all(
        self,
        backend: Backend,
        load: Callable[[float], Awaitable[Record]],
        options: CallOptions,
        *,
        force: bool,
    ) -> Record:
        """Return a record in which every point is valid."""
        return await self.get_or_load(
            backend,
            load,
            options,
            is_usable=Record.is_valid,
            serves=lambda record: record.is_from_server or not record.invalidated,
            force=force,
        )

    def begin_mark(self, mark: Mark) -> PendingMark:
        """Note a mark in progress: loads may or may not include it."""
        pending = PendingMark(mark)
        with held(single_flight.lock):
            self._pending += (pending,)
            self._changes += 1
        return pending

    def end_mark(
        self,
        pending: PendingMark,
        outcome: MarkOutcome,
        rotation: Rotation,
        stored_experiment_id: str | None = None,
    ) -> None:
        """Advance the queues that the server advanced; invalidate those of unknown state.

        ``stored_experiment_id`` is the experiment that the server names in
        its answer.
        """
        mark = pending.mark
        with held(single_flight.lock):
            others = list(self._pending)
            others.remove(pending)
            self._pending = tuple(others)
            self._changes += 1
            effect = self._effect(mark, outcome, rotation, stored_experiment_id)
            if effect.is_news:
                marked = mark.point, mark.experiment_id
                self._last_marked = {**self._last_marked, marked: mark.condition}
            if effect.discard:
                self._discard()
                return
            if outcome != "rejected":
                for load in self._loads:
                    load.concurrent_marks.add(mark)
            if self.value is not None:
                self.value.apply(effect, mark.point)

    def repeats_last(self, mark: Mark) -> bool:
        """Whether the last mark at this point that was news named the same condition."""
        marked = mark.point, mark.experiment_id
        return marked in self._last_marked and self._last_marked[marked] == mark.condition

    def _effect(
        self,
        mark: Mark,
        outcome: MarkOutcome,
        rotation: Rotation,
        stored_experiment_id: str | None,
    ) -> MarkEffect:
        record = self.value
        if record is None and not mark.excludes:
            return NO_EFFECT
        return effect_of_mark(
            mark,
            outcome,
            rotation,
            None if record is None else record.state_at(mark.point),
            stored_experiment_id=stored_experiment_id,
            repeats_last=self.repeats_last(mark),
        )

    def _apply_concurrent_marks(self, ended: Load[Record], value: Record) -> None:
        marks = [*ended.concurrent_marks]
        for pending in self._pending:
            if pending.process is single_flight.process_token():
                marks.append(pending.mark)
        for mark in marks:
            state = value.state_at(mark.point)
            if state is not None and is_outdated_by(mark, state):
                value.apply(MarkEffect(invalidate="experiment"), mark.point)

    def _set(self, value: Record | None) -> None:
        self._changes += 1
        if self.value is not None and self.value is not value:
            self.value.validity.is_discarded = True
        self.value = value
        self.current_by_site = _NOTHING if value is None else value.current_by_site
        self.decisions_by_site = _NOTHING if value is None else value.decisions_by_site
