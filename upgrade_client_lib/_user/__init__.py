"""What is known of one user, and what they can do: each operation, written once."""

from __future__ import annotations

from .cache import AssignmentCache
from .decisions import decide, decide_flag
from .marks import MarkDetails
from .operations import User
from .outboxes import make_outbox
from .sharing import forget

__all__ = [
    "AssignmentCache",
    "MarkDetails",
    "User",
    "decide",
    "decide_flag",
    "forget",
    "make_outbox",
]
