"""Forked children that do some work, and tell what it gives."""

from __future__ import annotations

import os
import select
import signal
import traceback
from typing import Callable, NoReturn

import pytest

LONGEST = 60
"""After how many seconds a child is ended that hangs."""

FORK_WARNING = "ignore:.*fork:DeprecationWarning"
"""Python 3.12 warns of forks beside threads, which is what tests of forks are about."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


def in_child(work: Callable[[], object]) -> str:
    """Do the work in a forked child; return what it gives as text, or what it raised."""
    return in_children([work])[0]


def in_children(works: list[Callable[[], object]]) -> list[str]:
    """Do each work in a forked child of its own, at once."""
    return [_said(*child) for child in [_started(work) for work in works]]


def _started(work: Callable[[], object]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork() or _work_and_tell(work, writing)
    os.close(writing)
    return child, reading


def _said(child: int, reading: int) -> str:
    """Return what a child says until it ends; end it if it hangs, wherever that may be."""
    said = b""
    while select.select([reading], [], [], LONGEST)[0]:
        more = os.read(reading, 65536)
        if not more:
            break
        said += more
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0, "the child hung"
    return said.decode()


def _work_and_tell(work: Callable[[], object], writing: int) -> NoReturn:
    try:
        said = str(work())
    except BaseException:
        said = f"failed: {traceback.format_exc()}"
    os.write(writing, said.encode())
    os._exit(0)
