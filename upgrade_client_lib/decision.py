"""Decisions: answers for a page, which never raise, and say why they are what they are."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs

from ._sync import ASYNC, SYNC, Backend, run_sync
from .assignment import Assignment
from .exceptions import UpgradeApiError
from .types import (
    DecisionReason,
    DecisionSource,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
    OutboxEvent,
    Payload,
)

__all__ = ["Decision", "FlagDecision"]


class DecisionMarker(Protocol):
    """What sends a decision's mark."""

    async def mark_decision(
        self,
        backend: Backend,
        decision: Decision,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint | OutboxEvent | None: ...


class _HasMarker:
    """The marker is no field of attrs, so that it is no part of a decision's data."""

    __slots__ = ("_marker",)

    _marker: DecisionMarker


@attrs.frozen(kw_only=True, repr=False)
class Decision(_HasMarker):
    """What to show at a decision point. It is true where a condition was assigned.

    ``condition`` is the code of the condition that was assigned, else the default. ``reason`` says
    which: ``ASSIGNED``, ``NOT_ASSIGNED``, or ``ERROR`` with the ``error``. ``source`` is ``SERVER``
    where this call asked the server, ``CACHE`` for an earlier answer, ``STALE`` for one that is
    too old and could not be asked for again, and ``None`` after an error. ``assignment`` is there
    where the reason is ``ASSIGNED``. As text, such as in a template, it is its ``condition``.

    It is plain data, which compares, copies and pickles. One that was unpickled cannot be marked;
    its assignment can, by :meth:`UpgradeClient.mark_assignment`.

    >>> decision = client.decide_sync("home", "banner", default="control")
    >>> if decision.condition == "treatment":
    ...     show_new_banner()
    >>> decision.mark_sync()
    """

    user_id: str
    context: str
    site: str
    target: str
    condition: str
    reason: DecisionReason
    source: DecisionSource | None
    assignment: Assignment | None = None
    error: UpgradeApiError | None = attrs.field(default=None, eq=False)
    answered_at: float | None = attrs.field(default=None, eq=False)
    """When the server gave the answer, as by ``time.time()``; ``None`` after an error."""

    def __bool__(self) -> bool:
        return self.reason is DecisionReason.ASSIGNED

    def __str__(self) -> str:
        return self.condition

    def __copy__(self) -> Decision:
        return self  # as all that cannot be changed

    def __deepcopy__(self, memo: object) -> Decision:
        return self

    @property
    def payload(self) -> Payload | None:
        """What the condition carries; ``None`` when it carries nothing, or none is assigned."""
        return None if self.assignment is None else self.assignment.get_payload()

    @property
    def factors(self) -> Sequence[str]:
        """The names of the factors; empty when the experiment is not factorial."""
        return [] if self.assignment is None else self.assignment.factors

    @property
    def age(self) -> float | None:
        """For how many seconds the answer has been known; ``None`` after an error."""
        return _age(self.answered_at)

    def get_factor_level(self, factor: str) -> str:
        """Return the level of a factor; ``""`` for a factor that the experiment does not have."""
        return "" if self.assignment is None else self.assignment.get_factor_level(factor)

    def get_factor_payload(self, factor: str) -> Payload | None:
        """Return what the level of a factor carries; ``None`` when it carries nothing."""
        return None if self.assignment is None else self.assignment.get_factor_payload(factor)

    def as_dict(self) -> dict[str, Any]:
        """Return everything it says as a new ``dict`` of text, numbers and further such, for JSON.

        >>> decision.as_dict()
        {'user_id': 'student-4', 'context': 'my-app', 'site': 'home', 'target': 'banner',
         'condition': 'treatment', 'reason': 'assigned', 'source': 'server', 'age': 0.01,
         'error': None, 'assignment': {...}}
        """
        return {
            "user_id": self.user_id,
            "context": self.context,
            "site": self.site,
            "target": self.target,
            "condition": self.condition,
            **_why(self),
            "assignment": None if self.assignment is None else self.assignment.as_dict(),
        }

    def __repr__(self) -> str:
        return f"Decision({_shown(self._facts())})"

    def _repr_html_(self) -> str:
        return _table("Decision", self._facts())

    def _facts(self) -> Mapping[str, object]:
        facts: dict[str, object] = {
            "site": self.site,
            "target": self.target,
            "condition": self.condition,
            **_said(self),
        }
        if self.payload is not None:
            facts["payload"] = self.payload.value
        if self.factors:
            facts["factors"] = {name: self.get_factor_level(name) for name in self.factors}
        return facts

    async def mark(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText | None = None,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint | OutboxEvent | None:
        """Tell the server what was shown, and return the mark; ``None`` where none was made.

        If the connection has an outbox, the mark is handed over to it, and the event is returned;
        but the mark of a client with a token of its own is sent.

        Nothing that server, network or outbox do raises: it is logged, and hooks hear of it. Wrong
        arguments raise. Without a status, an assigned condition is marked "condition applied", and
        a default that was shown because nothing is assigned "no condition assigned", without a
        condition. After an error nothing is sent, since UpGrade enrols whoever is marked in what
        runs by then, and this user saw the default without being assigned it. For the same reason
        "no condition assigned" is sent only while the answer behind it is fresh.

        >>> await decision.mark()
        """
        return await self._client_marker.mark_decision(
            ASYNC, self, status, uniquifier, client_error
        )

    def mark_sync(
        self,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText | None = None,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint | OutboxEvent | None:
        """Tell the server, blocking, what was shown.

        Arguments, answer and errors are those of :meth:`mark`.
        """
        return run_sync(
            self._client_marker.mark_decision(SYNC, self, status, uniquifier, client_error)
        )

    @property
    def _client_marker(self) -> DecisionMarker:
        try:
            return self._marker
        except AttributeError:
            todo = "decide again"
            if self.assignment is not None:
                todo = "mark its assignment, by client.mark_assignment(decision.assignment, ...)"
            raise RuntimeError(
                f"this decision has no client, since it was unpickled or changed: {todo}, with a"
                f" client of user {self.user_id!r} in context {self.context!r}"
            ) from None


@attrs.frozen(kw_only=True, repr=False)
class FlagDecision:
    """Whether a feature flag is on. It is true where it is.

    A flag that is off for this user and one that does not exist are the same to UpGrade:
    ``enabled`` is false, and ``reason`` is ``NOT_ASSIGNED``. After an ``ERROR``, ``enabled`` is the
    default. ``source`` and ``age`` are those of :class:`Decision`. As text, such as in a template,
    it is ``True`` or ``False``.

    >>> if client.decide_flag_sync("new-dashboard"):
    ...     show_new_dashboard()
    """

    user_id: str
    context: str
    key: str
    enabled: bool
    reason: DecisionReason
    source: DecisionSource | None
    error: UpgradeApiError | None = attrs.field(default=None, eq=False)
    answered_at: float | None = attrs.field(default=None, eq=False)
    """When the server gave the answer, as by ``time.time()``; ``None`` after an error."""

    def __bool__(self) -> bool:
        return self.enabled

    def __str__(self) -> str:
        return str(self.enabled)

    @property
    def age(self) -> float | None:
        """For how many seconds the answer has been known; ``None`` after an error."""
        return _age(self.answered_at)

    def as_dict(self) -> dict[str, Any]:
        """Return everything it says as a new ``dict`` of text, numbers and further such, for JSON.

        >>> flag.as_dict()
        {'user_id': 'student-4', 'context': 'my-app', 'key': 'new-dashboard', 'enabled': True,
         'reason': 'assigned', 'source': 'cache', 'age': 12.5, 'error': None}
        """
        return {
            "user_id": self.user_id,
            "context": self.context,
            "key": self.key,
            "enabled": self.enabled,
            **_why(self),
        }

    def __repr__(self) -> str:
        return f"FlagDecision({_shown(self._facts())})"

    def _repr_html_(self) -> str:
        return _table("FlagDecision", self._facts())

    def _facts(self) -> Mapping[str, object]:
        return {"key": self.key, "enabled": self.enabled, **_said(self)}


def attach_decision_marker(decision: Decision, marker: DecisionMarker) -> Decision:
    """Have a new decision marked by this marker, and return it."""
    object.__setattr__(decision, "_marker", marker)
    return decision


def _age(answered_at: float | None) -> float | None:
    return None if answered_at is None else max(time.time() - answered_at, 0.0)


def _why(decision: Decision | FlagDecision) -> dict[str, Any]:
    return {
        "reason": str(decision.reason),
        "source": None if decision.source is None else str(decision.source),
        "age": decision.age,
        "error": None if decision.error is None else str(decision.error),
    }


def _said(decision: Decision | FlagDecision) -> dict[str, object]:
    said: dict[str, object] = {"reason": str(decision.reason)}
    if decision.source is not None:
        said["source"] = str(decision.source)
    if decision.error is not None:
        said["error"] = str(decision.error)
    return said


def _shown(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in facts.items())


def _table(title: str, facts: Mapping[str, object]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"
