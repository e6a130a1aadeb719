"""Marking a decision point, and what a mark changes in what is known of the user."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Callable, ClassVar, TypeVar

import attrs

from .. import _api
from .._http import CallOptions
from .._rules import arguments
from .._rules.queues import Mark, MarkOutcome, PointKey
from .._sync import Backend
from ..assignment import Assignment, code_to_mark, is_stale
from ..exceptions import ConflictError, OutboxError, OutboxFullError, UpgradeApiError
from ..types import MarkedDecisionPointStatus

if TYPE_CHECKING:
    from .._outbox import MarkToSend
    from ..types import MarkedDecisionPoint, OutboxEvent
    from .operations import User

T = TypeVar("T")


@attrs.frozen
class MarkDetails:
    """What a mark reports beside point and condition."""

    status: MarkedDecisionPointStatus
    uniquifier: str
    client_error: str

    @classmethod
    def validated(cls, status: object, uniquifier: object, client_error: object) -> MarkDetails:
        return cls(
            arguments.status(status),
            "" if uniquifier is None else arguments.storable("uniquifier", uniquifier),
            "" if client_error is None else arguments.storable("client_error", client_error),
        )


@attrs.frozen
class UserMarker:
    """Marks decision points for one user, with the options of a client or a view."""

    verifies: ClassVar[bool] = False
    """Whether a mark is sent only once the server assigns the same again."""

    user: User
    options: CallOptions

    async def mark(
        self,
        backend: Backend,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        """Mark an assignment's point, with the assignment's condition and ids."""
        return await self._send(
            backend,
            self.options,
            (assignment.site, assignment.target),
            assignment.experiment_id,
            code_to_mark(assignment),
            assignment.condition_id,
            MarkDetails.validated(status, uniquifier, client_error),
        )

    async def enqueue(
        self,
        backend: Backend,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
        *,
        event_id: str = "",
    ) -> OutboxEvent:
        """Hand the mark of an assignment over to the outbox.

        With an ``event_id``, that is done once however often it is tried.
        """
        details = MarkDetails.validated(status, uniquifier, client_error)
        from .handing_over import mark_of  # late: most have no outbox

        to_send = mark_of(assignment, details, verify=self.verifies)
        return await self._hand_over(backend, to_send, event_id)

    async def enqueue_unassigned(
        self, backend: Backend, point: PointKey, details: MarkDetails, *, event_id: str = ""
    ) -> OutboxEvent:
        """Hand the mark of a point over at which nothing is assigned; see :meth:`enqueue`."""
        from .handing_over import unassigned_mark

        return await self._hand_over(backend, unassigned_mark(point, details), event_id)

    async def _hand_over(self, backend: Backend, to_send: MarkToSend, event_id: str) -> OutboxEvent:
        from .handing_over import hand_over

        return await self._with_effect(
            backend,
            to_send.as_rule(),
            lambda: hand_over(self.user, backend, to_send, event_id),
            lambda _: (None, ""),
        )

    async def mark_assignment(
        self,
        backend: Backend,
        assignment: object,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        """Mark an assignment of this user, wherever it was made."""
        if not isinstance(assignment, Assignment):
            given = "None" if assignment is None else type(assignment).__name__
            raise TypeError(f"assignment must be an Assignment, not {given}")
        identity = self.user.identity
        if (assignment.user_id, assignment.context) != (identity.user_id, identity.context):
            raise ValueError(
                f"the assignment is one of user {assignment.user_id!r} in context"
                f" {assignment.context!r}, but this is a client of user {identity.user_id!r} in"
                f" context {identity.context!r}"
            )
        marker = VerifyingMarker(self.user, self.options) if is_stale(assignment) else self
        return await marker.mark(backend, assignment, status, uniquifier, client_error)

    async def mark_unassigned(
        self, backend: Backend, point: PointKey, details: MarkDetails
    ) -> MarkedDecisionPoint:
        """Mark a point at which nothing is assigned."""
        return await self._send(backend, self.options, point, None, None, None, details)

    async def mark_point(
        self,
        backend: Backend,
        site: object,
        target: object,
        condition: object,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        """Mark a point with the ids of what it assigns, as far as these can be learned."""
        arguments.check_mark_order(target, condition)
        point = arguments.point(site, target)
        code = arguments.condition(condition)
        details = MarkDetails.validated(status, uniquifier, client_error)

        options = self.options
        experiment_id = condition_id = None
        record = self.user.assignments.get_valid(point)
        if record is None:
            total = options.timeout.total
            deadline = time.monotonic() + total
            try:
                record = await self.user.load_point(backend, options.within(total / 2), point)
                if record.stale_because is not None:
                    record = None
            except UpgradeApiError:
                record = None  # The mark matters more than its ids.
            options = options.within(deadline - time.monotonic())
        if record is not None:
            experiment_id = record.experiment_at(point)
            assigned = record.current(point, self)
            if assigned is not None:
                condition_id = assigned.condition_id
                if code == assigned.get_condition():
                    code = code_to_mark(assigned)
                elif code:
                    condition_id = record.id_of_condition(point, code) or condition_id
        return await self._send(backend, options, point, experiment_id, code, condition_id, details)

    async def _send(
        self,
        backend: Backend,
        options: CallOptions,
        point: PointKey,
        experiment_id: str | None,
        condition: str | None,
        condition_id: str | None,
        details: MarkDetails,
    ) -> MarkedDecisionPoint:
        user = self.user
        operation = _api.mark(
            user.identity,
            point,
            condition=condition,
            experiment_id=experiment_id,
            condition_id=condition_id,
            status=details.status,
            uniquifier=details.uniquifier,
            client_error=details.client_error,
        )
        excludes = details.status is MarkedDecisionPointStatus.CONDITION_FAILED_TO_APPLY
        return await self._with_effect(
            backend,
            Mark(point, experiment_id, condition, excludes),
            lambda: user.write_mark(backend, options, operation),
            lambda marked: (marked.experimentId, marked.userId),
        )

    async def _with_effect(
        self,
        backend: Backend,
        mark: Mark,
        send: Callable[[], Awaitable[T]],
        said: Callable[[T], tuple[str | None, str]],
    ) -> T:
        """Await what sends a mark or hands it over, and do to what is known what the mark does.

        ``said`` returns the experiment that the response names, and the user, if any.
        """
        user = self.user
        assignments = user.assignments
        shared, record = user.shared, assignments.value
        load_id = None if record is None else record.load_id
        if shared is not None and record is None:
            load_id = await shared.load_id(backend)
        repeats_last = assignments.repeats_last(mark)
        pending = assignments.begin_mark(mark)
        outcome: MarkOutcome = "unknown"  # and so it stays when the call is cancelled
        stored_experiment_id: str | None = None
        root_id = ""
        was_answered = False
        try:
            result = await send()
            was_answered = True
            outcome = "applied"
            stored_experiment_id, root_id = said(result)
        except OutboxError as error:
            was_answered = True
            if isinstance(error, OutboxFullError):
                outcome = "rejected"
            raise
        except UpgradeApiError as error:
            was_answered = True
            if not error.may_have_been_applied:
                outcome = "rejected"
            raise
        finally:
            assignments.end_mark(pending, outcome, user.rotation, stored_experiment_id)
            if shared is not None:
                sharing = shared.marked(
                    backend, mark, outcome, load_id, root_id, stored_experiment_id, repeats_last
                )
                if was_answered:
                    await backend.complete(sharing)
                else:
                    backend.finish(sharing)
        return result


@attrs.frozen
class VerifyingMarker(UserMarker):
    """Marks assignments of a stale answer, once the server assigns the same again."""

    verifies: ClassVar[bool] = True

    async def mark(
        self,
        backend: Backend,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        """Ask the server, and mark if it names the same experiment and condition.

        Else a ``ConflictError``: whoever is marked is enrolled, in what runs by then.
        """
        MarkDetails.validated(status, uniquifier, client_error)
        point = assignment.site, assignment.target
        total = self.options.timeout.total
        deadline = time.monotonic() + total
        current = await self.user.current(backend, self.options.within(total / 2), point)
        if current is None or (current.experiment_id, current.get_condition()) != (
            assignment.experiment_id,
            assignment.get_condition(),
        ):
            raise ConflictError(
                f"not marked: {point!r} no longer assigns {assignment.get_condition()!r}, which an"
                " outdated answer named while the server could not be asked",
                attempts=0,
            )
        left = self.options.within(deadline - time.monotonic())
        return await UserMarker(self.user, left).mark(
            backend, current, status, uniquifier, client_error
        )
