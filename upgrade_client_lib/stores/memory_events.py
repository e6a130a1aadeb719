"""Events in the memory of one process."""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict

import attrs

from .._locks import held
from .arguments import check_event, check_key
from .event_protocol import ACTIVE, SENDING, WAITING, Added, StoredEvent


@attrs.define
class _Line:
    """``due`` is when the head may be taken next; ``number`` counts events of all states."""

    due: float
    active: OrderedDict[int, str] = attrs.field(factory=OrderedDict[int, str])  # by position
    owner: str = ""
    passed: int = 0
    number: int = 0


class _Queue:
    """One queue. ``due`` is a heap of moments and lines; those that changed since are skipped."""

    def __init__(self) -> None:
        self.events: dict[str, StoredEvent] = {}
        self.lines: dict[str, _Line] = {}
        self.by_state: dict[str, dict[str, None]] = {}
        self.due: list[tuple[float, str]] = []
        self.remembered: OrderedDict[str, float] = OrderedDict()
        self.position = 0

    def put(self, event: StoredEvent) -> None:
        """Keep an event in the state that it has."""
        self.events[event.id] = event
        self.by_state.setdefault(event.state, {})[event.id] = None

    def drop(self, event: StoredEvent) -> None:
        del self.events[event.id]
        del self.by_state[event.state][event.id]

    def schedule(self, name: str, line: _Line, moment: float) -> None:
        line.due = moment
        heapq.heappush(self.due, (moment, name))
        if len(self.due) > 2 * len(self.lines) + 100:
            self.due = [(known.due, other) for other, known in self.lines.items() if known.active]
            heapq.heapify(self.due)

    def first_due(self) -> tuple[str, _Line] | None:
        """Return the line that is due next, leased ones included."""
        while self.due:
            moment, name = self.due[0]
            line = self.lines.get(name)
            if line is not None and line.active and line.due == moment:
                return name, line
            heapq.heappop(self.due)
        return None

    def release(self, name: str, line: _Line, delay: float) -> None:
        """End the lease of a line; forget one that has no event."""
        line.owner = ""
        if not line.number:
            del self.lines[name]
        elif line.active:
            self.schedule(name, line, time.monotonic() + delay)

    def is_remembered(self, event_id: str) -> bool:
        now = time.monotonic()
        while self.remembered:  # those that were added first, mostly, are forgotten first
            oldest = next(iter(self.remembered))
            if self.remembered[oldest] > now:
                break
            del self.remembered[oldest]
        return self.remembered.get(event_id, 0.0) > now


