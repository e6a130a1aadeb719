"""What is known of one user, and what they can do: each operation, written once.

What only stores and outboxes need is loaded where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr
from .cache import AssignmentCache
from .decisions import decide, decide_flag
from .marks import MarkDetails
from .operations import User

if TYPE_CHECKING:
    from .outboxes import make_outbox
    from .shared_changes import forget

__all__ = [
    "AssignmentCache",
    "MarkDetails",
    "User",
    "decide",
    "decide_flag",
    "forget",
    "make_outbox",
]

_LAZY_MODULES = {"forget": "shared_changes", "make_outbox": "outboxes"}


if not TYPE_CHECKING:
    __getattr__ = lazy_getattr(__name__, _LAZY_MODULES)
