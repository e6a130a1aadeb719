"""What the server answers a user who has marks in the outbox, which it does not know yet."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Callable, Optional

from .. import _api
from .._outbox import Event, EventQueue
from .._rules.queues import MarkEffect, PointKey, effect_of_waiting_mark
from .._sync import Backend
from .record import Record

if TYPE_CHECKING:
    from .caller import Caller

Standing = Optional[tuple[tuple[str, Event], ...]]
"""A user's events in their line, each with its state; ``None`` where the outbox's store fails."""


async def ask_beside_marks(
    user: Caller,
    outbox: EventQueue,
    backend: Backend,
    assign: Callable[[], Awaitable[Mapping[PointKey, _api.Item]]],
) -> Record:
    """Return what the server answers, changed by the marks that wait.

    Where one of them was sent meanwhile, nobody knows whether the answer has it: then the points of
    its experiment are not kept, and asked for again.
    """
    before = await _standing(outbox, backend, user)
    items = await assign()
    after = await _standing(outbox, backend, user)
    record = Record(user.identity, items, is_shared=user.shared is not None)
    if before is None or after is None:
        for point in items:
            if record.has_queue(point):
                record.apply(MarkEffect(invalidate="point"), point)
        return record
    are_waiting = before == after and all(state == "waiting" for state, _ in after)
    standing = after if are_waiting else before + after
    for _, event in standing:
        mark = event.mark
        state = None if mark is None else record.state_at(mark.point)
        if mark is None or state is None or event.context != user.identity.context:
            continue
        effect = MarkEffect(invalidate="experiment")
        if are_waiting:
            effect = effect_of_waiting_mark(mark.as_rule(), user.rotation, state)
        record.apply(effect, mark.point)
    return record


async def _standing(outbox: EventQueue, backend: Backend, user: Caller) -> Standing:
    try:
        return await outbox.standing(backend, user.identity.user_id)
    except Exception:
        return None
