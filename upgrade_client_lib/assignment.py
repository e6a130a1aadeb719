"""What one decision point gave this user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from ._sync import ASYNC, SYNC, Backend, run_sync
from .types import (
    ExperimentType,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
    OutboxEvent,
    Payload,
)

__all__ = ["Assignment"]


class Marker(Protocol):
    """What sends an assignment's mark."""

    async def mark(
        self,
        backend: Backend,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint: ...

    async def enqueue(
        self,
        backend: Backend,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
        *,
        event_id: str = "",
    ) -> OutboxEvent: ...


class _HasMarker:
    """The marker is no field of attrs, so that it is no part of an assignment's data."""

    __slots__ = ("_marker",)

    _marker: Marker


@attrs.frozen(kw_only=True, repr=False)
class Assignment(_HasMarker):
    """The condition that applies for a user at a decision point, as it was when it was asked for.

    A snapshot: it never changes, and later marks and answers do not touch it. In a within-subjects
    experiment it is the next condition of the user's queue; after a mark, ask the client again.

    It is plain data, which compares, hashes and pickles; :meth:`as_dict` gives it for JSON. Two
    assignments are equal when they say the same to the same user. A copy marks as the original
    does. One that was unpickled is marked through :meth:`UpgradeClient.mark_assignment`.

    ``target`` is ``""`` for a decision point without one. ``experiment_id`` and
    ``condition_id`` are ``None`` where the server gave none.

    >>> assignment = client.get_decision_point_assignment_sync("home", "banner")
    >>> if assignment is not None and assignment.get_condition() == "treatment":
    ...     assignment.mark_decision_point_sync(
    ...         UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
    ...     )
    """

    user_id: str
    context: str
    site: str
    target: str
    experiment_id: str | None
    condition_id: str | None
    _condition: str | None = attrs.field(alias="condition")
    _experiment_type: ExperimentType | str | None = attrs.field(alias="experiment_type")
    _payload: Payload | None = attrs.field(alias="payload")
    _factors: Mapping[str, tuple[str, Payload | None]] = attrs.field(alias="factors", hash=False)
    _code_to_mark: str | None = attrs.field(alias="code_to_mark", eq=False)
    _has_queue: bool = attrs.field(default=False, alias="has_queue", eq=False)
    _is_stale: bool = attrs.field(default=False, alias="is_stale", eq=False)

    def __copy__(self) -> Assignment:
        return self  # as all that cannot be changed

    def __deepcopy__(self, memo: object) -> Assignment:
        return self

    def __repr__(self) -> str:
        shown = [f"site={self.site!r}", f"target={self.target!r}"]
        shown.append(f"condition={self._condition!r}")
        if self._payload is not None:
            shown.append(f"payload={self._payload.value!r}")
        if self._factors:
            levels = {factor: level for factor, (level, _) in self._factors.items()}
            shown.append(f"factors={levels!r}")
        return f"Assignment({', '.join(shown)})"

    def get_condition(self) -> str:
        """Return the code of the condition; ``""`` when there is none."""
        return self._condition or ""

    def get_payload(self) -> Payload | None:
        """Return what the condition carries; ``None`` when it carries nothing."""
        return self._payload

    def get_experiment_type(self) -> ExperimentType | str | None:
        """Tell a simple experiment from a factorial one.

        A type that this version does not know is given as its plain name, a missing one as
        ``None``.
        """
        return self._experiment_type

    @property
    def factors(self) -> list[str]:
        """The names of the factors; empty when the experiment is not factorial."""
        return list(self._factors)

    def get_factor_level(self, factor: str) -> str:
        """Return the level of a factor; ``""`` for a factor that the experiment does not have.

        A misspelt name gives ``""`` too: ``factors`` has the names that there are.
        """
        level, _ = self._factors.get(factor, ("", None))
        return level

    def get_factor_payload(self, factor: str) -> Payload | None:
        """Return what the level of a factor carries; ``None`` when it carries nothing."""
        _, payload = self._factors.get(factor, ("", None))
        return payload

    def as_dict(self) -> dict[str, Any]:
        """Return all that it says as a new ``dict`` that goes into JSON as it is.

        >>> assignment.as_dict()
        {'user_id': 'student-4', 'context': 'my-app', 'site': 'home', 'target': 'banner',
         'experiment_id': '...', 'condition_id': '...', 'condition': 'treatment',
         'experiment_type': 'Simple', 'payload': {'type': 'string', 'value': 'Welcome back!'},
         'factors': {}}
        """
        experiment_type = self._experiment_type
        return {
            "user_id": self.user_id,
            "context": self.context,
            "site": self.site,
            "target": self.target,
            "experiment_id": self.experiment_id,
            "condition_id": self.condition_id,
            "condition": self.get_condition(),
            "experiment_type": None if experiment_type is None else str(experiment_type),
            "payload": _payload_as_dict(self._payload),
            "factors": {
                factor: {"level": level, "payload": _payload_as_dict(payload)}
                for factor, (level, payload) in self._factors.items()
            },
        }

    async def mark_decision_point(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Tell the server that the user reached this decision point with this condition.

        The same as :meth:`UpgradeClient.mark_decision_point` with this snapshot's condition and
        ids, even if the client has learned another since. One that was unpickled has no
        client, and this is a ``RuntimeError``: use :meth:`UpgradeClient.mark_assignment` then.
        """
        return await self._client_marker.mark(ASYNC, self, status, uniquifier, client_error)

    def mark_decision_point_sync(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Tell the server, blocking, that the user reached this decision point.

        Arguments, answer and errors are those of :meth:`mark_decision_point`.
        """
        return run_sync(self._client_marker.mark(SYNC, self, status, uniquifier, client_error))

    async def enqueue_mark(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> OutboxEvent:
        """Hand the mark over to the connection's outbox, which delivers it.

        Arguments are those of :meth:`mark_decision_point`, and checked at once. Nothing is sent
        before this returns. The server dates the mark by its arrival. An ``OutboxFullError`` where
        the outbox is full, an ``OutboxError`` where its store fails; a ``RuntimeError`` without an
        outbox; a ``ValueError`` if the client has a token of its own, since none is kept.

        >>> await assignment.enqueue_mark("condition applied")
        """
        return await self._client_marker.enqueue(ASYNC, self, status, uniquifier, client_error)

    def enqueue_mark_sync(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> OutboxEvent:
        """Hand the mark over to the connection's outbox, blocking for its store alone.

        Arguments, answer and errors are those of :meth:`enqueue_mark`.
        """
        return run_sync(self._client_marker.enqueue(SYNC, self, status, uniquifier, client_error))

    @property
    def _client_marker(self) -> Marker:
        try:
            return self._marker
        except AttributeError:
            raise RuntimeError(
                "this assignment has no client, since it was unpickled or changed: mark it with"
                f" client.mark_assignment(assignment, status), of a client for user"
                f" {self.user_id!r} in context {self.context!r}"
            ) from None


def has_queue(assignment: Assignment) -> bool:
    """Whether marks advance its decision point: the experiment is within-subjects."""
    return assignment._has_queue  # pyright: ignore[reportPrivateUsage]


def code_to_mark(assignment: Assignment) -> str | None:
    """Return the code by which a mark names the condition; ``None`` where there is none."""
    return assignment._code_to_mark  # pyright: ignore[reportPrivateUsage]


def is_stale(assignment: Assignment) -> bool:
    """Whether it is of an outdated answer: the server is asked again before it is marked."""
    return assignment._is_stale  # pyright: ignore[reportPrivateUsage]


def stale(assignment: Assignment, marker: Marker) -> Assignment:
    """Return an assignment as one of an outdated answer, marked by this marker."""
    return attach_marker(attrs.evolve(assignment, is_stale=True), marker)


def attach_marker(assignment: Assignment, marker: Marker) -> Assignment:
    """Have a new assignment marked by this marker, and return it."""
    object.__setattr__(assignment, "_marker", marker)
    return assignment


def _payload_as_dict(payload: Payload | None) -> dict[str, str] | None:
    return None if payload is None else {"type": str(payload.type), "value": payload.value}
