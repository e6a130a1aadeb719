"""Child processes: dropping what a fork copies and a child must not use."""

from __future__ import annotations

import os
from collections.abc import Callable


def call_after_fork(callback: Callable[[], None]) -> None:
    """Have a function called in every forked child process, never in the parent."""
    if hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(after_in_child=callback)
