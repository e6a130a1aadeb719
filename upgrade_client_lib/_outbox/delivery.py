"""Delivering one event: sent once its line is leased, and settled by what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Any, Callable

import attrs

from .. import _api
from .._http import CallOptions, Operation
from .._rules import delivery
from .._server import Server
from .._sync import SYNC, Backend, run_sync
from ..assignment import code_to_mark
from ..exceptions import UpgradeApiError, UserNotInitializedError
from ..stores.event_protocol import SENDING, WAITING, EventStore, StoredEvent
from ..types import MarkedDecisionPoint
from .event import Event, Groups, MarkToSend, decode, encode, shown

_logger = logging.getLogger("upgrade_client_lib")

LEASE_SECONDS = 8.0
"""For how long a line is leased; after a crash, another deliverer takes it over by then."""

SEND_SECONDS = 6.0
"""How long sending an event may take, at the most, so that the lease outlasts it."""

SETTLE_SECONDS = 30.0
"""For how long a store that fails is asked again to note what came of an event."""

DropAnswers = Callable[[Backend, str], Awaitable[None]]
"""What has all clients ask anew what the server answers a user."""

_WHY = {
    "refused": "was refused",
    "undecided": "was or was not applied: nobody knows, and it is not sent again by itself",
    "expired": "waited for longer than max_event_age",
}


class Delivery:
    """Delivers the events of one queue to one server."""

    def __init__(
        self, server: Server, store: EventStore, max_event_age: float, drop_answers: DropAnswers
    ) -> None:
        self.queue = server.host_url
        self.store = store
        self._server = server
        self._options = CallOptions(server.options.timeout, retries=0)
        self._max_event_age = max_event_age
        self._drop_answers = drop_answers

    def deliver(
        self,
        stored: StoredEvent,
        owner: str,
        lease_ends: float,
        pause: Callable[[UpgradeApiError], None],
    ) -> None:
        """Send an event whose line is leased, and settle it.

        ``pause`` is called where the server cannot be used, before the event can be taken again.
        """
        settlement = _Settlement(self, stored, owner)
        event = decode(stored.data)
        if event is None:
            settlement.settle("refused", stored.data)
            _logger.warning("event %s cannot be read, and was set aside", stored.id)
            return
        if stored.state == SENDING:
            event = event.tried("whoever sent it did not learn whether it was applied")
            verdict = delivery.after_uncertainty(event.attempts, is_repeatable=event.is_repeatable)
            self._judged(settlement, event, verdict)
            return
        if event.has_expired(self._max_event_age, time.time()):
            self._set_aside(settlement, event, "expired")
            return
        lease = lease_ends - time.monotonic()
        if lease <= 0:  # this process was stopped: the event is another one's by now
            return
        seconds = min(self._options.timeout.total, SEND_SECONDS, lease)
        try:
            self._send(event, self._options.within(seconds))
        except _NoLongerAssignedError as changed:
            self._set_aside(settlement, event.tried(changed), "refused")
            return
        except UpgradeApiError as error:
            event = event.tried(error)
            verdict = _verdict(error, event)
            if verdict.pauses:
                pause(error)
            self._judged(settlement, event, verdict)
            return
        except Exception as error:  # the connection was closed, or something is wrong here
            _logger.exception("delivering %s failed", stored.id)
            verdict = delivery.after_uncertainty(
                event.attempts + 1, is_repeatable=event.is_repeatable
            )
            self._judged(settlement, event.tried(repr(error)), verdict)
            return
        settlement.settle(None, passes=event.mark is not None)
        if self._server.hooks:
            delivered = shown(attrs.evolve(stored, state=SENDING))
            self._server.hooks.call("event_delivered", delivered)

    def has_expired(self, stored: StoredEvent) -> bool:
        """Whether an event that waits does so for too long."""
        event = decode(stored.data)
        return event is not None and event.has_expired(self._max_event_age, time.time())

    def put_back(self, stored: StoredEvent, owner: str) -> None:
        """Have an event that was taken, and not sent, be as it was."""
        _Settlement(self, stored, owner).settle(WAITING, stored.data)

    def probe(self, stored: StoredEvent) -> UpgradeApiError | None:
        """Read what the server assigns to an event's user; return what keeps it from answering.

        After a failure, so that it is no event which finds out that the server still hangs.
        """
        event = decode(stored.data)
        if event is None:
            return None
        try:
            seconds = min(self._options.timeout.total, SEND_SECONDS)
            # Not as a read, which the circuit breaker might keep from being sent.
            operation = attrs.evolve(_api.assign(self._identity(event)), is_read=False)
            self._call(event, operation, self._options.within(seconds))
        except UpgradeApiError as error:
            verdict = _verdict(error, event)
            return error if verdict.pauses else None
        return None

    # ---- Sending ----

    def _send(self, event: Event, options: CallOptions) -> None:
        """Send an event; where the user is not known, after an ``init`` with their groups."""
        deadline = time.monotonic() + options.timeout.total
        try:
            self._verify_and_send(event, options)
            return
        except UserNotInitializedError:
            groups = self._newest_groups(event)
            if groups == (None, None):
                raise
        left = options.within(deadline - time.monotonic())
        try:
            self._call(event, _api.init(self._identity(event), *groups), left)
        except UpgradeApiError as error:
            error.may_have_been_applied = False  # the event was refused
            raise
        self._verify_and_send(event, options.within(deadline - time.monotonic()))

    def _verify_and_send(self, event: Event, options: CallOptions) -> None:
        deadline = time.monotonic() + options.timeout.total
        mark = event.mark
        if mark is not None and self._must_be_verified(mark, event):
            self._verify(mark, event, options.within(options.timeout.total / 2))
        left = options.within(deadline - time.monotonic())
        response = self._call(event, event.operation(self._server.token), left)
        if mark is not None and mark.experiment_id is None and _is_enrolled(response):
            run_sync(self._drop(event))

    def _must_be_verified(self, mark: MarkToSend, event: Event) -> bool:
        """Whether the answer that the mark rests on may no longer hold.

        Whoever is marked is enrolled, in what runs by then, where nothing was assigned before.
        """
        is_late = time.time() - event.created_at >= self._server.max_age
        return mark.verify or (mark.experiment_id is None and is_late)

    def _verify(self, mark: MarkToSend, event: Event, options: CallOptions) -> None:
        identity = self._identity(event)
        try:
            items = self._call(event, _api.assign(identity), options)
        except UpgradeApiError as error:
            error.may_have_been_applied = False  # a read
            raise
        assigned: tuple[str | None, str | None] = (None, None)
        item = items.get(mark.point)
        if item is not None:
            current = _api.read_assignment(identity, mark.point, item, 0)
            assigned = current.experiment_id, code_to_mark(current) or None
        if assigned != (mark.experiment_id, mark.condition):
            raise _NoLongerAssignedError(
                f"not sent: {mark.point!r} no longer assigns what an outdated answer named"
            )

    def _newest_groups(self, event: Event) -> Groups:
        """Return the groups that were known when the user's latest event was handed over."""
        standing = self.store.line_events(self.queue, event.user_id)
        events = [decode(stored.data) for stored in standing]
        known = [other.groups for other in events if other and other.groups != (None, None)]
        return known[-1] if known else event.groups

    def _call(self, event: Event, operation: Operation[Any], options: CallOptions) -> Any:
        identity = self._identity(event)
        return run_sync(self._server.call(SYNC, operation, options, identity))

    def _identity(self, event: Event) -> _api.Identity:
        return event.identity(self._server.token)

    async def _drop(self, event: Event) -> None:
        await self._drop_answers(SYNC, event.user_id)

    # ---- Settling ----

    def _judged(self, settlement: _Settlement, event: Event, verdict: delivery.Verdict) -> None:
        if verdict.may_have_been_applied:
            event = attrs.evolve(event, may_have_been_applied=True)
        if verdict.fate in ("refused", "undecided", "initialize"):
            state = "undecided" if verdict.fate == "undecided" else "refused"
            self._set_aside(settlement, event, state)
            return
        if verdict.fate == "again":  # which does not count as an attempt
            event = attrs.evolve(event, attempts=event.attempts - 1)
        is_past = event.mark is not None and event.may_have_been_applied
        settlement.settle(WAITING, encode(event), delay=verdict.delay, passes=is_past)

    def _set_aside(self, settlement: _Settlement, event: Event, state: str) -> None:
        if event.may_have_been_applied:  # by an attempt before the last one
            state = "undecided"
        data = encode(event)
        was_sent = event.mark is not None and state == "undecided"
        settlement.settle(state, data, passes=was_sent)
        event_id = settlement.stored.id
        _logger.warning(
            "the %s %s %s (%s)", event.kind, event_id, _WHY[state], event.problem or "never tried"
        )
        if event.mark is not None:
            run_sync(self._drop(event))
        if self._server.hooks:
            told = shown(attrs.evolve(settlement.stored, state=state, data=data))
            self._server.hooks.call("event_set_aside", told)


