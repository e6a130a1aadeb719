"""Events in a SQLite file, for the processes of one machine."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Callable, TypeVar

from .._fork import call_after_fork_on
from .._locks import held
from .arguments import check_event, check_key
from .event_protocol import ACTIVE, SENDING, WAITING, Added, StoredEvent
from .sqlite_connections import BUSY_SECONDS, Connections, patiently

T = TypeVar("T")

SETUP = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL, id TEXT NOT NULL, line TEXT NOT NULL, state TEXT NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (queue, id)
);
CREATE INDEX IF NOT EXISTS events_by_state ON events (queue, state, position);
CREATE INDEX IF NOT EXISTS events_by_line ON events (queue, line, position);
CREATE INDEX IF NOT EXISTS events_in_line ON events (queue, line, position)
    WHERE state IN ('waiting', 'sending');
CREATE TABLE IF NOT EXISTS lines (
    queue TEXT NOT NULL, line TEXT NOT NULL,
    due REAL, owner TEXT NOT NULL DEFAULT '', passed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, line)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lines_by_due ON lines (queue, due);
CREATE TABLE IF NOT EXISTS event_counts (
    queue TEXT NOT NULL, state TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS count_added AFTER INSERT ON events BEGIN
    INSERT INTO event_counts VALUES (NEW.queue, NEW.state, 1)
    ON CONFLICT (queue, state) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER IF NOT EXISTS count_removed AFTER DELETE ON events BEGIN
    UPDATE event_counts SET number = number - 1 WHERE queue = OLD.queue AND state = OLD.state;
END;
CREATE TRIGGER IF NOT EXISTS count_changed AFTER UPDATE OF state ON events
WHEN OLD.state <> NEW.state BEGIN
    UPDATE event_counts SET number = number - 1 WHERE queue = OLD.queue AND state = OLD.state;
    INSERT INTO event_counts VALUES (NEW.queue, NEW.state, 1)
    ON CONFLICT (queue, state) DO UPDATE SET number = number + 1;
END;
CREATE TABLE IF NOT EXISTS remembered (
    queue TEXT NOT NULL, id TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remembered_by_until ON remembered (until);
"""
"""``due`` is ``NULL`` for a line that has nothing to take; else when, leases included."""

FORGOTTEN_AT_ONCE = 100
"""How many ids that need not be remembered any longer go with each that is added."""

_EVENT = "SELECT id, line, position, state, data FROM events"
_HEAD = f"{_EVENT} WHERE queue = ? AND line = ? AND state IN ('waiting', 'sending')"
_KNOWN = """
SELECT EXISTS (SELECT 1 FROM events WHERE queue = :queue AND id = :id)
    OR EXISTS (SELECT 1 FROM remembered WHERE queue = :queue AND id = :id AND until > :now)
"""
_ADD = "INSERT INTO events (queue, id, line, state, data) VALUES (?, ?, ?, 'waiting', ?)"
_ADD_LINE = """
INSERT INTO lines (queue, line, due) VALUES (?, ?, ?)
ON CONFLICT (queue, line) DO UPDATE SET due = excluded.due WHERE due IS NULL
"""
_REMEMBER = """
INSERT INTO remembered (queue, id, until) VALUES (?, ?, ?)
ON CONFLICT (queue, id) DO UPDATE SET until = excluded.until
"""
_FORGET = """
DELETE FROM remembered WHERE (queue, id) IN (
    SELECT queue, id FROM remembered WHERE until <= ? LIMIT ?
)
"""
_DUE = "SELECT line FROM lines WHERE queue = ? AND due <= ? ORDER BY due LIMIT 1"
_LEASE = "UPDATE lines SET owner = ?, due = ? WHERE queue = ? AND line = ?"
_CHANGE = "UPDATE events SET state = ?, data = ? WHERE position = ?"
_RELEASE = """
UPDATE lines SET owner = '', due = CASE
    WHEN EXISTS (SELECT 1 FROM events WHERE queue = :queue AND line = :line
                 AND state IN ('waiting', 'sending')) THEN :due END
WHERE queue = :queue AND line = :line
"""
_PASS = "UPDATE lines SET passed = MAX(passed, ?) WHERE queue = ? AND line = ?"
_PASS_ALL = """
UPDATE lines SET passed = 1 + (
    SELECT COALESCE(MAX(position), 0) FROM events WHERE queue = :queue AND line = :line
) WHERE queue = :queue AND line = :line
"""
_PASSED = """
SELECT EXISTS (SELECT 1 FROM lines WHERE queue = :queue AND line = :line AND passed > :position)
    OR EXISTS (SELECT 1 FROM events WHERE queue = :queue AND line = :line AND position > :position
               AND state = 'sending')
"""
_DROP_LINE = """
DELETE FROM lines WHERE queue = :queue AND line = :line AND due IS NULL
AND NOT EXISTS (SELECT 1 FROM events WHERE queue = :queue AND line = :line)
"""


