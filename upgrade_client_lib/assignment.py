"""What one decision point gave this user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from ._sync import ASYNC, SYNC, Backend, run_sync
from .types import ExperimentType, MarkedDecisionPoint, MarkedDecisionPointStatus, Payload

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


@attrs.frozen(repr=False)
class Assignment:
    """The condition that applies for a user at a decision point, as it was when it was asked for.

    A snapshot: it never changes, and later marks and answers do not touch it. Two assignments
    are equal when they say the same of the same decision point. In a within-subjects experiment
    it is the next condition of the user's queue; after a mark, ask the client again.

    ``target`` is ``""`` for a decision point without one. ``experiment_id`` and
    ``condition_id`` are ``None`` where the server gave none.

    >>> assignment = client.get_decision_point_assignment_sync("home", "banner")
    >>> if assignment is not None and assignment.get_condition() == "treatment":
    ...     assignment.mark_decision_point_sync(
    ...         UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
    ...     )
    """

    site: str
    target: str
    experiment_id: str | None
    condition_id: str | None
    _condition: str | None = attrs.field(alias="condition")
    _experiment_type: ExperimentType | str | None = attrs.field(alias="experiment_type")
    _payload: Payload | None = attrs.field(alias="payload")
    _factors: Mapping[str, tuple[str, Payload | None]] = attrs.field(alias="factors", hash=False)
    _marker: Marker = attrs.field(alias="marker", eq=False)

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
        """Return the level of a factor; ``""`` for a factor that the experiment does not have."""
        level, _ = self._factors.get(factor, ("", None))
        return level

    def get_factor_payload(self, factor: str) -> Payload | None:
        """Return what the level of a factor carries; ``None`` when it carries nothing."""
        _, payload = self._factors.get(factor, ("", None))
        return payload

    async def mark_decision_point(
        self,
        status: MarkedDecisionPointStatus | str,
        uniquifier: str = "",
        client_error: str = "",
    ) -> MarkedDecisionPoint:
        """Tell the server that the user reached this decision point with this condition.

        The same as :meth:`UpgradeClient.mark_decision_point` with this snapshot's condition and
        ids, even if the client has learned another since.
        """
        return await self._marker.mark(ASYNC, self, status, uniquifier, client_error)

    def mark_decision_point_sync(
        self,
        status: MarkedDecisionPointStatus | str,
        uniquifier: str = "",
        client_error: str = "",
    ) -> MarkedDecisionPoint:
        """Tell the server, blocking, that the user reached this decision point.

        The same as :meth:`UpgradeClient.mark_decision_point_sync` with this snapshot's condition
        and ids, even if the client has learned another since.
        """
        return run_sync(self._marker.mark(SYNC, self, status, uniquifier, client_error))
