"""SQLiteStore: its files, their modes, and what it does when one of them is damaged or locked."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.stores.support_stores import Time, version_of
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_clock import MARGIN, taking
from upgrade_client_lib.stores import SQLiteStore, sqlite_connections

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Generator[SQLiteStore, None, None]:
    with closing(SQLiteStore(path)) as opened:
        yield opened


@contextmanager
def locked(path: Path) -> Generator[None, None, None]:
    """Have another connection write as long as the block lasts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        yield
        writing.execute("ROLLBACK")


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as reading:
        counted: int = reading.execute("SELECT count(*) FROM records").fetchone()[0]
    return counted


# ---- Files ----


def test_nothing_is_opened_before_the_first_call(path: Path) -> None:
    SQLiteStore(path).close()
    assert not path.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_only_the_owner_may_read_the_files(store: SQLiteStore, path: Path) -> None:
    before = os.umask(0)
    try:
        store.replace("key", b"one", None, 60)
    finally:
        os.umask(before)

    files = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert files == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_file_that_is_there_keeps_its_mode(store: SQLiteStore, path: Path) -> None:
    path.touch(0o660)
    path.chmod(0o660)
    store.replace("key", b"one", None, 60)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_values_are_there_for_the_next_store(path: Path) -> None:
    with closing(SQLiteStore(path)) as first:
        first.replace("key", b"one", None, 60)
        before = first.get("key")
    with closing(SQLiteStore(path)) as second:
        assert second.get("key") == before


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SQLiteStore("store.db")) as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.replace("key", b"one", None, 60)
        assert repr(store) == f"SQLiteStore({str(tmp_path / 'store.db')!r})"
    assert (tmp_path / "store.db").exists()


@pytest.mark.parametrize("name", ["a b.db", "ü.db", "50%?#.db", "file:x?mode=memory"])
def test_odd_names_are_names_of_files(tmp_path: Path, name: str) -> None:
    with closing(SQLiteStore(tmp_path / name)) as store:
        assert store.replace("key", b"one", None, 60)
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (":memory:", "path must name a file; a MemoryStore keeps values in memory"),
        ("", "path must name a file, not ''"),
        ("a\0b", r"path must name a file, not 'a\\x00b'"),
        (b"store.db", "path must be a str or a path of one, not bytes"),
        (None, "expected str, bytes or os.PathLike object, not NoneType"),
        (1, "expected str, bytes or os.PathLike object, not int"),
    ],
)
def test_a_wrong_path_is_refused(path: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        SQLiteStore(path)


# ---- Closing ----


def test_a_closed_store_says_so(store: SQLiteStore) -> None:
    store.replace("key", b"one", None, 60)
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.get("key"),
        lambda: store.delete("key"),
        lambda: asyncio.run(store.get_async("key")),
    ]
    for call in calls:
        with pytest.raises(sqlite3.ProgrammingError, match="the store is closed"):
            call()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
def test_closing_leaves_no_file_open_not_even_one_in_use(store: SQLiteStore, path: Path) -> None:
    store.replace("key", b"one", None, 60)
    with locked(path), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(store.delete, "key")
        store.close()
        with pytest.raises(sqlite3.Error):
            waiting.result()
    assert open_files(path) == []


def test_no_more_connections_are_kept_than_a_few_threads_need(store: SQLiteStore) -> None:
    def read() -> None:
        with connections.lend():
            together.wait(30)

    connections = store._connections  # pyright: ignore[reportPrivateUsage]
    together = threading.Barrier(sqlite_connections.MAX_IDLE + 4)
    with ThreadPoolExecutor(together.parties) as threads:
        for done in [threads.submit(read) for _ in range(together.parties)]:
            done.result()
    assert len(connections._idle) == sqlite_connections.MAX_IDLE  # pyright: ignore[reportPrivateUsage]


def open_files(path: Path) -> list[str]:
    """The names of the store's files that this process has open, once for each time."""
    names: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder's own
            names.append(os.readlink(link))
    return [name for name in names if name.startswith(str(path))]


# ---- Expiry ----


