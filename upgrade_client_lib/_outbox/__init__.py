"""Events that wait for delivery, and their delivery."""

from __future__ import annotations

from .event import Event, LogToSend, MarkToSend, RewardToSend, ToSend
from .event_queue import FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS, EventQueue
from .outbox import Outbox

__all__ = [
    "FIRST_LOOK_SECONDS",
    "LONGEST_LOOK_SECONDS",
    "Event",
    "EventQueue",
    "LogToSend",
    "MarkToSend",
    "Outbox",
    "RewardToSend",
    "ToSend",
]
