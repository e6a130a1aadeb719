"""A store in a file, for the processes of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from typing import Any, cast

from .arguments import check_key, check_record, file_path, new_version
from .sqlite_connections import Connections, is_busy, patiently
from .sqlite_events import SETUP as EVENTS_SETUP, SQLiteEvents

PURGE_SECONDS = 60.0
"""How often each process removes rows that have expired; ``PURGE_ROWS`` at most each time."""

PURGE_ROWS = 1_000

_SETUP = """
CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires);
"""
_GET = "SELECT value, version FROM records WHERE key = ? AND expires > ?"
_INSERT = """
INSERT INTO records (key, value, version, expires) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = excluded.version, expires = excluded.expires
WHERE expires <= ?
"""
_UPDATE = """
UPDATE records SET value = ?, version = ?, expires = ?
WHERE key = ? AND version = ? AND expires > ?
"""
_DELETE = "DELETE FROM records WHERE key = ?"
_PURGE = """
DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires <= ? LIMIT ?)
"""


class SQLiteStore(SQLiteEvents):
    """Keeps values and events in a file, for all processes of one machine.

    They survive the processes. The file is made with the first call, and only its owner may read
    and write it (mode 0600; so it is with the files beside it, which end in ``-wal`` and ``-shm``).
    It must lie on a local disk, not on one that machines share.

    A write waits for a quarter of a second at most while other processes write. In an event loop, a
    read is made at once, and whatever may wait is done in a thread. A file that is damaged, locked,
    full or read-only is a ``sqlite3.Error`` of the method that was called.

    >>> from upgrade_client_lib.stores import SQLiteStore
    >>> store = SQLiteStore("/var/lib/school/upgrade.db")

    Args:
        path: where the file is or shall be; its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = file_path(path).absolute()  # also after the current folder changes
        super().__init__()
        self._connections = Connections(self._path, _SETUP + EVENTS_SETUP)
        self._next_purge = 0.0

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._path)!r})"

    def get(self, key: str) -> tuple[bytes, int] | None:
        """Return the value and its version; ``None`` where there is none, or it has expired."""
        check_key(key)
        return patiently(lambda: self._read(key))

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Write a value if the present one has this version; return whether it was written.

        ``None`` stands for no value. ``ttl`` is in seconds.
        """
        check_record(key, value, version, ttl)
        return patiently(lambda: self._write(key, value, version, ttl))

    def delete(self, key: str) -> None:
        """Remove a value; that there is none is no error."""
        check_key(key)
        patiently(lambda: self._execute(_DELETE, key))

    async def get_async(self, key: str) -> tuple[bytes, int] | None:
        """Return what :meth:`get` returns: at once, or in a thread where it would have to wait."""
        check_key(key)
        if self._connections.are_idle():
            try:
                return self._read(key)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
        return await asyncio.to_thread(self.get, key)

    async def replace_async(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Do what :meth:`replace` does, in a thread."""
        return await asyncio.to_thread(self.replace, key, value, version, ttl)

    async def delete_async(self, key: str) -> None:
        """Do what :meth:`delete` does, in a thread."""
        await asyncio.to_thread(self.delete, key)

    def close(self) -> None:
        """Close the file; those connections that a call is using, when it ends.

        May be called twice. A later call of another method is a ``sqlite3.ProgrammingError``.
        """
        self._connections.close()

    def _read(self, key: str) -> tuple[bytes, int] | None:
        with self._connections.lend() as connection:
            row: Any = connection.execute(_GET, (key, time.time())).fetchone()
        if row is None:
            return None
        if not (isinstance(row[0], bytes) and isinstance(row[1], int)):
            raise sqlite3.DatabaseError(f"{self._path} holds a record that no store wrote")
        return cast("tuple[bytes, int]", row)

    def _write(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        now = time.time()
        written = (value, new_version(), now + ttl)
        if version is None:
            changed = self._execute(_INSERT, key, *written, now)
        else:
            changed = self._execute(_UPDATE, *written, key, version, now)
        if now >= self._next_purge:
            self._next_purge = now + PURGE_SECONDS
            self._purge(now)
        return changed == 1

    def _purge(self, now: float) -> None:
        try:
            self._execute(_PURGE, now, PURGE_ROWS)
        except sqlite3.OperationalError as error:
            if not is_busy(error):  # then another time will do
                raise

    def _execute(self, statement: str, *parameters: object) -> int:
        """Execute a statement, a transaction of its own; return how many rows it changed."""
        with self._connections.lend() as connection:
            return connection.execute(statement, parameters).rowcount
