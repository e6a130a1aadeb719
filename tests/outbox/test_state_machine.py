"""Whatever happens to an outbox, in whatever order, it keeps to a model of what was handed over.

One thread delivers, and time passes when the model says so: nothing here is left to chance but what
Hypothesis chooses.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import attrs
import httpx
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.outbox.support_kills import key_of
from tests.outbox.support_kills_child import reward_key_of
from tests.support_clock import Clock
from tests.support_server import HOST
from upgrade_client_lib import UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib._outbox.delivery import LEASE_SECONDS
from upgrade_client_lib.stores import MemoryStore, SQLiteStore
from upgrade_client_lib.stores.event_protocol import EventStore
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import LogInput, LogMetrics, OutboxEvent

APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
BETWEEN, WITHIN, ADAPTIVE = ("home", "banner"), ("single", "queue"), ("adaptive", "hint")
CODES = ["first", "second", "third"]
MAX_EVENTS = 8
MOMENT = 0.0005
SOME_MORE = 0.00137
"""What is due is due for longer than a moment, or will be after more than one: no flush waits for
more than what another process, which was killed, seems to be sending."""

MAX_EVENT_AGE = 24 * 3600.0

NO_RESPONSE = {"hangs": httpx.ReadTimeout, "is away": httpx.ConnectError}

users = st.sampled_from(["ann", "bob"])
faults = st.sampled_from(
    ["well", "well", "hangs", "loses answers", "is away", "fails", "is overloaded", "refuses"]
)
SET_ASIDE = ("undecided", "refused", "expired")


class Killed(BaseException):
    """The process ends here."""


class Server(httpx.BaseTransport):
    """A ``LocalUpgrade``, until it is told to misbehave, or to kill whom it serves."""

    def __init__(self, upgrade: LocalUpgrade) -> None:
        self.upgrade = upgrade
        self.fault = "well"
        self.kills: str | None = None
        self.written: list[str] = []
        """The keys of what was applied, in order."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        endpoint = request.url.path.rpartition("/")[2]
        kills, self.kills = self.kills, None
        if kills == "before":
            raise Killed
        if self.fault in NO_RESPONSE:
            raise NO_RESPONSE[self.fault](self.fault, request=request)
        if self.fault == "is overloaded":
            return httpx.Response(503, text="<html>", request=request)
        if endpoint in ("mark", "log", "reward") and self.fault in ("fails", "refuses"):
            status = 500 if self.fault == "fails" else 400
            said = {"name": "Error", "endPoint": request.url.path, "errorCode": status}
            return httpx.Response(status, json={**said, "message": "no"}, request=request)
        response = self.upgrade.transport.handle_request(request)
        sent = self.upgrade.requests[-1]
        key = key_of(sent.endpoint, sent.user, sent.json)
        if key is not None and response.status_code == 200:
            self.written.append(key)
        if kills == "after":
            raise Killed
        if self.fault == "loses answers":
            raise httpx.ReadTimeout("it is lost", request=request)
        return response


@attrs.define
class HandedOver:
    """What the model knows of an event."""

    key: str
    user: str
    kind: str
    event_id: str
    is_repeatable: bool
    is_within: bool = False
    may_be_applied_again: int = 0
    was_retried: bool = False
    is_discarded: bool = False


def pass_time(clocks: tuple[Clock, Clock], seconds: float) -> None:
    for clock in clocks:
        clock.let_pass(seconds)


