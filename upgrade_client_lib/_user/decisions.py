"""Decisions for one user: what is known or asked of the server, whatever goes wrong there."""

from __future__ import annotations

import copy
import logging
import time
from typing import TYPE_CHECKING

import attrs

from .._http import CallOptions
from .._rules import arguments
from .._rules.freshness import is_fresh
from .._rules.queues import PointKey
from .._sync import Backend
from ..assignment import stale
from ..decision import Decision, FlagDecision, attach_decision_marker
from ..exceptions import OutboxError, UpgradeApiError
from ..types import (
    DecisionReason,
    DecisionSource,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    OutboxEvent,
)
from .marks import MarkDetails, UserMarker, VerifyingMarker
from .record import Flags, Record, Validity

if TYPE_CHECKING:
    from .operations import User

_logger = logging.getLogger("upgrade_client_lib")


async def decide(
    user: User,
    backend: Backend,
    options: CallOptions,
    site: object,
    target: object,
    default: object,
) -> Decision:
    """Return what to show at a decision point; only wrong arguments and a closed client raise."""
    point = arguments.point(site, target)
    fallback = arguments.default(default)
    source = DecisionSource.CACHE
    record: Record | UpgradeApiError | None = user.assignments.get_valid(point)
    if record is None:
        record = user.circuit_error()
    if record is None:
        try:
            record = await user.load_point(backend, options, point)
            source = _source_of(record)
        except UpgradeApiError as error:
            record = _detached(error)
    if isinstance(record, UpgradeApiError):
        decision = _failed(user, point, fallback, record)
    else:
        decision = _decided(user, options, record, point, fallback, source)
    if user.server.hooks:
        user.server.hooks.call("decided", decision)
    return decision


async def decide_flag(
    user: User, backend: Backend, options: CallOptions, key: object, default: object
) -> FlagDecision:
    """Return whether a flag is on; only wrong arguments and a closed client raise."""
    checked = arguments.nonempty("key", key)
    fallback = arguments.boolean("default", default)
    source = DecisionSource.CACHE
    flags: Flags | UpgradeApiError | None = user.flags.value
    if flags is None:
        flags = user.circuit_error()
    if flags is None:
        try:
            flags = await user.load_flags(backend, options)
            source = _source_of(flags)
        except UpgradeApiError as error:
            flags = _detached(error)
    if isinstance(flags, UpgradeApiError):
        decision = _flag_failed(user, checked, fallback, flags)
    else:
        decision = _flag_decided(user, flags, checked, source)
    if user.server.hooks:
        user.server.hooks.call("decided", decision)
    return decision


def _source_of(loaded: Record | Flags) -> DecisionSource:
    """Return where an answer comes from that was just loaded."""
    if loaded.stale_because is not None:
        return DecisionSource.STALE
    return DecisionSource.SERVER if loaded.is_from_server else DecisionSource.CACHE


def _decided(
    user: User,
    options: CallOptions,
    record: Record,
    point: PointKey,
    default: str,
    source: DecisionSource,
) -> Decision:
    assignment = record.current(point, user.default_marker)
    validity = record.validity
    if assignment is None and point in record.items:
        validity = Validity({point})  # a mark would enrol in what cannot be read, and was not shown
    if assignment is not None:
        if source is DecisionSource.STALE:
            assignment = stale(assignment, VerifyingMarker(user, options))
        else:
            assignment = user.with_options(options, assignment)
    decision = attach_decision_marker(
        Decision(
            user_id=user.identity.user_id,
            context=user.identity.context,
            site=point[0],
            target=point[1],
            condition=default if assignment is None else assignment.get_condition(),
            reason=DecisionReason.NOT_ASSIGNED if assignment is None else DecisionReason.ASSIGNED,
            source=source,
            assignment=assignment,
            answered_at=record.answered_at,
        ),
        UserDecisionMarker(user, options, validity),
    )
    cached = source is DecisionSource.CACHE
    if cached and options is user.server.options and not user.server.hooks:
        record.keep_decision(point, decision)
    return decision


