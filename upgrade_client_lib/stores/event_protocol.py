"""What a store of events is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import attrs

WAITING = "waiting"
SENDING = "sending"
ACTIVE = (WAITING, SENDING)
"""The states of events that stand in their line; those of any other state were set aside."""

Added = Literal["added", "known", "full"]
"""What became of an event: it was added; one with this id was added before; or no room is left."""


@attrs.frozen
class StoredEvent:
    """An event as a store keeps it. ``position`` grows from event to event of a queue."""

    id: str
    line: str
    position: int
    state: str
    data: bytes = attrs.field(repr=False)


class EventStore(Protocol):
    """Events that are handled one after the other in each line, and side by side in several.

    It knows nothing of UpGrade. A ``queue`` holds lines, a line holds events in the order in which
    they were added. The first one that is ``"waiting"`` or ``"sending"`` is the line's head. Who
    takes a head leases its line: nobody else gets it before the event was settled or the lease
    has expired. Of several callers in any thread or process that shares the store, one alone
    leases a line.

    Any object with these methods is one. They may be called from any thread, and block. A store may
    have ``add_event_async`` besides, a coroutine of the same meaning. A method that cannot do its
    work raises an exception, of any kind. Times are durations in seconds, on the store's own clock.
    """

    def add_event(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Add an event at the end of its line, ``"waiting"`` and due at once.

        ``"known"`` where one of this id is there, or was added in the last ``remember`` seconds;
        ``"full"`` where the queue has ``max_events`` already, whatever their states. Nothing is
        added then. An id is remembered for the ``remember`` seconds that it was added with; 0 is
        not at all.
        """
        ...

    def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
        """Lease a line for ``lease`` seconds, have its head be ``"sending"``, and return the head.

        The state returned is the one that it had: ``"sending"`` says that another one took it, and
        did not settle it in time. Of the lines that are due and not leased, the one that is due for
        the longest time is taken. ``None`` where there is none.
        """
        ...

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
        """Give an event another state and other data, and end the lease of its line.

        Return whether that was done: the line must still be the owner's. With ``None`` the event is
        removed. The line is due after ``delay``. ``passes`` notes that the line is past this event:
        none before it may be reopened.
        """
        ...

    def reopen_event(self, queue: str, event_id: str, data: bytes) -> bool:
        """Have an event that was set aside wait again, with these data, at its old position.

        Return whether that was done: not where there is none, or its line is past it, or sends a
        later event just now.
        """
        ...

    def pass_line(self, queue: str, line: str) -> None:
        """Note that a line is past all events that were added so far: none may be reopened."""
        ...

    def remove_event(self, queue: str, event_id: str) -> bool:
        """Remove an event, unless it is being sent; return whether that was done.

        One whose lease has expired may have been sent: its line is past it.
        """
        ...

    def get_event(self, queue: str, event_id: str) -> StoredEvent | None:
        """Return an event."""
        ...

    def line_events(self, queue: str, line: str) -> Sequence[StoredEvent]:
        """Return the events that stand in a line, in their order."""
        ...

    def list_events(self, queue: str, state: str, limit: int) -> Sequence[StoredEvent]:
        """Return the events of a state, the oldest first, ``limit`` at the most."""
        ...

    def count_events(self, queue: str) -> Mapping[str, int]:
        """Return how many events there are of each state that there is one of."""
        ...

    def seconds_until_due(self, queue: str) -> float | None:
        """Return when a line is due or its lease expires, 0 for now; ``None`` for no line."""
        ...
