"""The threads that deliver: how many there are, when they pause, and how they end."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import suppress

from .._fork import call_after_fork_on
from .._locks import held
from .._rules.delivery import pause_after
from ..exceptions import UpgradeApiError
from ..hooks import HookList
from ..stores.event_protocol import SENDING, WAITING, StoredEvent
from .delivery import LEASE_SECONDS, Delivery

_logger = logging.getLogger("upgrade_client_lib")

MAX_THREADS = 8
"""How many events, of as many users, are sent at once by a process."""

POLL_SECONDS = 1.0
"""How often the store is asked for what other processes added or left behind."""

IDLE_SECONDS = 5.0
"""After how long a thread ends that found nothing to do; the last one stays."""

STORE_PAUSE_SECONDS = 1.0
"""For how long a store that failed is left alone."""


class Deliverer:
    """Delivers the events of one queue in daemon threads of this process.

    The first is started by the first event, further ones while all are busy. After a fork, the
    child process has none until it has an event.
    """

    def __init__(self, delivery: Delivery, hooks: HookList) -> None:
        self._delivery = delivery
        self._hooks = hooks
        self._begin()
        call_after_fork_on(self, Deliverer._begin)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # reentrant, for signal handlers
        self._work = threading.Condition(self._lock)  # there may be something to do
        self._done = threading.Condition(self._lock)  # something was done, or a thread ended
        self._threads = 0
        self._idle = 0
        self._busy = 0
        self._is_stopping = False
        self._paused_until = 0.0
        self._failures = 0
        self._is_probing = False
        self._store_failed = False
        self.pausing_error: UpgradeApiError | None = None

    @property
    def has_threads(self) -> bool:
        """Whether a thread of this process delivers."""
        return self._threads > 0

    def wake(self) -> None:
        """Have somebody look for an event that was just added."""
        with held(self._lock):
            self._work.notify()
            self._have_enough_threads()

    def try_now(self) -> None:
        """End a pause: the server is tried again at once."""
        with held(self._lock):
            self._paused_until = 0.0
        self.wake()

    def flush(self, seconds: float, given_up: threading.Event | None = None) -> None:
        """Wait until nothing is left to deliver, or cannot be in time; ``seconds`` at the most.

        It ends soon after ``given_up`` is set.
        """
        deadline = time.monotonic() + seconds
        self.try_now()
        while True:
            left = deadline - time.monotonic()
            try:
                due = self._seconds_until_due(left)
            except Exception as error:
                self._note_store_failure(error)
                due = STORE_PAUSE_SECONDS
            with held(self._lock):
                waits = max(due or 0.0, self._paused_until - time.monotonic())
                is_over = (due is None or waits > left) and not self._busy
                if left <= 0 or is_over or (given_up is not None and given_up.is_set()):
                    return
                if self._threads or self._is_stopping or waits > 0:
                    self._done.wait(min(left, 0.05))
                    continue
            self._work_once(os.urandom(8).hex())  # no thread could be started

    def _seconds_until_due(self, left: float) -> float | None:
        """Return when there is something to deliver; ``left`` seconds while somebody is sending.

        What another process sends is leased for longer than it mostly takes.
        """
        was_sending = self._is_sending()
        due = self._delivery.store.seconds_until_due(self._delivery.queue)
        if due is not None and due > left and (was_sending or self._is_sending()):
            return left
        return due

    def _is_sending(self) -> bool:
        return SENDING in self._delivery.store.count_events(self._delivery.queue)

    def stop(self, seconds: float) -> None:
        """Have all threads end after the event at hand; wait for them for some time."""
        deadline = time.monotonic() + seconds
        with held(self._lock):
            self._is_stopping = True
            self._work.notify_all()
            while self._threads and time.monotonic() < deadline:
                # Platforms limit how long one wait may be.
                self._done.wait(min(deadline - time.monotonic(), POLL_SECONDS))

    # ---- Threads ----

    def _have_enough_threads(self) -> None:
        """Start a thread if all are busy; called under the lock."""
        if self._is_stopping or self._idle or self._threads >= MAX_THREADS:
            return
        thread = threading.Thread(
            target=self._run,
            args=[weakref.ref(self)],
            name="upgrade_client_lib outbox",
            daemon=True,
        )
        with suppress(RuntimeError):  # the interpreter shuts down
            thread.start()
            self._threads += 1

    @staticmethod
    def _run(reference: weakref.ref[Deliverer]) -> None:
        """Deliver in a thread. What has nothing to do, and nobody else has any more, is freed."""
        owner = os.urandom(8).hex()
        idle_since: float | None = None
        while True:
            deliverer = reference()
            if deliverer is None:
                return
            if deliverer._work_once(owner):
                idle_since = None
                continue
            idle_since = time.monotonic() if idle_since is None else idle_since
            kept = deliverer if deliverer._has_events() else None
            lock, work = deliverer._lock, deliverer._work
            with held(lock):
                if deliverer._ends(idle_since):
                    return
                deliverer._idle += 1
                del deliverer
                work.wait(POLL_SECONDS)
                deliverer = kept or reference()
                if deliverer is not None:
                    deliverer._idle -= 1

    def _ends(self, idle_since: float) -> bool:
        """Whether a thread ends that found nothing to do since then; called under the lock."""
        is_needless = self._threads > 1 and time.monotonic() - idle_since >= IDLE_SECONDS
        if self._is_stopping or is_needless:
            self._threads -= 1
            self._done.notify_all()
            return True
        return False

    def _has_events(self) -> bool:
        """Whether there is something to deliver, now or later, as far as is known."""
        try:
            return self._delivery.store.seconds_until_due(self._delivery.queue) is not None
        except Exception:
            return True

    def _work_once(self, owner: str) -> bool:
        """Deliver an event; return whether there may be more to do at once."""
        if not self._may_send(owner):
            return False
        with held(self._lock):
            self._busy += 1
        try:
            return self._take_and_deliver(owner)
        finally:
            with held(self._lock):
                self._busy -= 1
                self._done.notify_all()

    def _take_and_deliver(self, owner: str) -> bool:
        lease_ends = time.monotonic() + LEASE_SECONDS
        stored = self._take(owner)
        if stored is None:
            return False
        with held(self._lock):
            self._have_enough_threads()  # there may be more
            is_paused = self._is_paused()
        if is_paused and stored.state == WAITING:  # another event found that out meanwhile
            self._delivery.put_back(stored, owner)
            return False
        self._delivery.deliver(stored, owner, lease_ends, self._pause)
        return True

    def _take(self, owner: str) -> StoredEvent | None:
        """Return the next event that is due, if there is one and the store says so."""
        try:
            stored = self._delivery.store.take_event(self._delivery.queue, owner, LEASE_SECONDS)
        except Exception as error:
            self._note_store_failure(error)
            return None
        if self._store_failed:
            self._store_failed = False
            _logger.info("the outbox's store works again")
        return stored

    def _note_store_failure(self, error: Exception) -> None:
        if not self._store_failed:
            self._store_failed = True
            _logger.warning("the outbox's store failed: %s: %s", type(error).__name__, error)
            if self._hooks:
                self._hooks.call("store_failed", error)

    # ---- Pauses ----

    def _is_paused(self) -> bool:
        return self._failures > 0

    def _may_send(self, owner: str) -> bool:
        """Whether the server can be used. After a pause, one thread finds out."""
        with held(self._lock):
            if not self._is_paused():
                return not self._is_stopping
            now = time.monotonic()
            if self._is_stopping or self._is_probing or now < self._paused_until:
                return False
            self._is_probing = True
        try:
            self._set_aside_expired(owner)
            event = self._any_event()
            error = None if event is None else self._delivery.probe(event)
        finally:
            with held(self._lock):
                self._is_probing = False
        if event is None:
            return False
        if error is not None:
            self._pause(error)
            return False
        _logger.info("the outbox delivers again")
        with held(self._lock):
            self._failures = 0
            self.pausing_error = None
            self._work.notify_all()
        return True

    def _set_aside_expired(self, owner: str) -> None:
        """Set aside what waits for too long by now, although the server cannot be used."""
        while True:
            lease_ends = time.monotonic() + LEASE_SECONDS
            stored = self._take(owner)
            if stored is None:
                return
            if stored.state == WAITING and not self._delivery.has_expired(stored):
                self._delivery.put_back(stored, owner)
                return
            self._delivery.deliver(stored, owner, lease_ends, self._pause)  # which sends nothing

    def _any_event(self) -> StoredEvent | None:
        """Return an event whose user the server can be asked about; it is not taken."""
        store, queue = self._delivery.store, self._delivery.queue
        with suppress(Exception):  # a store that fails is noted when an event is taken
            for state in (WAITING, SENDING):
                for event in store.list_events(queue, state, 1):
                    return event
        return None

    def _pause(self, error: UpgradeApiError) -> None:
        with held(self._lock):
            if time.monotonic() < self._paused_until:
                return  # several events failed at once
            self._failures += 1
            seconds = pause_after(self._failures)
            self._paused_until = time.monotonic() + seconds
            self.pausing_error = error
            is_first = self._failures == 1
        level = logging.WARNING if is_first else logging.DEBUG
        _logger.log(level, "the outbox pauses for %.0f s, since %s", seconds, error)
