"""Holding locks that no exception of a signal handler leaves locked.

Up to Python 3.9, such an exception may strike between the block of ``with lock:`` and the release:
the lock then stays locked, and other threads wait for ever (https://bugs.python.org/issue29988).
"""

from __future__ import annotations

import sys
import weakref
from contextlib import AbstractContextManager
from functools import partial
from itertools import starmap
from typing import Any

IS_INTERRUPTIBLE = sys.version_info < (3, 10)
"""Whether an exception may strike between the block of a ``with`` statement and its end."""


def held(lock: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """Return what holds a lock during a ``with`` statement."""
    return Hold(lock) if IS_INTERRUPTIBLE else lock


class Hold:
    """Holds a lock during a ``with`` statement, or until dropped, as by one that is interrupted."""

    __slots__ = ("__weakref__", "_acquired", "_lock", "_on_drop")

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._acquired: list[Any] = []
        self._on_drop: Any = weakref.ref(self, partial(_release, lock, self._acquired))

    def __enter__(self) -> None:
        try:
            # Acquires and takes note of it in one call into C, which no signal handler divides.
            self._acquired.extend(map(self._lock.acquire, (True,)))
        except BaseException:
            _release(self._lock, self._acquired)
            raise

    def __exit__(self, *error: object) -> None:
        try:
            _release(self._lock, self._acquired)
        except BaseException:
            _release(self._lock, self._acquired)
            raise
        self._on_drop = None


def _release(lock: Any, acquired: list[Any], dropped: object = None) -> None:
    """Release a lock if it was acquired, and take note of it, in one step likewise."""
    acquired[:] = filter(None, starmap(lock.release, [()] * len(acquired)))
