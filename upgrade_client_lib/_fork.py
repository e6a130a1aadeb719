"""Child processes: what a fork copies and a child must not use."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_each_child(start_afresh: Callable[[], None]) -> None:
    """Have this called in every child process that is forked off, never in the parent."""
    if hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(after_in_child=start_afresh)
