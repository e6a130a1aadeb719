"""Decisions for one user: what is known or asked of the server, whatever goes wrong there."""

from __future__ import annotations

import logging
import time
import weakref
from typing import TYPE_CHECKING, Callable

import attrs

from .._http import CallOptions
from .._rules import arguments
from .._rules.freshness import is_fresh
from .._rules.queues import PointKey
from .._sync import Backend
from ..decision import Decision, FlagDecision, attach_decision_marker
from ..exceptions import UpgradeApiError
from ..types import (
    DecisionReason,
    DecisionSource,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
)
from .marks import MarkDetails, UserMarker
from .record import Flags, Record
from .single_flight import without_traceback

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
    fallback = arguments.text("default", default)
    source = DecisionSource.CACHE
    try:
        record = user.assignments.get_valid(point)
        if record is None:
            user.check_circuit()
            source = DecisionSource.SERVER
            record = await user.load_point(backend, options, point)
    except UpgradeApiError as error:
        decision = _failed(user, point, fallback, error)
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
    identity = user.identity
    try:
        flags = user.flags.value
        source = DecisionSource.SERVER if flags is None else DecisionSource.CACHE
        if flags is None:
            user.check_circuit()
            flags = await user.load_flags(backend, options)
    except UpgradeApiError as error:
        decision = FlagDecision(
            user_id=identity.user_id,
            context=identity.context,
            key=checked,
            enabled=fallback,
            reason=DecisionReason.ERROR,
            source=None,
            error=_detached(error),
        )
    else:
        decision = _flag_decided(user, flags, checked, source)
    if user.server.hooks:
        user.server.hooks.call("decided", decision)
    return decision


def _decided(
    user: User,
    options: CallOptions,
    record: Record,
    point: PointKey,
    default: str,
    source: DecisionSource,
) -> Decision:
    assignment = record.current(point, user.default_marker)
    cached = source is DecisionSource.CACHE
    decision = attach_decision_marker(
        Decision(
            user_id=user.identity.user_id,
            context=user.identity.context,
            site=point[0],
            target=point[1],
            condition=default if assignment is None else assignment.get_condition(),
            reason=DecisionReason.NOT_ASSIGNED if assignment is None else DecisionReason.ASSIGNED,
            source=source,
            assignment=None if assignment is None else user.with_options(options, assignment),
            answered_at=record.answered_at,
        ),
        # What the record keeps must not keep the record.
        UserDecisionMarker(user, options, weakref.ref(record) if cached else lambda: record),
    )
    if cached and options is user.server.options and not user.server.hooks:
        record.keep_decision(point, decision, default)
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
            error=_detached(error),
        ),
        UserDecisionMarker(user, user.server.options, lambda: None),
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


def _detached(error: UpgradeApiError) -> UpgradeApiError:
    """Return an error to keep, without the frames that it came through."""
    detached = without_traceback(error)
    assert isinstance(detached, UpgradeApiError)
    return detached


@attrs.frozen
class UserDecisionMarker:
    """Marks decisions of one user; ``record`` returns the one that a decision rests on."""

    user: User
    options: CallOptions
    record: Callable[[], Record | None]

    async def mark_decision(
        self,
        backend: Backend,
        decision: Decision,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint | None:
        """Mark what was shown, if that is safe; log what goes wrong."""
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
        try:
            if decision.assignment is not None:
                return await marker.mark(
                    backend,
                    decision.assignment,
                    details.status,
                    details.uniquifier,
                    details.client_error,
                )
            if self._still_holds(decision, point):
                return await marker.mark_unassigned(backend, point, details)
        except UpgradeApiError as error:
            _logger.warning("the mark of %r was not sent: %s", point, error)
            return None
        _logger.info("%r is not marked: the answer that it rests on is no longer fresh", point)
        return None

    def _still_holds(self, decision: Decision, point: PointKey) -> bool:
        """Whether the answer that nothing is assigned is fresh, and was not taken back."""
        record = self.record()
        return (
            record is not None
            and not record.is_discarded
            and point not in record.invalidated
            and decision.answered_at is not None
            and is_fresh(decision.answered_at, time.time(), self.user.server.max_age)
        )
