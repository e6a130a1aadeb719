"""Events that wait for delivery, and their delivery."""

from __future__ import annotations

from .event import Event, LogToSend, MarkToSend, RewardToSend, ToSend
from .event_queue import EventQueue
from .outbox import Outbox

__all__ = [
    "Event",
    "EventQueue",
    "LogToSend",
    "MarkToSend",
    "Outbox",
    "RewardToSend",
    "ToSend",
]