def test_rows_that_have_expired_are_removed_now_and_then(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time(monkeypatch)
    for number in range(20):
        store.replace(f"old-{number}", b"", None, 60)
    clock.let_pass(59)
    store.replace("new", b"", None, 600)
    assert rows(path) == 21

    clock.let_pass(61)
    store.replace("newer", b"", None, 600)

    assert rows(path) == 2


def test_a_write_succeeds_although_what_has_expired_cannot_be_removed_now(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock_after(statement: str, *parameters: object) -> int:
        changed: int = execute(statement, *parameters)
        blocking.__enter__()
        return changed

    blocking = locked(path)
    execute: Callable[..., int] = store._execute  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(store, "_execute", lock_after)
    assert store.replace("key", b"one", None, 60)
    blocking.__exit__(None, None, None)


def test_a_purge_that_fails_in_another_way_is_told(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_after(statement: str, *parameters: object) -> int:
        changed: int = execute(statement, *parameters)
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE records")
        return changed

    execute: Callable[..., int] = store._execute  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(store, "_execute", break_after)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.replace("key", b"one", None, 60)


# ---- Locks ----


def test_a_write_waits_for_another_to_end(store: SQLiteStore, path: Path) -> None:
    store.replace("key", b"one", None, 60)
    version = version_of(store, "key")
    with ThreadPoolExecutor(1) as thread:
        with locked(path):
            writing = thread.submit(store.replace, "key", b"two", version, 60)
        assert writing.result()


def test_a_write_gives_up_in_time_and_a_read_does_not_wait(store: SQLiteStore, path: Path) -> None:
    store.replace("key", b"one", None, 60)
    before = store.get("key")
    with locked(path):
        with taking(0.25, 0.25 + MARGIN), pytest.raises(sqlite3.OperationalError, match="locked"):
            store.replace("key", b"two", version_of(store, "key"), 60)
        assert store.get("key") == before
        assert asyncio.run(store.get_async("key")) == before
    assert store.get("key") == before


def test_threads_that_hand_events_over_give_up_together(store: SQLiteStore, path: Path) -> None:
    def add(number: int) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.add_event("queue", f"event {number}", "line", b"", max_events=99, remember=0)

    assert store.count_events("queue") == {}
    with locked(path), ThreadPoolExecutor(40) as threads, taking(0.25, 0.25 + MARGIN):
        list(threads.map(add, range(40)))
    assert store.count_events("queue") == {}


def test_an_event_loop_goes_on_while_a_write_waits(store: SQLiteStore, path: Path) -> None:
    async def scenario() -> int:
        assert await store.replace_async("key", b"one", None, 60)
        found = await store.get_async("key")
        assert found is not None
        with locked(path):
            writing = asyncio.ensure_future(store.replace_async("key", b"two", found[1], 60))
            turns = 0
            while not writing.done():
                assert await store.get_async("key") == found
                await asyncio.sleep(0.001)
                turns += 1
            with pytest.raises(sqlite3.OperationalError):
                writing.result()
        return turns

    assert asyncio.run(scenario()) > 10


def test_a_read_of_an_event_loop_is_made_at_once(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await store.replace_async("key", b"one", None, 60)
        monkeypatch.setattr(asyncio, "to_thread", None)
        assert await store.get_async("key") is not None
        assert await store.get_async("other") is None

    asyncio.run(scenario())


def test_a_read_that_finds_the_file_locked_waits_in_a_thread(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked_at_first(key: str) -> Any:  # as where SQLite mends a file after a crash
        threads.append(threading.get_ident())
        if len(threads) < 3:
            raise sqlite3.OperationalError("database is locked")
        return read(key)

    threads: list[int] = []
    read: Callable[[str], Any] = store._read  # pyright: ignore[reportPrivateUsage]
    store.replace("key", b"one", None, 60)
    monkeypatch.setattr(store, "_read", locked_at_first)

    assert asyncio.run(store.get_async("key")) is not None

    here, *elsewhere = threads
    assert here == threading.get_ident()
    assert len(elsewhere) == 2
    assert here not in elsewhere


def test_a_read_in_an_event_loop_tells_what_is_wrong(store: SQLiteStore, path: Path) -> None:
    async def scenario() -> None:
        await store.replace_async("key", b"one", None, 60)
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE records")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await store.get_async("key")

    asyncio.run(scenario())


# ---- Damage ----


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_an_error_and_nothing_worse(path: Path, seed: int) -> None:
    with closing(SQLiteStore(path)) as store:
        for number in range(50):
            store.replace(f"key-{number}", b"x" * 300, None, 60)
    damage = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(damage.choice([20, 2_000, 50_000])):
        content[damage.randrange(0 if seed % 3 == 0 else 100, len(content))] = damage.randrange(256)
    path.write_bytes(bytes(content[: damage.choice([len(content), len(content) // 2])]))

    with closing(SQLiteStore(path)) as store:
        for key in [f"key-{number}" for number in range(50)]:
            with suppress(sqlite3.Error):
                store.get(key)
            with suppress(sqlite3.Error):
                store.replace(key, b"new", None, 60)
            with suppress(sqlite3.Error):
                store.delete(key)


def test_text_that_cannot_be_read_is_an_error_of_sqlite(store: SQLiteStore, path: Path) -> None:
    store.close()
    path.write_bytes(b"")
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE records (key, value, version, expires)")
        other.execute("CREATE INDEX records_by_expiry ON records (expires)")
        other.execute("INSERT INTO records VALUES ('key', CAST(x'ff' AS TEXT), 1, 1e10)")
        other.commit()
    with closing(SQLiteStore(path)) as own, pytest.raises(sqlite3.Error):
        own.get("key")


def test_an_error_of_sqlite_that_is_no_text_is_one_all_the_same(
    store: SQLiteStore, path: Path
) -> None:
    with (
        pytest.raises(sqlite3.DatabaseError, match=r"store\.db is damaged"),
        store._connections.lend(),  # pyright: ignore[reportPrivateUsage]
    ):
        b"\xff".decode()


def test_a_file_of_something_else_is_left_as_it_is(store: SQLiteStore, path: Path) -> None:
    path.write_bytes(b"something else, and not short\n" * 100)
    calls: list[Callable[[], object]] = [
        lambda: store.get("key"),
        lambda: store.replace("key", b"one", None, 60),
    ]
    for call in calls:
        with pytest.raises(sqlite3.DatabaseError, match="file is not a database"):
            call()
    assert path.read_bytes() == b"something else, and not short\n" * 100


def test_a_file_mended_by_its_removal_is_used_again(path: Path) -> None:
    path.write_bytes(b"something else, and not short\n" * 100)
    with closing(SQLiteStore(path)) as store:
        with pytest.raises(sqlite3.DatabaseError):
            store.get("key")
        path.unlink()
        assert store.replace("key", b"one", None, 60)


@pytest.mark.parametrize(
    ("value", "version"), [("text", 1), (1, 1), (b"one", "text"), (b"one", 1.5)]
)
def test_a_record_that_no_store_wrote_is_an_error(
    store: SQLiteStore, path: Path, value: object, version: object
) -> None:
    store.get("key")
    with closing(sqlite3.connect(path)) as other:
        record = ("key", value, version, time.time() + 60)
        other.execute("INSERT INTO records VALUES (?, ?, ?, ?)", record)
        other.commit()
    with pytest.raises(sqlite3.DatabaseError, match="holds a record that no store wrote"):
        store.get("key")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "nowhere" / "store.db")) as store:
        with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
            store.get("key")
        with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
            asyncio.run(store.get_async("key"))
    with closing(SQLiteStore(tmp_path)) as store, pytest.raises(sqlite3.OperationalError):
        store.get("key")


@needs_fork
def test_a_file_that_may_not_be_written_is_an_error(store: SQLiteStore, path: Path) -> None:
    def work() -> str:
        user = os.geteuid()
        os.seteuid(user or 65534)  # root may write everything
        with closing(SQLiteStore(path)) as own, pytest.raises(sqlite3.OperationalError) as raised:
            own.replace("key", b"two", None, 60)
        os.seteuid(user)
        return str(raised.value)

    store.replace("key", b"one", None, 60)
    store.close()
    path.chmod(0o444)
    assert re.search("readonly|unable to open", in_children([work])[0])


@needs_fork
def test_a_full_disk_is_an_error_and_leaves_what_was_there(store: SQLiteStore, path: Path) -> None:
    def work() -> bool:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(sqlite3.OperationalError):
            store.replace("key", os.urandom(1_000_000), version_of(store, "key"), 60)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return store.get("key") == before

    store.replace("key", b"one", None, 60)
    before = store.get("key")
    assert in_children([work]) == ["True"]
    assert store.get("key") == before


# ---- Forks ----


@needs_fork
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="no list of locks here")
def test_a_child_holds_locks_of_its_own(store: SQLiteStore, path: Path) -> None:
    def locks() -> int:
        inodes = {str(each.stat().st_ino) for each in path.parent.iterdir()}
        return sum(
            line.split()[4] == str(os.getpid()) and line.split()[5].split(":")[2] in inodes
            for line in Path("/proc/locks").read_text().splitlines()
        )

    def work() -> bool:
        store.get("key")
        return locks() > 0

    store.replace("key", b"one", None, 60)
    assert locks() > 0
    assert in_children([work]) == ["True"]


@needs_fork
def test_a_child_never_touches_a_connection_that_could_not_be_closed(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold() -> None:
        with store._connections.lend():  # pyright: ignore[reportPrivateUsage]
            held.set()
            done.wait(30)

    def work() -> bool:
        return store.get("key") is not None and store.replace("other", b"", None, 60)

    monkeypatch.setattr(sqlite_connections, "FORK_SECONDS", 0.01)
    held, done = threading.Event(), threading.Event()
    store.replace("key", b"one", None, 60)
    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(hold)
        held.wait(30)
        assert in_children([work]) == ["True"]
        done.set()
        holding.result()
    assert store.get("other") is not None


@needs_fork
def test_a_call_that_a_signal_handler_interrupts_does_not_stop_forks(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connections, "FORK_SECONDS", 120.0)
    store.replace("key", b"one", None, 60)
    with pytest.raises(KeyboardInterrupt), store._connections.lend():  # pyright: ignore[reportPrivateUsage]
        raise KeyboardInterrupt
    with taking(0, 60.0):
        assert in_children([lambda: store.get("key") is not None]) == ["True"]
