"""MemoryStore: bounded, quick for many users, and little more than the bytes it keeps."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from typing import Any, Callable

import pytest

from tests.stores.support_stores import Time, version_of
from tests.support_children import FORK_WARNING, in_children, needs_fork
from upgrade_client_lib._sync import run_sync
from upgrade_client_lib.stores import MemoryStore


def test_what_was_not_used_for_the_longest_time_makes_room() -> None:
    store = MemoryStore(max_users=3)
    for key in "abc":
        store.replace(key, key.encode(), None, 60)
    store.get("a")
    store.replace("b", b"b", version_of(store, "b"), 60)

    store.replace("d", b"d", None, 60)

    assert len(store) == 3
    assert store.get("c") is None
    assert [key for key in "abd" if store.get(key)] == ["a", "b", "d"]


def test_one_user_can_be_all_there_is() -> None:
    store = MemoryStore(max_users=1)
    store.replace("a", b"a", None, 60)
    store.replace("b", b"b", None, 60)
    assert store.get("a") is None
    assert store.get("b") == (b"b", version_of(store, "b"))


def test_what_expires_unused_is_removed_by_later_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, store = Time(monkeypatch), MemoryStore()
    for number in range(10):
        store.replace(f"old-{number}", b"", None, 60)
    clock.let_pass(61)
    assert len(store) == 10

    for _ in range(10):
        store.replace("new", b"", store.get("new") and version_of(store, "new"), 60)

    assert len(store) == 1


def test_a_read_removes_what_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, store = Time(monkeypatch), MemoryStore()
    store.replace("key", b"", None, 60)
    clock.let_pass(61)
    store.get("key")
    assert len(store) == 0


@pytest.mark.parametrize("most", [0, -1, 1.5, "2", None, True])
def test_a_wrong_number_of_users_is_refused(most: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_users must be "):
        MemoryStore(max_users=most)


def test_its_repr_tells_its_size_and_no_user() -> None:
    store = MemoryStore(max_users=5)
    store.replace("student-4", b"secret", None, 60)
    assert repr(store) == "MemoryStore(max_users=5)"


def test_its_async_methods_never_suspend() -> None:
    store = MemoryStore()
    assert run_sync(store.replace_async("key", b"one", None, 60))
    assert run_sync(store.get_async("key")) == store.get("key")
    run_sync(store.delete_async("key"))
    assert store.get("key") is None


def test_the_garbage_collector_walks_none_of_its_values() -> None:
    store = MemoryStore()
    gc.collect()
    before = len(gc.get_objects())

    for number in range(1_000):
        store.replace(f"user-{number}", b"%d" % number, None, 60)

    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_value_takes_little_more_than_its_bytes() -> None:
    store, value = MemoryStore(), os.urandom(2_000)
    before = sys.getallocatedblocks()
    for number in range(1_000):
        store.replace(f"user-{number}", value, None, 60)
    assert sys.getallocatedblocks() - before < 6 * 1_000  # key, tuple, version, expiry, link
    found = store.get("user-7")
    assert found is not None
    assert found[0] is value


@pytest.mark.parametrize("method", ["get", "replace", "delete"])
def test_a_signal_handler_may_use_it_and_interrupt_it(method: str) -> None:
    class Interruption(Exception):
        pass

    class Key(str):  # looked up while the store is at work: there, a signal may arrive
        __slots__ = ()

        def __hash__(self) -> int:
            assert store.replace("handler", b"x", None, 60)
            store.delete("handler")
            raise Interruption

    store = MemoryStore()
    store.replace("key", b"one", None, 60)
    arguments = (b"two", None, 60) if method == "replace" else ()
    with pytest.raises(Interruption):
        getattr(store, method)(Key("key"), *arguments)

    other = threading.Thread(target=store.replace, args=("other", b"x", None, 60))
    other.start()
    other.join(10)
    assert store.get("other") is not None
    assert store.get("key") == (b"one", version_of(store, "key"))


@needs_fork
@pytest.mark.filterwarnings(FORK_WARNING)
def test_what_a_child_writes_stays_in_the_child() -> None:
    store = MemoryStore()

    def work(key: str) -> Callable[[], object]:
        return lambda: (asyncio.run(store.replace_async(key, b"", None, 60)), len(store))

    store.replace("key", b"parent", None, 60)
    assert in_children([work("one"), work("two")]) == ["(True, 2)", "(True, 2)"]
    assert len(store) == 1
