"""The outbox of a server, which tells the server's users when their marks were set aside."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from .._fork import fork_waits
from .._server import Server
from .shared_changes import end_records

if TYPE_CHECKING:
    from .._outbox import EventQueue
    from ..stores import EventStore


def make_outbox(
    server: Server,
    store: EventStore,
    max_events: int,
    max_event_age: float,
    flush_at_exit: float,
) -> EventQueue:
    """Return an outbox that keeps its events in a store."""
    with fork_waits():  # what it needs is loaded now: most connections have none
        from .._outbox import EventQueue

        for module in ("handing_over", "waiting_marks"):
            import_module(f".{module}", __package__)
    drop_answers = partial(end_records, server)
    return EventQueue(server, store, drop_answers, max_events, max_event_age, flush_at_exit)