class SQLiteEvents:
    """The part of a ``SQLiteStore`` that keeps events."""

    _connections: Connections

    def __init__(self) -> None:
        self._begin_events()
        call_after_fork_on(self, SQLiteEvents._begin_events)

    def _begin_events(self) -> None:
        # Threads wait for each other here, rather than for SQLite's lock, which is not fair.
        self._events_lock = threading.RLock()
        self._hurries_until = 0.0

    def add_event(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Add an event at the end of its line; see ``EventStore``."""
        check_event(queue, event_id, line, data)

        def add(connection: sqlite3.Connection) -> Added:
            now = time.time()
            (known,) = connection.execute(
                _KNOWN, {"queue": queue, "id": event_id, "now": now}
            ).fetchone()
            if known:
                return "known"
            if sum(_counts(connection, queue).values()) >= max_events:
                return "full"
            connection.execute(_ADD, (queue, event_id, line, data))
            connection.execute(_ADD_LINE, (queue, line, now))
            if remember > 0:
                connection.execute(_FORGET, (now, FORGOTTEN_AT_ONCE))
                connection.execute(_REMEMBER, (queue, event_id, now + remember))
            return "added"

        return self._transact(add)

    async def add_event_async(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Do what :meth:`add_event` does, in a thread."""
        return await asyncio.to_thread(
            self.add_event,
            queue,
            event_id,
            line,
            data,
            max_events=max_events,
            remember=remember,
        )

    def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
        """Lease a line and return its head; see ``EventStore``."""
        check_key(owner)
        if self.seconds_until_due(queue) != 0.0:
            return None  # without a lock

        def take(connection: sqlite3.Connection) -> StoredEvent | None:
            now = time.time()
            found = connection.execute(_DUE, (queue, now)).fetchone()
            if found is None:
                return None
            (name,) = found
            head = connection.execute(f"{_HEAD} ORDER BY position LIMIT 1", (queue, name))
            event = StoredEvent(*head.fetchone())
            connection.execute(_LEASE, (owner, now + lease, queue, name))
            connection.execute(_CHANGE, (SENDING, event.data, event.position))
            return event

        return self._transact(take)

    def settle_event(
        self,
        queue: str,
        event_id: str,
        owner: str,
        *,
        state: str | None,
        data: bytes = b"",
        delay: float = 0.0,
        passes: bool = False,
    ) -> bool:
        """Give an event another state and end the lease of its line; see ``EventStore``."""

        def settle(connection: sqlite3.Connection) -> bool:
            event = _event(connection, queue, event_id)
            if event is None or event.state != SENDING:
                return False
            (holder,) = connection.execute(
                "SELECT owner FROM lines WHERE queue = ? AND line = ?", (queue, event.line)
            ).fetchone()
            if holder != owner:
                return False
            if state is None:
                connection.execute("DELETE FROM events WHERE position = ?", (event.position,))
            else:
                connection.execute(_CHANGE, (state, data, event.position))
            if passes:
                connection.execute(_PASS, (event.position, queue, event.line))
            _release(connection, queue, event.line, delay)
            return True

        return self._transact(settle)

    def reopen_event(self, queue: str, event_id: str, data: bytes) -> bool:
        """Have an event that was set aside wait again; see ``EventStore``."""

        def reopen(connection: sqlite3.Connection) -> bool:
            event = _event(connection, queue, event_id)
            if event is None or event.state in ACTIVE:
                return False
            place = {"queue": queue, "line": event.line, "position": event.position}
            (is_passed,) = connection.execute(_PASSED, place).fetchone()
            if is_passed:
                return False
            connection.execute(_CHANGE, (WAITING, data, event.position))
            connection.execute(_ADD_LINE, (queue, event.line, time.time()))
            return True

        return self._transact(reopen)

    def pass_line(self, queue: str, line: str) -> None:
        """Note that a line is past all its events; see ``EventStore``."""
        if self._list(f"{_EVENT} WHERE queue = ? AND line = ? LIMIT 1", queue, line):
            self._transact(
                lambda connection: connection.execute(_PASS_ALL, {"queue": queue, "line": line})
            )

    def remove_event(self, queue: str, event_id: str) -> bool:
        """Remove an event, unless it is being sent; see ``EventStore``."""

        def remove(connection: sqlite3.Connection) -> bool:
            event = _event(connection, queue, event_id)
            if event is None:
                return False
            due, holder = connection.execute(
                "SELECT due, owner FROM lines WHERE queue = ? AND line = ?", (queue, event.line)
            ).fetchone()
            if event.state == SENDING and due > time.time():
                return False
            if event.state == SENDING:
                connection.execute(_PASS, (event.position, queue, event.line))
            connection.execute("DELETE FROM events WHERE position = ?", (event.position,))
            if event.state == SENDING or not holder:
                _release(connection, queue, event.line, 0.0)
            return True

        return self._transact(remove)

    def get_event(self, queue: str, event_id: str) -> StoredEvent | None:
        """Return an event."""
        return self._query(lambda connection: _event(connection, queue, event_id))

    def line_events(self, queue: str, line: str) -> list[StoredEvent]:
        """Return the events that stand in a line, in their order."""
        return self._list(f"{_HEAD} ORDER BY position", queue, line)

    def list_events(self, queue: str, state: str, limit: int) -> list[StoredEvent]:
        """Return the events of a state, the oldest first."""
        where = "WHERE queue = ? AND state = ? ORDER BY position LIMIT ?"
        return self._list(f"{_EVENT} {where}", queue, state, limit)

    def count_events(self, queue: str) -> dict[str, int]:
        """Return how many events there are of each state."""
        return self._query(lambda connection: _counts(connection, queue))

    def seconds_until_due(self, queue: str) -> float | None:
        """Return when a line is due or its lease expires; ``None`` for no line."""
        statement = "SELECT MIN(due) FROM lines WHERE queue = ?"
        (due,) = self._query(lambda connection: connection.execute(statement, (queue,)).fetchone())
        return None if due is None else max(due - time.time(), 0.0)

    def _list(self, statement: str, *parameters: object) -> list[StoredEvent]:
        rows = self._query(lambda connection: connection.execute(statement, parameters).fetchall())
        return [StoredEvent(*row) for row in rows]

    def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            with self._connections.lend() as connection:
                return work(connection)

        return patiently(read)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in one transaction."""

        def change() -> T:
            with self._connections.lend() as connection, _transaction(connection):
                return work(connection)

        with held(self._events_lock):
            hurries = time.monotonic() < self._hurries_until
            try:
                result = patiently(change, once=hurries)
            except sqlite3.OperationalError:
                if not hurries:  # threads that waited here meanwhile need not wait in vain, too
                    self._hurries_until = time.monotonic() + BUSY_SECONDS
                raise
            self._hurries_until = 0.0
            return result


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have done so itself, on a full disk for example
            connection.execute("ROLLBACK")
        raise


def _event(connection: sqlite3.Connection, queue: str, event_id: str) -> StoredEvent | None:
    found: Any = connection.execute(f"{_EVENT} WHERE queue = ? AND id = ?", (queue, event_id))
    row = found.fetchone()
    return None if row is None else StoredEvent(*row)


def _counts(connection: sqlite3.Connection, queue: str) -> dict[str, int]:
    statement = "SELECT state, number FROM event_counts WHERE queue = ? AND number > 0"
    return dict(connection.execute(statement, (queue,)))


def _release(connection: sqlite3.Connection, queue: str, line: str, delay: float) -> None:
    place = {"queue": queue, "line": line}
    connection.execute(_RELEASE, {**place, "due": time.time() + delay})
    connection.execute(_DROP_LINE, place)
