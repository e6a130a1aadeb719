"""What a user hands over to the outbox; loaded when something is, since most have no outbox."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._outbox import Event, LogToSend, MarkToSend, RewardToSend, ToSend
from .._rules.queues import PointKey
from .._sync import Backend
from ..assignment import Assignment, code_to_mark, has_queue
from ..types import BinaryRewardValue, DecisionPoint, LogInput, OutboxEvent

if TYPE_CHECKING:
    from .marks import MarkDetails
    from .operations import User


def mark_of(assignment: Assignment, details: MarkDetails, *, verify: bool) -> MarkToSend:
    """Return the mark of an assignment; ``verify`` has it sent only if it still is assigned."""
    return MarkToSend(
        assignment.site,
        assignment.target,
        code_to_mark(assignment) or None,
        assignment.experiment_id,
        assignment.condition_id,
        details.status,
        details.uniquifier,
        details.client_error,
        has_queue=has_queue(assignment),
        verify=verify,
    )


def unassigned_mark(point: PointKey, details: MarkDetails) -> MarkToSend:
    """Return the mark of a point at which nothing is assigned."""
    return MarkToSend(
        *point,
        None,
        None,
        None,
        details.status,
        details.uniquifier,
        details.client_error,
        has_queue=False,
    )


def log_of(entries: Sequence[LogInput]) -> LogToSend:
    """Return the log of entries that were validated."""
    return LogToSend(tuple(entries))


def reward_of(
    value: BinaryRewardValue,
    experiment_id: str | None,
    context: str | None,
    decision_point: DecisionPoint | None,
) -> RewardToSend:
    """Return the reward of arguments that were validated."""
    return RewardToSend(value, experiment_id, context, decision_point)


async def hand_over(
    user: User, backend: Backend, to_send: ToSend, event_id: str = ""
) -> OutboxEvent:
    """Hand an event over to the outbox; with an ``event_id``, once for all."""
    user.check_open()
    outbox = user.server.outbox
    if outbox is None:
        raise RuntimeError(
            "there is no outbox: give the connection one, UpgradeConnection(..., outbox=store)"
        )
    if not user.hands_over:
        raise ValueError(
            "this client has a token of its own, and the outbox keeps none: give the token to"
            " the connection, UpgradeConnection(..., token=...)"
        )
    identity = user.identity
    outbox.watch(identity.user_id, user.assignments)
    event = Event(
        identity.user_id,
        identity.session_id,
        identity.context,
        time.time(),
        to_send,
        user.stated_groups or (user.group, user.working_group),
    )
    return await outbox.add(backend, event, event_id, remember=bool(event_id))
