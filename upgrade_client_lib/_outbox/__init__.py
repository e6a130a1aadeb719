"""Events that wait for delivery, and their delivery."""

from __future__ import annotations

from .event import Event, LogToSend, MarkToSend, RewardToSend, ToSend
from .event_queue import FLUSH_AT_EXIT, MAX_EVENT_AGE, MAX_EVENTS, EventQueue
from .outbox import Outbox

__all__ = [
    "FLUSH_AT_EXIT",
    "MAX_EVENTS",
    "MAX_EVENT_AGE",
    "Event",
    "EventQueue",
    "LogToSend",
    "MarkToSend",
    "Outbox",
    "RewardToSend",
    "ToSend",
]
