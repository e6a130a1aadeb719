"""A store in the memory of one process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from .._fork import call_after_fork_on
from .._locks import held
from .arguments import check_key, check_record, new_version, positive_int
from .memory_events import MemoryEvents

_Record = tuple[bytes, int, float]
"""Value, version, and when it expires on the clock of ``time.monotonic()``.

The garbage collector stops walking such a tuple once it has seen what it holds.
"""


class MemoryStore(MemoryEvents):
    """Keeps values and events in this process, for all of its threads and event loops.

    Other processes do not see them; a child process that is forked off begins with a copy of the
    values, and without events. They are gone when the store is.

    >>> from upgrade_client_lib.stores import MemoryStore
    >>> store = MemoryStore(max_users=10_000)
    >>> store.replace("key", b"value", None, ttl=60)
    True

    Args:
        max_users: how many values are kept. One more, and the one goes that was not used for the
            longest time.
    """

    def __init__(self, *, max_users: int = 100_000) -> None:
        super().__init__()
        self._max_users = positive_int("max_users", max_users)
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = threading.RLock()  # reentrant, for signal handlers and finalizers
        call_after_fork_on(self, MemoryStore._after_fork)

    def __repr__(self) -> str:
        return f"MemoryStore(max_users={self._max_users})"

    def __len__(self) -> int:
        """How many values there are, with those that have expired and not been removed yet."""
        return len(self._records)

    def get(self, key: str) -> tuple[bytes, int] | None:
        """Return the value and its version; ``None`` where there is none, or it has expired."""
        check_key(key)
        with held(self._lock):
            record = self._live(key, time.monotonic())
            if record is None:
                return None
            self._records.move_to_end(key)
        return record[:2]

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Write a value if the present one has this version; return whether it was written.

        ``None`` stands for no value. ``ttl`` is in seconds.
        """
        check_record(key, value, version, ttl)
        now = time.monotonic()
        written = (value, new_version(), now + ttl)
        with held(self._lock):
            record = self._live(key, now)
            if version != (None if record is None else record[1]):
                return False
            self._records[key] = written
            self._records.move_to_end(key)
            self._make_room(now)
        return True

    def delete(self, key: str) -> None:
        """Remove a value; that there is none is no error."""
        check_key(key)
        with held(self._lock):
            self._records.pop(key, None)

    async def get_async(self, key: str) -> tuple[bytes, int] | None:
        """Return what :meth:`get` returns; it never suspends."""
        return self.get(key)

    async def replace_async(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Do what :meth:`replace` does; it never suspends."""
        return self.replace(key, value, version, ttl)

    async def delete_async(self, key: str) -> None:
        """Do what :meth:`delete` does; it never suspends."""
        self.delete(key)

    def _live(self, key: str, now: float) -> _Record | None:
        """Return a record; one that has expired is removed. Called under the lock."""
        record = self._records.get(key)
        if record is not None and record[2] <= now:
            del self._records[key]
            return None
        return record

    def _make_room(self, now: float) -> None:
        """Remove what is one too many, and one that has expired unused. Called under the lock."""
        if len(self._records) > self._max_users:
            self._records.popitem(last=False)
        self._live(next(iter(self._records)), now)

    def _after_fork(self) -> None:
        self._begin_events()
        self._lock = threading.RLock()  # a thread of the parent may have it
