"""An event as it is kept, and its request.

The bytes are JSON, of a format that a number names; unknown keys are ignored by a reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Optional, Union

import attrs

from .. import _api
from .._http import Operation
from .._rules import delivery
from .._rules.queues import Mark, PointKey
from ..stores.event_protocol import StoredEvent
from ..types import (
    BinaryRewardValue,
    DecisionPoint,
    LogGroupMetrics,
    LogInput,
    LogMetrics,
    MarkedDecisionPointStatus,
    OutboxEvent,
    OutboxEventKind,
    OutboxEventState,
)

FORMAT = 1

Groups = tuple[Optional[Mapping[str, Sequence[str]]], Optional[Mapping[str, str]]]
"""A user's groups and working group, each as far as it is known."""


@attrs.frozen
class MarkToSend:
    """A mark of an assignment, or of a point at which nothing is assigned.

    ``has_queue`` says that the experiment is within-subjects. ``verify`` has the mark sent only if
    the server assigns the same by then.
    """

    site: str
    target: str
    condition: str | None
    experiment_id: str | None
    condition_id: str | None
    status: MarkedDecisionPointStatus
    uniquifier: str = ""
    client_error: str = ""
    has_queue: bool = True
    verify: bool = False

    @property
    def point(self) -> PointKey:
        return self.site, self.target

    def as_rule(self) -> Mark:
        """Return what the rules of queues need to know of it."""
        excludes = self.status is MarkedDecisionPointStatus.CONDITION_FAILED_TO_APPLY
        return Mark(self.point, self.experiment_id, self.condition, excludes)


@attrs.frozen
class LogToSend:
    """Log entries, which were validated."""

    entries: tuple[LogInput, ...]


@attrs.frozen
class RewardToSend:
    """A reward, which was validated."""

    value: BinaryRewardValue
    experiment_id: str | None
    context: str | None
    decision_point: DecisionPoint | None


ToSend = Union[MarkToSend, LogToSend, RewardToSend]


@attrs.frozen
class Event:
    """What was handed over for one user, and what came of it so far.

    ``groups`` are those that the client knew or was told of. ``created_at`` is as by
    ``time.time()``, and so is ``retried_at``, when a person wanted to have it sent again.
    ``may_have_been_applied`` says so of any of the attempts so far.
    """

    user_id: str
    session_id: str
    context: str
    created_at: float
    to_send: ToSend
    groups: Groups = (None, None)
    attempts: int = 0
    problem: str | None = None
    retried_at: float | None = None
    may_have_been_applied: bool = False

    @property
    def kind(self) -> delivery.Kind:
        if isinstance(self.to_send, MarkToSend):
            return "mark"
        return "log" if isinstance(self.to_send, LogToSend) else "reward"

    @property
    def mark(self) -> MarkToSend | None:
        return self.to_send if isinstance(self.to_send, MarkToSend) else None

    @property
    def is_repeatable(self) -> bool:
        mark = self.mark
        return delivery.is_repeatable(
            self.kind,
            experiment_id=None if mark is None else mark.experiment_id,
            has_queue=mark is not None and mark.has_queue,
        )

    def identity(self, token: str) -> _api.Identity:
        return _api.Identity(self.user_id, self.session_id, self.context, token)

    def operation(self, token: str) -> Operation[Any]:
        """Return the request, and how its response is read."""
        identity, to_send = self.identity(token), self.to_send
        if isinstance(to_send, LogToSend):
            return _api.log(identity, to_send.entries)
        if isinstance(to_send, RewardToSend):
            return _api.reward(
                identity,
                to_send.value,
                experiment_id=to_send.experiment_id,
                context=to_send.context,
                decision_point=to_send.decision_point,
            )
        return _api.mark(
            identity,
            to_send.point,
            condition=to_send.condition,
            experiment_id=to_send.experiment_id,
            condition_id=to_send.condition_id,
            status=to_send.status,
            uniquifier=to_send.uniquifier,
            client_error=to_send.client_error,
        )

    def tried(self, problem: object) -> Event:
        """Return the event after another attempt, and what was wrong with it."""
        return attrs.evolve(self, attempts=self.attempts + 1, problem=str(problem))

    def begun_again(self, now: float) -> Event:
        """Return the event as one that a person wants to have sent: it has all its attempts."""
        return attrs.evolve(self, attempts=0, retried_at=now)

    def has_expired(self, max_age: float, now: float) -> bool:
        """Whether it waits for too long."""
        return now - (self.retried_at or self.created_at) >= max_age


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_EVENT_FIELDS = [field.name for field in attrs.fields(Event) if field.name != "to_send"]
_MARK_FIELDS = [field.name for field in attrs.fields(MarkToSend)]


