"""Child processes: dropping what a fork copies and a child must not use; no fork amid imports.

A child that is forked while another thread imports a module waits for that module's import lock for
ever. So what a call imports when it is first needed is imported in :func:`fork_waits`.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from ._locks import held

T = TypeVar("T")

_importing = threading.RLock()


def call_after_fork(callback: Callable[[], None]) -> None:
    """Have a function called in every forked child process, never in the parent."""
    if hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(after_in_child=callback)


def call_after_fork_on(owner: T, method: Callable[[T], None]) -> None:
    """Have a method of an object called in every forked child process, as long as it lives."""
    _owners[owner] = method


_owners: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def _call_owners() -> None:
    for owner, method in list(_owners.items()):
        method(owner)


call_after_fork(_call_owners)


@contextmanager
def fork_waits() -> Generator[None, None, None]:
    """Have forks in other threads wait until the block, which imports modules, ends."""
    with held(_importing):
        yield


def _before_fork() -> None:
    _importing.acquire()


def _after_fork_in_parent() -> None:
    _importing.release()


def _after_fork_in_child() -> None:
    global _importing
    _importing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