class MemoryEvents:
    """The part of a ``MemoryStore`` that keeps events; a forked child process begins with none."""

    def __init__(self) -> None:
        self._begin_events()

    def _begin_events(self) -> None:
        """Begin with none, as a child process does: its parent delivers what it has."""
        self._queues: dict[str, _Queue] = {}
        self._events_lock = threading.RLock()  # reentrant, for signal handlers

    def add_event(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Add an event at the end of its line; see ``EventStore``."""
        check_event(queue, event_id, line, data)
        with held(self._events_lock):
            kept = self._queues.setdefault(queue, _Queue())
            if event_id in kept.events or kept.is_remembered(event_id):
                return "known"
            if len(kept.events) >= max_events:
                return "full"
            kept.position += 1
            kept.put(StoredEvent(event_id, line, kept.position, WAITING, data))
            known = kept.lines.get(line)
            if known is None:
                known = kept.lines[line] = _Line(0.0)
            known.number += 1
            known.active[kept.position] = event_id
            if len(known.active) == 1 and not known.owner:
                kept.schedule(line, known, time.monotonic())
            if remember > 0:
                kept.remembered[event_id] = time.monotonic() + remember
        return "added"

    async def add_event_async(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Do what :meth:`add_event` does; it never suspends."""
        return self.add_event(queue, event_id, line, data, max_events=max_events, remember=remember)

    def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
        """Lease a line and return its head; see ``EventStore``."""
        check_key(owner)
        now = time.monotonic()
        with held(self._events_lock):
            kept = self._queues.get(queue)
            found = None if kept is None else kept.first_due()
            if kept is None or found is None or found[1].due > now:
                return None
            name, leased = found
            leased.owner = owner
            kept.schedule(name, leased, now + lease)
            event = kept.events[next(iter(leased.active.values()))]
            self._change(kept, event, SENDING, event.data)
        return event

    def settle_event(
        self,
        queue: str,
        event_id: str,
        owner: str,
        *,
        state: str | None,
        data: bytes = b"",
        delay: float = 0.0,
        passes: bool = False,
    ) -> bool:
        """Give an event another state and end the lease of its line; see ``EventStore``."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            event = None if kept is None else kept.events.get(event_id)
            if kept is None or event is None or event.state != SENDING:
                return False
            line = kept.lines[event.line]
            if line.owner != owner:
                return False
            if state is None:
                kept.drop(event)
                line.number -= 1
            else:
                self._change(kept, event, state, data)
            if state not in ACTIVE:
                del line.active[event.position]
            if passes:
                line.passed = max(line.passed, event.position)
            kept.release(event.line, line, delay)
        return True

    def reopen_event(self, queue: str, event_id: str, data: bytes) -> bool:
        """Have an event that was set aside wait again; see ``EventStore``."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            event = None if kept is None else kept.events.get(event_id)
            if kept is None or event is None or event.state in ACTIVE:
                return False
            line = kept.lines[event.line]
            if line.passed > event.position:
                return False
            head = kept.events[next(iter(line.active.values()))] if line.active else event
            if head.state == SENDING and head.position > event.position:
                return False
            self._change(kept, event, WAITING, data)
            line.active = OrderedDict(sorted([*line.active.items(), (event.position, event.id)]))
            if not line.owner:
                kept.schedule(event.line, line, time.monotonic())
        return True

    def pass_line(self, queue: str, line: str) -> None:
        """Note that a line is past all its events; see ``EventStore``."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            known = None if kept is None else kept.lines.get(line)
            if kept is not None and known is not None:
                known.passed = kept.position + 1

    def remove_event(self, queue: str, event_id: str) -> bool:
        """Remove an event, unless it is being sent; see ``EventStore``."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            event = None if kept is None else kept.events.get(event_id)
            if kept is None or event is None:
                return False
            line = kept.lines[event.line]
            if event.state == SENDING and line.due > time.monotonic():
                return False
            if event.state == SENDING:
                line.passed = max(line.passed, event.position)
            kept.drop(event)
            line.number -= 1
            line.active.pop(event.position, None)
            if event.state == SENDING or not line.owner:
                kept.release(event.line, line, 0.0)
        return True

    def get_event(self, queue: str, event_id: str) -> StoredEvent | None:
        """Return an event."""
        kept = self._queues.get(queue)
        return None if kept is None else kept.events.get(event_id)

    def line_events(self, queue: str, line: str) -> list[StoredEvent]:
        """Return the events that stand in a line, in their order."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            known = None if kept is None else kept.lines.get(line)
            if kept is None or known is None:
                return []
            return [kept.events[event_id] for event_id in known.active.values()]

    def list_events(self, queue: str, state: str, limit: int) -> list[StoredEvent]:
        """Return the events of a state, the oldest first."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            if kept is None:
                return []
            events = [kept.events[event_id] for event_id in kept.by_state.get(state, ())]
        return heapq.nsmallest(limit, events, key=lambda event: event.position)

    def count_events(self, queue: str) -> dict[str, int]:
        """Return how many events there are of each state."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            if kept is None:
                return {}
            return {state: len(ids) for state, ids in kept.by_state.items() if ids}

    def seconds_until_due(self, queue: str) -> float | None:
        """Return when a line is due or its lease expires; ``None`` for no line."""
        with held(self._events_lock):
            kept = self._queues.get(queue)
            found = None if kept is None else kept.first_due()
        return None if found is None else max(found[1].due - time.monotonic(), 0.0)

    def _change(self, kept: _Queue, event: StoredEvent, state: str, data: bytes) -> None:
        del kept.by_state[event.state][event.id]
        kept.put(attrs.evolve(event, state=state, data=data))