def encode(event: Event) -> bytes:
    """Return an event as bytes."""
    encoded = {name: getattr(event, name) for name in _EVENT_FIELDS}
    encoded["format"] = FORMAT
    encoded["kind"] = event.kind
    encoded["to_send"] = _encoded(event.to_send)
    return _to_json(encoded).encode("utf-8", "surrogatepass")


def _encoded(to_send: ToSend) -> dict[str, Any]:
    if isinstance(to_send, MarkToSend):  # at a third of the time of asdict
        values = {name: getattr(to_send, name) for name in _MARK_FIELDS}
        return {name: value for name, value in values.items() if value not in ("", None)}
    return attrs.asdict(to_send)


def decode(data: bytes) -> Event | None:
    """Return the event that bytes hold; ``None`` where they hold none that this version reads."""
    try:
        known = json.loads(data.decode("utf-8", "surrogatepass"))
        if known["format"] != FORMAT:
            return None
        group, working_group = known["groups"]
        return Event(
            known["user_id"],
            known["session_id"],
            known["context"],
            known["created_at"],
            _decoded(known["kind"], known["to_send"]),
            (group, working_group),
            known["attempts"],
            known["problem"],
            known["retried_at"],
            known["may_have_been_applied"],
        )
    except (ValueError, TypeError, KeyError):
        return None


def _decoded(kind: str, known: Mapping[str, Any]) -> ToSend:
    if kind == "log":
        return LogToSend(tuple(_log_input(entry) for entry in known["entries"]))
    if kind == "reward":
        point = known["decision_point"]
        return RewardToSend(
            BinaryRewardValue(known["value"]),
            known["experiment_id"],
            known["context"],
            None if point is None else DecisionPoint(**point),
        )
    return MarkToSend(
        known["site"],
        known.get("target", ""),
        known.get("condition"),
        known.get("experiment_id"),
        known.get("condition_id"),
        MarkedDecisionPointStatus(known["status"]),
        known.get("uniquifier", ""),
        known.get("client_error", ""),
        known["has_queue"],
        known["verify"],
    )


def _log_input(entry: Mapping[str, Any]) -> LogInput:
    metrics = entry["metrics"]
    groups = [LogGroupMetrics(**group) for group in metrics["groupedMetrics"]]
    return LogInput(entry["timestamp"], LogMetrics(metrics["attributes"], groups))


def shown(stored: StoredEvent) -> OutboxEvent | None:
    """Return what is told of an event; ``None`` for one that this version cannot read."""
    event = decode(stored.data)
    return None if event is None else describe(event, stored.id, OutboxEventState(stored.state))


def describe(event: Event, event_id: str, state: OutboxEventState) -> OutboxEvent:
    """Return what is told of an event that has this id and state."""
    site, target = _place(event.to_send)
    return OutboxEvent(
        id=event_id,
        kind=OutboxEventKind(event.kind),
        state=state,
        user_id=event.user_id,
        context=event.context,
        site=site,
        target=target,
        created_at=datetime.fromtimestamp(event.created_at, timezone.utc),
        attempts=event.attempts,
        problem=event.problem,
    )


def _place(to_send: ToSend) -> PointKey:
    if isinstance(to_send, MarkToSend):
        return to_send.point
    if isinstance(to_send, RewardToSend) and to_send.decision_point is not None:
        return to_send.decision_point.site, to_send.decision_point.target
    return "", ""