def _failed(user: User, point: PointKey, default: str, error: UpgradeApiError) -> Decision:
    return attach_decision_marker(
        Decision(
            user_id=user.identity.user_id,
            context=user.identity.context,
            site=point[0],
            target=point[1],
            condition=default,
            reason=DecisionReason.ERROR,
            source=None,
            error=error,
        ),
        UserDecisionMarker(user, user.server.options, Validity()),
    )


def _flag_decided(user: User, flags: Flags, key: str, source: DecisionSource) -> FlagDecision:
    enabled = key in flags
    decision = FlagDecision(
        user_id=user.identity.user_id,
        context=user.identity.context,
        key=key,
        enabled=enabled,
        reason=DecisionReason.ASSIGNED if enabled else DecisionReason.NOT_ASSIGNED,
        source=source,
        answered_at=flags.answered_at,
    )
    if source is DecisionSource.CACHE and not user.server.hooks:
        flags.keep_decision(decision)
    return decision


def _flag_failed(user: User, key: str, default: bool, error: UpgradeApiError) -> FlagDecision:
    return FlagDecision(
        user_id=user.identity.user_id,
        context=user.identity.context,
        key=key,
        enabled=default,
        reason=DecisionReason.ERROR,
        source=None,
        error=error,
    )


def _detached(error: UpgradeApiError) -> UpgradeApiError:
    """Return an error to keep, without its causes and the frames that they came through.

    These hold the client, its connection, and requests with the token.
    """
    return copy.copy(error)


@attrs.frozen
class UserDecisionMarker:
    """Marks decisions of one user; ``validity`` is that of the answer which they rest on."""

    user: User
    options: CallOptions
    validity: Validity

    async def mark_decision(
        self,
        backend: Backend,
        decision: Decision,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint | OutboxEvent | None:
        """Mark what was shown, or hand its mark over, if that is safe; log what goes wrong."""
        if status is None:
            status = (
                MarkedDecisionPointStatus.CONDITION_APPLIED
                if decision
                else MarkedDecisionPointStatus.NO_CONDITION_ASSIGNED
            )
        details = MarkDetails.validated(status, uniquifier, client_error)
        if decision.reason is DecisionReason.ERROR:
            return None
        point = decision.site, decision.target
        marker = UserMarker(self.user, self.options)
        if decision.source is DecisionSource.STALE:
            marker = VerifyingMarker(self.user, self.options)
        hands_over = self.user.hands_over
        try:
            if decision.assignment is not None:
                send = marker.enqueue if hands_over else marker.mark
                return await send(
                    backend,
                    decision.assignment,
                    details.status,
                    details.uniquifier,
                    details.client_error,
                )
            if self._is_still_unassigned(decision, point):
                if hands_over:
                    return await marker.enqueue_unassigned(backend, point, details)
                return await marker.mark_unassigned(backend, point, details)
        except UpgradeApiError as error:
            _logger.warning("the mark of %r was not sent: %s", point, error)
            return None
        except OutboxError as error:
            _logger.warning("the mark of %r was not handed over: %s", point, error)
            if self.user.server.hooks:
                self.user.server.hooks.call("handover_failed", error)
            return None
        _logger.info("%r is not marked: its answer is no longer fresh, or could not be read", point)
        return None

    def _is_still_unassigned(self, decision: Decision, point: PointKey) -> bool:
        """Whether the answer that nothing is assigned is fresh, and nothing speaks against it.

        Where it was taken back, or replaced by a newer one, the newer one must say the same.
        """
        user = self.user
        if decision.answered_at is None or not is_fresh(
            decision.answered_at, time.time(), user.server.max_age
        ):
            return False
        if not self.validity.is_discarded:
            return point not in self.validity.invalidated
        record = user.assignments.get_valid(point)
        return record is not None and point not in record.items
