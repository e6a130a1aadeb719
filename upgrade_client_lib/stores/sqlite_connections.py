"""Connections to one SQLite file, each used by one thread at a time, and none open in a fork.

SQLite keeps in the process's memory which locks it holds on a file, and a child process inherits
that note but not the locks. Whatever the child then opened of this file would be unprotected, and
the file could be damaged. So a fork waits until no connection is in use, and closes all.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, TypeVar

from .._fork import fork_waits
from .._locks import held

T = TypeVar("T")

MAX_IDLE = 16
"""How many connections are kept for later calls."""

FORK_SECONDS = 0.5
"""For how long a fork waits for calls in other threads to end."""

BUSY_SECONDS = 0.25
"""For how long a blocking call waits while other processes write."""

SCHEMA = 1
"""What the file's ``user_version`` says once its tables are there."""


class Connections:
    """The connections of all threads to one file, which is made with the first of them."""

    def __init__(self, path: Path, setup: str) -> None:
        self._path = path
        self._setup = setup
        self._idle: list[sqlite3.Connection] = []
        self._used: dict[int, sqlite3.Connection | None] = {}  # by thread
        self._closed = False
        weakref.finalize(self, _close_all, self._idle).atexit = False
        with held(_gate):
            _instances.add(self)

    def are_idle(self) -> bool:
        """Whether a connection could be lent without opening one."""
        return bool(self._idle)

    @contextmanager
    def lend(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend a connection, which waits for no lock.

        It is closed after an exception, unless that says that the file was locked.
        """
        thread = threading.get_ident()
        with held(_gate):
            if self._closed:
                raise sqlite3.ProgrammingError("the store is closed")
            connection = self._idle.pop() if self._idle else None
            self._used[thread] = connection
        intact = False
        try:
            if connection is None:
                self._used[thread] = connection = self._open()
            yield connection
            intact = True
        except sqlite3.OperationalError as error:
            intact = is_busy(error)
            raise
        except UnicodeDecodeError as error:  # in a message of SQLite, or in a row
            raise sqlite3.DatabaseError(f"{self._path} is damaged") from error
        finally:
            if intact and connection is not None:
                self._idle.append(connection)
            elif connection is not None:
                connection.close()
            self._used.pop(thread, None)  # last: a fork closes what it finds idle
            self.close_idle(0 if self._closed else MAX_IDLE)

    def close(self) -> None:
        """Close all connections; those in use, when they are given back."""
        self._closed = True
        self.close_idle()

    def close_idle(self, kept: int = 0) -> None:
        """Close the connections that nobody uses, but for a few."""
        with suppress(IndexError):  # another thread may have taken the last one
            while len(self._idle) > kept:
                self._idle.pop().close()

    def close_for_fork(self, deadline: float) -> None:
        """Close all connections, once they are not used; called while none is lent."""
        while self._used.keys() - {threading.get_ident()} and time.monotonic() < deadline:
            time.sleep(0.001)
        self.close_idle()

    def abandon(self) -> None:
        """In a child process: never use, nor close, what its parent still has open."""
        _inherited.extend([*self._idle, *filter(None, self._used.values())])
        self._idle.clear()
        self._used = {}

    def _open(self) -> sqlite3.Connection:
        with fork_waits():  # and other threads, which would find the new file locked
            # SQLite would make the file readable by all. Closing a file ends the process's locks on
            # it, so no thread may connect before the new file is closed.
            with suppress(OSError):  # SQLite tells what is wrong
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Make the tables, in one transaction, unless the file has them."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (known,) = connection.execute("PRAGMA user_version").fetchone()
        if known < SCHEMA:
            connection.executescript(
                f"BEGIN IMMEDIATE; {self._setup} PRAGMA user_version = {SCHEMA}; COMMIT;"
            )


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether the file was locked by another process or thread; then nothing was written."""
    return "locked" in str(error)  # Python 3.9 and 3.10 do not tell SQLite's error code


def patiently(work: Callable[[], T], *, once: bool = False) -> T:
    """Do some work, again and again while other processes or threads keep the file locked.

    With ``once``, it is not done again.
    """
    give_up = time.monotonic() + (0.0 if once else BUSY_SECONDS)
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= give_up:
                raise
        time.sleep(random.uniform(0.0005, 0.005))


_gate = threading.RLock()
_instances: weakref.WeakSet[Connections] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _before_fork() -> None:
    _gate.acquire()
    deadline = time.monotonic() + FORK_SECONDS
    for connections in list(_instances):
        connections.close_for_fork(deadline)


def _after_fork_in_parent() -> None:
    _gate.release()


def _after_fork_in_child() -> None:
    global _gate
    _gate = threading.RLock()
    for connections in list(_instances):
        connections.abandon()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def _close_all(connections: list[sqlite3.Connection]) -> None:
    """Close the connections of a store that was dropped without being closed."""
    for connection in connections:
        connection.close()
