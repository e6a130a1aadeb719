"""Events that wait for delivery, and their delivery."""

from __future__ import annotations

from .event import Event, LogToSend, MarkToSend, RewardToSend, ToSend
from .outbox import FLUSH_AT_EXIT, MAX_EVENT_AGE, MAX_EVENTS, Outbox

__all__ = [
    "FLUSH_AT_EXIT",
    "MAX_EVENTS",
    "MAX_EVENT_AGE",
    "Event",
    "LogToSend",
    "MarkToSend",
    "Outbox",
    "RewardToSend",
    "ToSend",
]
