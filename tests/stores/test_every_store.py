"""What every store does, whatever it keeps its values in, called from threads and event loops."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Union

import pytest

from tests.stores.support_stores import (
    Async,
    Blocking,
    Kind,
    Time,
    called,
    count_up,
    documented,
    get,
    memory,
    redis,
    replace,
    sqlite,
    version_of,
)
from tests.support_children import FORK_WARNING, in_children, needs_fork
from upgrade_client_lib.stores import Store

Called = Union[Blocking, Async]

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)


@pytest.fixture(params=["memory", "sqlite", "redis", "documented"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    name: str = request.param
    if name == "memory":
        return memory()
    if name == "sqlite":
        return sqlite(tmp_path)
    if name == "documented":
        return documented(tmp_path)
    return redis(request.getfixturevalue("redis_server").url, f"{uuid.uuid4()}:")


@pytest.fixture
def raw(kind: Kind) -> Generator[Store, None, None]:
    """A store, to be called in any way."""
    store = kind.open()
    yield store
    close(store)


@pytest.fixture(params=["blocking", "async"])
def store(request: pytest.FixtureRequest, raw: Store) -> Generator[Called, None, None]:
    """A store that is called in one way."""
    if request.param == "blocking":
        yield Blocking(raw)
        return
    loop = asyncio.new_event_loop()
    yield Async(raw, loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def close(store: Any) -> None:
    """Close a store that can be closed."""
    getattr(store, "close", lambda: None)()


# ---- Values and versions ----


def test_there_is_nothing_at_first(store: Called) -> None:
    assert store.get("key") is None
    store.delete("key")
    assert store.get("key") is None


def test_a_value_is_kept_with_a_version(store: Called) -> None:
    assert store.replace("key", b"one", None, 60)

    found = store.get("key")
    assert found is not None
    value, version = found
    assert value == b"one"
    assert 0 <= version < 2**63
    assert store.get("key") == found


def test_a_value_is_replaced_where_its_version_is_known_and_gets_another(store: Called) -> None:
    store.replace("key", b"one", None, 60)
    first = version_of(store, "key")

    assert store.replace("key", b"two", first, 60)

    assert store.get("key") == (b"two", version_of(store, "key"))
    assert version_of(store, "key") != first


def test_the_same_value_gets_another_version_too(store: Called) -> None:
    store.replace("key", b"one", None, 60)
    first = version_of(store, "key")
    assert store.replace("key", b"one", first, 60)
    assert version_of(store, "key") != first


@pytest.mark.parametrize("stale", [None, 7, "first"])
def test_nothing_is_written_where_the_version_is_another(store: Called, stale: Any) -> None:
    store.replace("key", b"one", None, 60)
    first = version_of(store, "key")
    store.replace("key", b"two", first, 60)
    before = store.get("key")

    assert not store.replace("key", b"three", first if stale == "first" else stale, 60)

    assert store.get("key") == before


def test_nothing_is_written_with_a_version_where_there_is_no_value(store: Called) -> None:
    assert not store.replace("key", b"one", 7, 60)
    assert store.get("key") is None


def test_a_value_is_deleted_whatever_its_version(store: Called) -> None:
    store.replace("key", b"one", None, 60)
    store.delete("key")
    assert store.get("key") is None


def test_a_version_does_not_come_back_after_a_delete(store: Called) -> None:
    store.replace("key", b"one", None, 60)
    first = version_of(store, "key")
    store.delete("key")

    assert not store.replace("key", b"two", first, 60)
    assert store.replace("key", b"one", None, 60)
    assert version_of(store, "key") != first
    assert not store.replace("key", b"two", first, 60)


def test_versions_are_random_and_no_seed_repeats_them(store: Called) -> None:
    for key in "abcdefghij":  # what runs each test seeds the random module
        store.replace(key, b"", None, 60)
    versions = {version_of(store, key) for key in "abcdefghij"}
    assert len(versions) == 10
    assert max(versions) > 2**55


def test_keys_are_apart(store: Called) -> None:
    store.replace("one", b"1", None, 60)
    store.replace("two", b"2", None, 60)
    store.delete("one")

    assert store.get("one") is None
    assert store.get("two") == (b"2", version_of(store, "two"))


# ---- Expiry ----


def test_a_value_expires(store: Called, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    let_expire(store, kind, monkeypatch)
    assert store.get("key") is None


def test_a_value_that_has_expired_counts_as_none(
    store: Called, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = let_expire(store, kind, monkeypatch)

    assert not store.replace("key", b"two", version, 60)
    assert store.replace("key", b"three", None, 60)
    assert store.get("key") == (b"three", version_of(store, "key"))
    assert version_of(store, "key") != version


def test_each_write_sets_the_time_to_live_anew(
    store: Called, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace("other", b"one", None, 0.2)
    found = store.get("other")
    store.replace("other", b"two", None if found is None else found[1], 600)
    let_expire(store, kind, monkeypatch)

    found = store.get("other")
    assert found is not None
    assert found[0] == b"two"


def let_expire(store: Called, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> int:
    """Write a value, and come back when it has expired; return its version."""
    if kind.name == "redis":  # whose clock is its own
        store.replace("key", b"one", None, 0.2)
        version = version_of(store, "key")
        while store.get("key") is not None:
            pass
        return version
    clock = Time(monkeypatch)
    store.replace("key", b"one", None, 60)
    version = version_of(store, "key")
    clock.let_pass(59)
    assert store.get("key") == (b"one", version)
    clock.let_pass(1.5)
    return version


# ---- Odd keys and values ----

ODD_KEYS = [
    "a key",
    " key",
    "key ",
    "KEY",
    "key\n",
    "key\0",
    "key\0more",
    "../key",
    "/key",
    "key*?[]'\"%_;--",
    "ключ",
    "\u00e9",
    "e\u0301",
    "\U0001f511",
    "k" * 10_000,
]


def test_odd_keys_are_keys_like_others(store: Called) -> None:
    for key in ODD_KEYS:
        assert store.replace(key, repr(key).encode(), None, 60), key
    for key in ODD_KEYS:
        assert store.get(key) == (repr(key).encode(), version_of(store, key))
    store.delete("key\0")
    assert [key for key in ODD_KEYS if store.get(key) is None] == ["key\0"]


@pytest.mark.parametrize(
    "value",
    [b"", b"\0", bytes(range(256)), b"\xff" * 9, os.urandom(5_000_000)],
    ids=["empty", "zero", "all", "ff", "5 MB"],
)
def test_every_value_comes_back_as_it_was(store: Called, value: bytes) -> None:
    assert store.replace("key", value, None, 60)
    assert store.get("key") == (value, version_of(store, "key"))
    assert store.replace("key", value, version_of(store, "key"), 60)
    assert store.get("key") == (value, version_of(store, "key"))


@pytest.mark.parametrize("key", ["", "\ud800", b"key", None, 1])
def test_a_wrong_key_is_refused(store: Called, kind: Kind, key: Any) -> None:
    if not kind.ours:
        return
    error = ValueError if isinstance(key, str) else TypeError
    for call in (
        lambda: store.get(key),
        lambda: store.replace(key, b"", None, 60),
        lambda: store.delete(key),
    ):
        with pytest.raises(error):
            call()


@pytest.mark.parametrize(
    ("value", "version", "ttl", "message"),
    [
        ("text", None, 60, "value must be bytes, not str"),
        (None, None, 60, "value must be bytes, not NoneType"),
        (bytearray(b"x"), None, 60, "value must be bytes, not bytearray"),
        (b"", "1", 60, "version must be an int or None, not str"),
        (b"", 1.0, 60, "version must be an int or None, not float"),
        (b"", -1, 60, "version must be one that a store gave, not -1"),
        (b"", 2**63, 60, "version must be one that a store gave, not 9"),
        (b"", None, 0, "ttl must be seconds above 0, not 0"),
        (b"", None, -1.0, "ttl must be seconds above 0, not -1.0"),
        (b"", None, float("inf"), "ttl must be seconds above 0, not inf"),
        (b"", None, float("nan"), "ttl must be seconds above 0, not nan"),
        (b"", None, "60", "ttl must be a number of seconds, not str"),
        (b"", None, None, "ttl must be a number of seconds, not NoneType"),
    ],
)
def test_what_cannot_be_written_is_refused(
    store: Called, kind: Kind, value: Any, version: Any, ttl: Any, message: str
) -> None:
    if not kind.ours:
        return
    with pytest.raises((TypeError, ValueError), match=message):
        store.replace("key", value, version, ttl)
    assert store.get("key") is None


def test_the_shortest_and_the_longest_time_to_live_are_taken(store: Called) -> None:
    assert store.replace("short", b"", None, 1e-9)
    assert store.replace("long", b"", None, 1e300)
    assert store.get("long") is not None


# ---- Threads, tasks, loops ----


def test_threads_that_count_lose_nothing(raw: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        counting = [threads.submit(count_up, raw, "key", 25) for _ in range(8)]
        for counted in counting:
            counted.result()
    assert raw.get("key") == (b"200", version_of(raw, "key"))


def test_of_several_threads_one_alone_writes(raw: Store) -> None:
    together = threading.Barrier(8)

    def write(number: int) -> bool:
        together.wait(30)
        return raw.replace("key", b"%d" % number, None, 60)

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(write, range(8)))
    assert written.count(True) == 1
    assert raw.get("key") == (b"%d" % written.index(True), version_of(raw, "key"))


def test_tasks_that_count_lose_nothing(raw: Store) -> None:
    async def count() -> None:
        left = 5
        while left:
            found = await get(raw, "key")
            value, version = (b"0", None) if found is None else found
            left -= await replace(raw, "key", b"%d" % (int(value) + 1), version, 60)

    async def scenario() -> None:
        await asyncio.gather(*(count() for _ in range(10)))

    asyncio.run(scenario())
    assert raw.get("key") == (b"50", version_of(raw, "key"))


def test_each_event_loop_can_use_it_one_after_another_and_at_once(raw: Store) -> None:
    async def write(number: int) -> bool:
        return await replace(raw, f"key-{number}", b"%d" % number, None, 60)

    assert asyncio.run(write(0))
    assert asyncio.run(write(1))
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(asyncio.run, map(write, range(2, 10))))
    for number in range(10):
        assert raw.get(f"key-{number}") == (b"%d" % number, version_of(raw, f"key-{number}"))


@pytest.mark.parametrize("name", ["get", "replace", "delete"])
def test_a_cancelled_call_leaves_it_usable(raw: Store, name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "get": ("cancelled",),
        "replace": ("cancelled", b"x" * 1_000, None, 60),
        "delete": ("cancelled",),
    }

    async def scenario() -> None:
        assert await replace(raw, "key", b"one", None, 60)
        for steps in range(30):
            task = asyncio.ensure_future(called(raw, name, *arguments[name]))
            for _ in range(steps % 10):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            found = await get(raw, "key")
            assert found is not None
            assert found[0] == b"one"

    asyncio.run(scenario())
    assert raw.replace("key", b"two", version_of(raw, "key"), 60)


# ---- Other handles, other processes ----


def test_two_handles_of_the_same_data_see_the_same(kind: Kind) -> None:
    one, two = kind.open(), kind.open()
    try:
        one.replace("key", b"one", None, 60)
        assert two.get("key") == one.get("key")
        assert two.replace("key", b"two", version_of(one, "key"), 60)
        assert one.get("key") == (b"two", version_of(two, "key"))
        one.delete("key")
        assert two.get("key") is None
    finally:
        close(one)
        close(two)


@needs_fork
def test_what_fails_in_a_child_is_told() -> None:
    assert "ZeroDivisionError" in in_children([lambda: 1 / 0])[0]


@needs_fork
def test_a_child_process_and_its_parent_go_on(raw: Store, kind: Kind) -> None:
    def work() -> str:
        found = raw.get("key")
        assert found is not None
        assert asyncio.run(get(raw, "key")) == found
        assert raw.replace("key", b"child", found[1], 60)
        return found[0].decode()

    assert raw.replace("key", b"parent", None, 60)
    assert in_children([work]) == ["parent"]

    found = raw.get("key")
    assert found is not None
    assert found[0] == (b"child" if kind.between_processes else b"parent")
    assert raw.replace("key", b"parent again", found[1], 60)


@needs_fork
def test_a_child_of_an_event_loop_and_its_parent_go_on(raw: Store, kind: Kind) -> None:
    def work() -> bytes:
        found = raw.get("key")
        assert found is not None
        assert asyncio.run(get(raw, "key")) == found
        return found[0]

    async def scenario() -> None:
        assert await replace(raw, "key", b"one", None, 60)
        assert in_children([work]) == ["b'one'"]
        assert await get(raw, "key") is not None

    asyncio.run(scenario())


@needs_fork
def test_a_child_goes_on_where_other_threads_of_its_parent_were_busy(raw: Store) -> None:
    def go_on() -> None:
        while not done.is_set():
            raw.get("key")
            count_up(raw, "busy", 1)

    def work() -> bool:
        count_up(raw, "child", 1)
        return raw.get("key") is not None

    raw.replace("key", b"one", None, 60)
    done = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(go_on) for _ in range(2)]
        try:
            said = [in_children([work]) for _ in range(5)]
        finally:
            done.set()
        for one in busy:
            one.result()
    assert said == [["True"]] * 5


@needs_fork
def test_eight_processes_that_count_lose_nothing(raw: Store, kind: Kind) -> None:
    if not kind.between_processes:
        return
    counting: list[Callable[[], object]] = [lambda: count_up(raw, "key", 200)] * 8
    assert in_children(counting) == ["None"] * 8
    assert raw.get("key") == (b"1600", version_of(raw, "key"))