class Outboxes(RuleBasedStateMachine):
    """One process after the other, on one store and one server."""

    clocks: tuple[Clock, Clock]
    store_opener: Callable[[], EventStore]

    @initialize()
    def begin(self) -> None:
        upgrade = LocalUpgrade()
        upgrade.experiment(*BETWEEN, conditions=["control", "treatment"])
        upgrade.experiment(
            *WITHIN, conditions=CODES, unit="within-subjects", order="ordered round robin"
        )
        upgrade.experiment(*ADAPTIVE, conditions=["plain", "rich"], adaptive=True)
        upgrade.metric("seconds", group_class="work", group_key="area")
        self.server = Server(upgrade)
        self.store = self.store_opener()
        self.events: dict[str, HandedOver] = {}
        self.numbers = itertools.count()
        self.begin_process()
        for user in ("ann", "bob"):
            self.truth(user).init_sync()
            point = self.truth(user).get_decision_point_assignment_sync(*ADAPTIVE)
            assert point is not None
            point.mark_decision_point_sync("condition applied", "first")

    def begin_process(self) -> None:
        """Have another process take the place of the one before, which may have been killed."""
        self.connection = UpgradeConnection(
            HOST,
            transport=self.server,
            outbox=self.store,
            max_events=MAX_EVENTS,
            max_event_age=MAX_EVENT_AGE,
            retries=0,
            breaker=False,
        )
        self.clients = {user: self.connection.client(user, "my-app") for user in ("ann", "bob")}

    def truth(self, user: str) -> UpgradeClient:
        """A client that asks the server itself, which is well for it."""
        return UpgradeClient(user, HOST, "my-app", transport=self.server.upgrade.transport)

    # ---- Handing over ----

    @rule(user=users, point=st.sampled_from([BETWEEN, WITHIN, WITHIN]))
    def mark(self, user: str, point: tuple[str, str]) -> None:
        key = f"mark {next(self.numbers)}"
        decision = self.clients[user].decide_sync(*point)
        if decision.assignment is None:
            return
        is_full = self.is_full()
        event = decision.mark_sync(uniquifier=key)
        assert (event is None) == is_full
        if isinstance(event, OutboxEvent):
            is_within = point == WITHIN
            self.note(HandedOver(key, user, "mark", event.id, not is_within, is_within=is_within))

    @rule(user=users)
    def log(self, user: str) -> None:
        key = f"log {next(self.numbers)}"
        group: Any = {
            "groupClass": "work",
            "groupKey": "area",
            "groupUniquifier": key,
            "attributes": {"seconds": 1},
        }
        entry = LogInput("2026-11-20T08:00:00.000Z", LogMetrics({}, [group]))
        if not self.is_full():
            event = self.clients[user].enqueue_log_sync([entry])
            self.note(HandedOver(key, user, "log", event.id, True))

    @rule(user=users, value=st.sampled_from(["SUCCESS", "FAILURE"]))
    def reward(self, user: str, value: Any) -> None:
        (adaptive,) = [one for one in self.server.upgrade.experiments if one.adaptive]
        key = reward_key_of(user, adaptive.id, value)
        if key in self.events or self.is_full():
            return  # rewards have no uniquifier
        event = self.clients[user].enqueue_reward_sync(value, adaptive.id)
        self.note(HandedOver(key, user, "reward", event.id, False))

    def note(self, event: HandedOver) -> None:
        self.events[event.key] = event

    def is_full(self) -> bool:
        return sum(self.connection.outbox.counts_sync().values()) >= MAX_EVENTS

    # ---- What happens ----

    @rule(fault=faults)
    def deliver(self, fault: str) -> None:
        """Deliver what is due, to a server that stays as it is now."""
        self.server.fault = fault
        self.connection.outbox.flush_sync(MOMENT)

    @rule(seconds=st.sampled_from([1.0, 2.0, LEASE_SECONDS, 31.0, 60.0, 3600.0, MAX_EVENT_AGE]))
    def let_pass(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        pass_time(self.clocks, seconds + SOME_MORE)

    @rule(when=st.sampled_from(["before", "after"]))
    def kill(self, when: str) -> None:
        """Kill the process when it sends next; another one goes on."""
        self.server.kills = when
        with suppress(Killed):
            self.connection.outbox.flush_sync(MOMENT)
        self.server.kills = None
        self.begin_process()

    @precondition(lambda self: not {*SET_ASIDE}.isdisjoint(self.states().values()))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        states = self.states()
        event_id = data.draw(st.sampled_from([one for one in states if states[one] in SET_ASIDE]))
        with suppress(ValueError):  # a later mark was sent
            self.connection.outbox.retry_sync(event_id)
            held = self.held(event_id)
            held.was_retried = True
            held.may_be_applied_again += 1

    @precondition(lambda self: self.states() != {})
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from([*self.states()]))
        with suppress(ValueError):  # it is just being sent
            self.connection.outbox.discard_sync(event_id)
            self.held(event_id).is_discarded = True

    @rule(user=users, kind=st.sampled_from(["mark", "log"]))
    def send_live(self, user: str, kind: str) -> None:
        """What is sent at once comes after all that waits, or not at all."""
        key = f"live {next(self.numbers)}"
        assignment = None
        with suppress(UpgradeApiError):
            assignment = self.clients[user].get_decision_point_assignment_sync(*BETWEEN)
        if assignment is None:
            return
        with self.delivering_meanwhile(), suppress(UpgradeApiError):
            assignment.mark_decision_point_sync("condition applied", key)
        if key in self.server.written:
            assert self.store.line_events(HOST, user) == []

    @contextmanager
    def delivering_meanwhile(self) -> Generator[None, None, None]:
        """Have time pass while a call sleeps, and events be delivered."""

        def sleep(seconds: float) -> None:
            self.pass_time(max(seconds, 0.1))
            self.connection.outbox.flush_sync(MOMENT)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "sleep", sleep)
            yield

    @precondition(lambda self: self.server.fault == "well")
    @rule(user=users)
    def read(self, user: str) -> None:
        """The next page shows what the server will assign once the marks that wait have arrived."""
        standing = self.store.line_events(HOST, user)
        if any(event.state == "sending" for event in standing):
            return
        waiting = sum(self.held(event.id).is_within for event in standing)
        truth = self.truth(user).get_decision_point_assignment_sync(*WITHIN)
        shown = self.clients[user].get_decision_point_assignment_sync(*WITHIN)
        assert truth is not None
        assert shown is not None
        turned = (CODES.index(truth.get_condition()) + waiting) % len(CODES)
        assert shown.get_condition() == CODES[turned]

    def held(self, event_id: str) -> HandedOver:
        (event,) = [event for event in self.events.values() if event.event_id == event_id]
        return event

    # ---- What always holds ----

    def states(self) -> dict[str, str]:
        """The state of each event in the outbox, in the order in which they were handed over."""
        states = ("waiting", "sending", *SET_ASIDE)
        outbox = self.connection.outbox
        found = {event.id: state for state in states for event in outbox.events_sync(state)}
        order = [event.event_id for event in self.events.values() if event.event_id in found]
        return {**{event_id: found.pop(event_id) for event_id in order}, **found}

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        states = self.states()
        assert set(states) <= {event.event_id for event in self.events.values()}
        for event in self.events.values():
            times = self.server.written.count(event.key)
            state = states.get(event.event_id)
            if event.is_discarded:
                assert state is None
            elif state is None:
                assert times, f"{event} is gone"
            elif state in ("refused", "expired"):
                assert not times or event.was_retried, f"{event} is {state}, but it was applied"
            if not event.is_repeatable:
                assert times <= 1 + event.may_be_applied_again, f"{event} was applied {times} times"

    @invariant()
    def counts_add_up(self) -> None:
        states = self.states()
        counts = self.connection.outbox.counts_sync()
        assert sum(counts.values()) == len(states) <= MAX_EVENTS
        for state, number in counts.items():
            assert number == sum(other == state for other in states.values())

    @invariant()
    def each_user_keeps_the_order(self) -> None:
        """A retried event comes before the user's later marks, all others before all later ones."""
        moments: dict[str, list[int]] = {}
        for moment, key in enumerate(self.server.written):
            moments.setdefault(key, []).append(moment)
        for user in ("ann", "bob"):
            sent = [
                event
                for event in self.events.values()
                if event.user == user and event.key in moments
            ]
            for number, event in enumerate(sent):
                for later in sent[number + 1 :]:
                    if later.was_retried or (event.was_retried and later.kind != "mark"):
                        continue
                    assert moments[event.key][-1] < moments[later.key][0], (
                        f"{later} overtook {event}"
                    )

    def teardown(self) -> None:
        """Once the server is well, nothing is left to deliver."""
        self.server.fault = "well"
        while (seconds := self.store.seconds_until_due(HOST)) is not None:
            self.pass_time(seconds + 60.0)
            self.connection.outbox.flush_sync(MOMENT)
        self.nothing_is_lost_or_counted_twice()
        self.counts_add_up()
        self.each_user_keeps_the_order()
        assert set(self.connection.outbox.counts_sync()) <= {"undecided", "refused", "expired"}


lean = settings(
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize(("kind", "examples"), [("memory", 60), ("sqlite", 15)])
def test_an_outbox_keeps_to_the_model(
    kind: str, examples: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 0)  # who waits delivers
    clocks = Clock.stopped(monkeypatch), Clock.stopped(monkeypatch, "time")
    monkeypatch.setattr(time, "sleep", partial(pass_time, clocks))

    class PassingCondition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            pass_time(clocks, timeout or 0.0)
            return False

    names = {"RLock": threading.RLock, "Condition": PassingCondition, "Thread": threading.Thread}
    monkeypatch.setattr(deliverer, "threading", SimpleNamespace(**names))
    files = itertools.count()

    def open_store() -> EventStore:
        return MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / f"{next(files)}.db")

    class Machine(Outboxes):
        store_opener = staticmethod(open_store)

    Machine.clocks = clocks
    run_state_machine_as_test(Machine, settings=settings(lean, max_examples=examples))