@attrs.frozen
class _Settlement:
    """Notes in the store what came of an event."""

    delivery: Delivery
    stored: StoredEvent
    owner: str

    def settle(
        self, state: str | None, data: bytes = b"", *, delay: float = 0.0, passes: bool = False
    ) -> None:
        """Have the event be in this state, trying again and again while the store fails."""
        store, queue, event_id = self.delivery.store, self.delivery.queue, self.stored.id
        give_up = time.monotonic() + SETTLE_SECONDS
        pause = 0.01
        while True:
            try:
                is_settled = store.settle_event(
                    queue,
                    event_id,
                    self.owner,
                    state=state,
                    data=data,
                    delay=delay,
                    passes=passes,
                )
            except Exception as error:
                if time.monotonic() >= give_up:
                    what = "was accepted" if state is None else f"is {state}"
                    _logger.warning(
                        "the outbox's store failed: it does not know that event %s %s: %s",
                        event_id,
                        what,
                        error,
                    )
                    return
                time.sleep(pause)
                pause = min(2 * pause, 1.0)
            else:
                if not is_settled:
                    _logger.warning(
                        "another deliverer took event %s over before it was settled", event_id
                    )
                return


class _NoLongerAssignedError(Exception):
    """The server no longer assigns what a mark says."""


def _verdict(error: UpgradeApiError, event: Event) -> delivery.Verdict:
    mark = event.mark
    failure = delivery.Failure(
        error.status_code,
        error.may_have_been_applied,
        error.from_upgrade,
        error.error_type,
        isinstance(error, UserNotInitializedError),
    )
    return delivery.verdict(
        failure,
        attempts=event.attempts,
        is_repeatable=event.is_repeatable,
        has_queue=mark is not None and mark.has_queue,
    )


def _is_enrolled(response: object) -> bool:
    """Whether a mark of a point at which nothing was assigned enrolled the user all the same."""
    return isinstance(response, MarkedDecisionPoint) and response.experimentId is not None
