"""What is known of one user, and what they can do: each operation, written once."""

from __future__ import annotations

from .cache import AssignmentCache
from .decisions import decide, decide_flag
from .operations import User
from .sharing import end_records, forget

__all__ = ["AssignmentCache", "User", "decide", "decide_flag", "end_records", "forget"]
