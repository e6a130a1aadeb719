"""What the server answers a user who has marks in the outbox, which it does not know yet."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Callable, Optional

from .. import _api
from .._http import CallOptions
from .._outbox import FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS, EventQueue, MarkToSend
from .._rules.queues import NO_EFFECT, MarkEffect, PointKey, Rotation, effect_of_waiting_mark
from .._sync import Backend
from .record import Record

if TYPE_CHECKING:
    from .caller import Caller

Marks = Optional[tuple[tuple[str, MarkToSend], ...]]
"""A user's marks in their line, each with its state; ``None`` where the outbox's store fails."""

_UNCERTAIN = MarkEffect(invalidate="experiment")


async def ask_beside_marks(
    user: Caller,
    outbox: EventQueue,
    backend: Backend,
    options: CallOptions,
    assign: Callable[[CallOptions], Awaitable[Mapping[PointKey, _api.Item]]],
    is_current: Callable[[Record], bool],
) -> Record:
    """Return what the server answers, changed by the marks that wait.

    Where one of them was sent meanwhile, nobody knows whether the answer has it. So the server is
    asked again once the marks stand still, for half of the call's time at most; then the points of
    such a mark's experiment are not kept.
    """
    end = time.monotonic() + options.timeout.total
    deadline = end - options.timeout.total / 2
    while True:
        before = await _marks(outbox, backend, user, deadline)
        items = await assign(options.within(end - time.monotonic()))
        after = await _marks(outbox, backend, user, end)
        record = Record(user.identity, items, is_shared=user.shared is not None)
        is_certain = _apply(record, before, after, user.rotation)
        if is_certain or is_current(record):
            return record
        if not await _stand_still(outbox, backend, user, deadline):
            return record


def _apply(record: Record, before: Marks, after: Marks, rotation: Rotation) -> bool:
    """Do to a record what the marks do, or may have done; return whether that is certain.

    It is not where a mark that matters was sent while the server was asked.
    """
    if before is None or after is None:
        for point in record.items:
            if record.has_queue(point):
                record.apply(MarkEffect(invalidate="point"), point)
        return True  # as far as it will ever be
    are_waiting = _are_waiting(after) and before == after
    is_certain = True
    for _, mark in after if are_waiting else before + after:
        state = record.state_at(mark.point)
        if state is None:
            continue
        effect = effect_of_waiting_mark(mark.as_rule(), rotation, state)
        if not are_waiting and effect != NO_EFFECT:
            effect, is_certain = _UNCERTAIN, False
        record.apply(effect, mark.point)
    return is_certain


async def _stand_still(outbox: EventQueue, backend: Backend, user: Caller, deadline: float) -> bool:
    """Wait until no mark of the user is being sent, nor was one between two looks.

    Return whether that was so before the deadline.
    """
    pause = FIRST_LOOK_SECONDS
    marks = await _marks(outbox, backend, user, deadline)
    while (left := deadline - time.monotonic()) > 0:
        if not marks:
            return True
        await backend.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_LOOK_SECONDS)
        seen, marks = marks, await _marks(outbox, backend, user, deadline)
        if marks == seen and _are_waiting(seen):
            return True
    return False


def _are_waiting(marks: tuple[tuple[str, MarkToSend], ...]) -> bool:
    return all(state == "waiting" for state, _ in marks)


async def _marks(outbox: EventQueue, backend: Backend, user: Caller, deadline: float) -> Marks:
    """Return the marks of the user's context that wait or are being sent, in order."""
    try:
        standing = await outbox.standing(backend, user.identity.user_id, deadline)
    except Exception:
        return None
    context = user.identity.context
    return tuple(
        (state, event.mark)
        for state, event in standing
        if event.mark is not None and event.context == context
    )
