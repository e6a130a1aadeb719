"""What every store of events does: order in lines, leases, states, and what it counts."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable, TypeVar, cast

import pytest

from tests.stores.support_stores import Kind, memory, redis, sqlite
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_clock import until
from tests.support_redis import RedisServer
from upgrade_client_lib.stores import RedisStore
from upgrade_client_lib.stores.event_protocol import EventStore

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)

T = TypeVar("T")

QUEUE = "https://upgrade.example.org"
LEASE = 60.0
MOMENT = 0.001


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    name: str = request.param
    if name == "memory":
        return memory()
    if name == "sqlite":
        return sqlite(tmp_path)
    return redis(request.getfixturevalue("redis_server").url, f"{uuid.uuid4()}:")


@pytest.fixture
def store(kind: Kind) -> Generator[EventStore, None, None]:
    opened = cast("EventStore", kind.open())
    yield opened
    getattr(opened, "close", lambda: None)()


def add(
    store: EventStore,
    event_id: str,
    line: str = "user",
    *,
    queue: str = QUEUE,
    most: int = 100,
    remember: float = 0,
) -> str:
    data = f"data of {event_id}".encode()
    return store.add_event(queue, event_id, line, data, max_events=most, remember=remember)


def take(store: EventStore, owner: str = "a", lease: float = LEASE) -> str | None:
    """Take an event, and return its id."""
    event = store.take_event(QUEUE, owner, lease)
    return None if event is None else event.id


def settle(store: EventStore, event_id: str, owner: str = "a", **more: Any) -> bool:
    given: dict[str, Any] = {"state": None, **more}
    return store.settle_event(QUEUE, event_id, owner, **given)


def patiently(work: Callable[[], T]) -> T:
    """Do something again while another process keeps the file locked for too long."""
    while True:
        with suppress(sqlite3.OperationalError):
            return work()


def wait_until_due(store: EventStore) -> None:
    until(lambda: store.seconds_until_due(QUEUE) == 0)


# ---- Order ----


def test_a_line_is_handled_in_the_order_of_its_events(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        assert add(store, name) == "added"
    for name in ["1", "2", "3"]:
        assert take(store) == name
        assert take(store) is None
        assert settle(store, name)
    assert take(store) is None
    assert store.seconds_until_due(QUEUE) is None


def test_lines_are_handled_side_by_side(store: EventStore) -> None:
    add(store, "1", "one")
    add(store, "2", "two")
    assert {take(store, "a"), take(store, "b")} == {"1", "2"}


def test_an_event_says_what_was_added_and_that_it_waited(store: EventStore) -> None:
    add(store, "ä 1", "Zoë")
    event = store.take_event(QUEUE, "a", LEASE)
    assert event is not None
    assert (event.id, event.line, event.state) == ("ä 1", "Zoë", "waiting")
    assert event.data == "data of ä 1".encode()


def test_data_may_be_any_bytes(store: EventStore) -> None:
    data = bytes(range(256))
    store.add_event(QUEUE, "1", "user", data, max_events=1, remember=0)
    event = store.take_event(QUEUE, "a", LEASE)
    assert event is not None
    assert event.data == data


def test_the_line_that_is_due_for_the_longest_time_comes_first(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name, name)
        until(lambda: store.seconds_until_due(QUEUE) == 0)
    taken = take(store)
    assert taken == "1"
    assert settle(store, "1", state="waiting")
    assert take(store) == "2"


def test_queues_do_not_touch_each_other(store: EventStore) -> None:
    add(store, "1")
    add(store, "1", queue="other")
    assert take(store) == "1"
    assert settle(store, "1")
    assert store.count_events("other") == {"waiting": 1}
    assert store.seconds_until_due("nothing") is None
    assert store.take_event("nothing", "a", LEASE) is None
    assert store.line_events("nothing", "user") == []
    assert store.list_events("nothing", "waiting", 9) == []
    assert store.get_event("nothing", "1") is None
    assert store.count_events("nothing") == {}
    assert not store.remove_event("nothing", "1")
    assert not store.reopen_event("nothing", "1", b"")
    assert not store.settle_event("nothing", "1", "a", state=None)


# ---- Adding ----


def test_an_id_is_added_once(store: EventStore) -> None:
    assert add(store, "1") == "added"
    assert add(store, "1", "other") == "known"
    assert store.count_events(QUEUE) == {"waiting": 1}


def test_an_id_is_remembered_after_its_event_is_gone(store: EventStore) -> None:
    add(store, "1", remember=60)
    add(store, "2")
    for name in ["1", "2"]:
        assert take(store) == name
        assert settle(store, name)
    assert add(store, "1") == "known"
    assert add(store, "2") == "added"


def test_an_id_is_forgotten_in_time(store: EventStore) -> None:
    add(store, "1", remember=MOMENT)
    take(store)
    settle(store, "1")
    until(lambda: add(store, "1", remember=MOMENT) != "known")
    assert store.count_events(QUEUE) == {"waiting": 1}


def test_a_full_queue_takes_no_more_whatever_the_states(store: EventStore) -> None:
    add(store, "1", "one", most=2)
    add(store, "2", "two", most=2)
    take(store)
    settle(store, "1", state="refused")
    assert add(store, "3", most=2) == "full"
    assert store.remove_event(QUEUE, "1")
    assert add(store, "3", most=2) == "added"


@pytest.mark.parametrize("wrong", [{"queue": ""}, {"line": ""}])
def test_empty_names_are_refused(store: EventStore, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        add(store, "1", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be empty"):
        add(store, "")
    with pytest.raises(TypeError, match="data must be bytes"):
        store.add_event(QUEUE, "1", "line", "text", max_events=1, remember=0)  # type: ignore[arg-type]


def test_event_loops_add_too(store: Any) -> None:
    async def scenario() -> list[str]:
        event = QUEUE, "1", "user", b"data"
        return [await store.add_event_async(*event, max_events=9, remember=0) for _ in range(2)]

    assert asyncio.run(scenario()) == ["added", "known"]
    assert take(store) == "1"


# ---- Leases ----


def test_a_lease_that_has_expired_goes_to_another(store: EventStore) -> None:
    add(store, "1")
    assert take(store, "a", MOMENT) == "1"
    wait_until_due(store)
    event = store.take_event(QUEUE, "b", LEASE)
    assert event is not None
    assert event.state == "sending"
    assert not settle(store, "1", "a")
    assert settle(store, "1", "b")


def test_an_owner_settles_late_if_nobody_took_over(store: EventStore) -> None:
    add(store, "1")
    take(store, "a", MOMENT)
    wait_until_due(store)
    assert settle(store, "1", "a")


def test_only_the_owner_settles_and_only_once(store: EventStore) -> None:
    add(store, "1")
    assert not settle(store, "1")
    take(store, "a")
    assert not settle(store, "1", "b")
    assert settle(store, "1", "a", state="refused", data=b"why")
    assert not settle(store, "1", "a")
    assert not settle(store, "unknown", "a")


def test_an_event_that_waits_again_holds_its_line_for_the_delay(store: EventStore) -> None:
    add(store, "1")
    add(store, "2")
    take(store)
    assert settle(store, "1", state="waiting", data=b"new", delay=3600)
    assert take(store) is None
    seconds = store.seconds_until_due(QUEUE)
    assert seconds is not None
    assert 3000 < seconds <= 3600


def test_no_event_is_taken_twice_by_threads(store: EventStore) -> None:
    for number in range(200):
        add(store, str(number), f"line {number % 10}", most=200)

    def work(owner: int) -> list[str]:
        taken: list[str] = []
        while True:
            name = take(store, str(owner))
            if name is None:
                if store.seconds_until_due(QUEUE) is None:
                    return taken
                continue
            taken.append(name)
            assert settle(store, name, str(owner))

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(work, range(4)))
    names = [name for names in taken for name in names]
    assert sorted(names, key=int) == [str(number) for number in range(200)]


@needs_fork
def test_processes_share_the_events_or_begin_without(kind: Kind) -> None:
    store = cast("EventStore", kind.open())
    for number in range(40):
        add(store, str(number), f"line {number % 4}")

    def work() -> int:
        own, owner = cast("EventStore", kind.open()), str(os.getpid())
        handled = 0
        while patiently(lambda: own.seconds_until_due(QUEUE)) is not None:
            name = patiently(lambda: take(own, owner))
            # In one expression: which process finds none is chance.
            handled += bool(name and patiently(partial(settle, own, name, owner)))
        return handled

    said = in_children([work, work])
    assert sum(map(int, said)) == (40 if kind.between_processes else 0), said
    assert store.count_events(QUEUE) == ({} if kind.between_processes else {"waiting": 40})


# ---- What was set aside ----


def test_what_is_set_aside_no_longer_holds_its_line(store: EventStore) -> None:
    add(store, "1")
    add(store, "2")
    take(store)
    settle(store, "1", state="refused", data=b"why")
    assert take(store) == "2"
    assert store.count_events(QUEUE) == {"refused": 1, "sending": 1}
    (refused,) = store.list_events(QUEUE, "refused", 9)
    assert (refused.id, refused.data) == ("1", b"why")
    assert store.get_event(QUEUE, "1") == refused


def test_an_event_that_is_reopened_has_its_old_place(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name)
    take(store)
    settle(store, "1", state="refused")
    assert store.reopen_event(QUEUE, "1", b"again")
    assert not store.reopen_event(QUEUE, "1", b"again")
    assert [event.id for event in store.line_events(QUEUE, "user")] == ["1", "2", "3"]
    event = store.take_event(QUEUE, "a", LEASE)
    assert event is not None
    assert (event.id, event.data) == ("1", b"again")


def test_an_event_that_its_line_has_passed_is_not_reopened(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name)
    take(store)
    settle(store, "1", state="refused")
    take(store)
    settle(store, "2", passes=True)
    take(store)
    settle(store, "3", state="refused")
    assert not store.reopen_event(QUEUE, "1", b"")
    assert store.reopen_event(QUEUE, "3", b"")
    assert not store.reopen_event(QUEUE, "unknown", b"")


def test_no_event_of_a_line_that_is_past_them_all_is_reopened(store: EventStore) -> None:
    for line in ["user", "other"]:
        add(store, line, line)
        assert take(store) == line
        assert settle(store, line, state="aside")
    store.pass_line(QUEUE, "user")
    store.pass_line(QUEUE, "nobody")
    store.pass_line("nothing", "user")
    add(store, "later")
    assert take(store) == "later"
    assert settle(store, "later", state="aside")
    assert not store.reopen_event(QUEUE, "user", b"")
    assert store.reopen_event(QUEUE, "other", b"")
    assert store.reopen_event(QUEUE, "later", b"")


def test_a_line_does_not_go_back(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name)
        assert take(store) == name
        assert settle(store, name, state="aside")
    assert store.reopen_event(QUEUE, "1", b"")
    assert take(store, lease=MOMENT) == "1"
    store.pass_line(QUEUE, "user")
    wait_until_due(store)
    assert store.remove_event(QUEUE, "1")
    assert not store.reopen_event(QUEUE, "2", b"")
    add(store, "4")
    assert take(store) == "4"
    assert settle(store, "4", state="aside")
    assert store.reopen_event(QUEUE, "4", b"")
    assert take(store) == "4"
    store.pass_line(QUEUE, "user")
    assert settle(store, "4", passes=True)
    assert not store.reopen_event(QUEUE, "3", b"")


def test_an_event_is_not_reopened_while_a_later_one_is_sent(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name)
    for name in ["1", "2"]:
        assert take(store) == name
        assert settle(store, name, state="aside")
    assert store.reopen_event(QUEUE, "2", b"")
    assert take(store) == "2"
    assert not store.reopen_event(QUEUE, "1", b"")
    assert settle(store, "2", state="aside")
    assert take(store) == "3"
    assert not store.reopen_event(QUEUE, "2", b"")
    assert settle(store, "3", state="waiting", delay=LEASE)
    assert store.reopen_event(QUEUE, "1", b"")


def test_an_event_is_not_reopened_after_a_later_one_was_left_behind_and_removed(
    store: EventStore,
) -> None:
    for name in ["1", "2"]:
        add(store, name)
    assert take(store) == "1"
    assert settle(store, "1", state="aside")
    assert take(store, lease=MOMENT) == "2"
    wait_until_due(store)
    assert store.remove_event(QUEUE, "2")
    assert not store.reopen_event(QUEUE, "1", b"")
    assert store.remove_event(QUEUE, "1")
    assert store.count_events(QUEUE) == {}


def test_an_event_is_reopened_while_an_earlier_one_is_sent(store: EventStore) -> None:
    for name in ["1", "2"]:
        add(store, name)
        assert take(store) == name
        assert settle(store, name, state="aside")
    assert store.reopen_event(QUEUE, "1", b"")
    assert take(store) == "1"
    assert store.reopen_event(QUEUE, "2", b"")


def test_the_last_event_of_a_line_is_reopened_while_no_other_is_there(store: EventStore) -> None:
    add(store, "1")
    take(store)
    settle(store, "1", state="refused")
    assert store.seconds_until_due(QUEUE) is None
    assert store.reopen_event(QUEUE, "1", b"")
    assert take(store) == "1"


def test_events_are_removed_unless_they_are_being_sent(store: EventStore) -> None:
    for name in ["1", "2", "3"]:
        add(store, name)
    take(store)
    assert not store.remove_event(QUEUE, "1")
    assert store.remove_event(QUEUE, "2")
    assert settle(store, "1")
    assert take(store) == "3"
    assert settle(store, "3", state="refused")
    assert store.remove_event(QUEUE, "3")
    assert not store.remove_event(QUEUE, "3")
    assert store.count_events(QUEUE) == {}


def test_an_event_whose_sender_is_gone_can_be_removed(store: EventStore) -> None:
    add(store, "1")
    add(store, "2")
    take(store, "a", MOMENT)
    wait_until_due(store)
    assert store.remove_event(QUEUE, "1")
    assert not settle(store, "1")
    assert take(store, "b") == "2"


def test_a_head_that_waits_can_be_removed_from_a_line_that_is_delayed(store: EventStore) -> None:
    add(store, "1")
    add(store, "2")
    take(store)
    settle(store, "1", state="waiting", delay=3600)
    assert store.remove_event(QUEUE, "1")
    assert take(store) == "2"


def test_events_are_listed_by_age_and_up_to_a_limit(store: EventStore) -> None:
    for number in range(5):
        add(store, str(number), f"line {-number}")
    assert [event.id for event in store.list_events(QUEUE, "waiting", 3)] == ["0", "1", "2"]


# ---- Each store's own ----


def test_a_change_that_fails_leaves_a_sqlite_file_as_it_was(tmp_path: Path) -> None:
    store: Any = sqlite(tmp_path).open()
    add(store, "1")
    take(store)
    assert settle(store, "1", state="refused")
    with pytest.raises(sqlite3.Error):
        store.reopen_event(QUEUE, "1", object())
    assert store.count_events(QUEUE) == {"refused": 1}
    assert store.reopen_event(QUEUE, "1", b"again")
    store.close()


def test_event_loops_add_through_a_blocking_client_of_redis(redis_server: RedisServer) -> None:
    clients: Any = pytest.importorskip("redis")
    client = clients.Redis.from_url(redis_server.url)
    store = RedisStore(client, prefix=f"{uuid.uuid4()}:")
    event = QUEUE, "1", "user", b"data"
    assert asyncio.run(store.add_event_async(*event, max_events=9, remember=0)) == "added"
    assert store.count_events(QUEUE) == {"waiting": 1}
    client.close()


def test_event_loops_add_after_redis_forgot_its_scripts(redis_server: RedisServer) -> None:
    clients: Any = pytest.importorskip("redis")
    client = clients.Redis.from_url(redis_server.url)
    store = RedisStore(redis_server.url, prefix=f"{uuid.uuid4()}:", timeout=10)

    async def scenario() -> list[str]:
        added: list[str] = []
        for number in range(2):
            client.script_flush()
            event = QUEUE, str(number), "user", b"data"
            added.append(await store.add_event_async(*event, max_events=9, remember=0))
        return added

    assert asyncio.run(scenario()) == ["added", "added"]
    assert store.count_events(QUEUE) == {"waiting": 2}
    store.close()
    client.close()
