"""Whatever a store does, no answer is lost; what it holds shows what it may alone."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Callable

import httpx
import pytest

from tests.stores.support_stores import Kind, Time, sqlite
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_forms import Form, both_forms
from tests.support_server import HOST, Background, local_upgrade
from tests.support_sharing import Workers, clock, kind, workers
from upgrade_client_lib import Hook, UpgradeConnection, _store_access
from upgrade_client_lib._user import shared_entry
from upgrade_client_lib._user.entry import CHECKSUM_BYTES, MAX_CACHED_BYTES, Entry, decode, encode
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.types import DecisionSource

__all__ = ["clock", "kind", "workers"]

QUEUE = ("single", "queue")
KEY = "https://upgrade.example.org user"
APPLIED = "condition applied"


class Failing(MemoryStore):
    """A store some methods of which fail."""

    def __init__(self, *failing: str) -> None:
        super().__init__()
        self.failing = set(failing)
        self.calls: list[str] = []
        self.error: Callable[[], Any] = self._raise

    def get(self, key: str) -> Any:
        return self._or_fail("get") or super().get(key)

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> Any:
        return self._or_fail("replace") or super().replace(key, value, version, ttl)

    def delete(self, key: str) -> None:
        self._or_fail("delete")
        super().delete(key)

    def _or_fail(self, method: str) -> Any:
        self.calls.append(method)
        return self.error() if method in self.failing else None

    def _raise(self) -> None:
        raise OSError("the disk is on fire")


class Heard(Hook):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def store_failed(self, error: Exception) -> None:
        self.errors.append(error)


def of(store: MemoryStore, **options: Any) -> Workers:
    return Workers(Kind("memory", lambda: store), **options)


def condition(call: Form, workers: Workers) -> str:
    code: str = call(workers.client().decide, *QUEUE).condition
    return code


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    caplog.set_level(logging.INFO, logger="upgrade_client_lib")
    said: list[str] = []

    def note(record: logging.LogRecord) -> None:
        said.append(record.getMessage())

    monkeypatch.setattr(caplog.handler, "emit", note)
    return said


@both_forms
@pytest.mark.parametrize("method", ["get", "replace", "delete"])
def test_a_store_that_fails_costs_a_warning_and_no_answer(
    call: Form, warnings: list[str], clock: Time, method: str
) -> None:
    hook = Heard()
    workers = of(Failing(method))
    connection = workers.connection(hooks=[hook])
    for code in ["first", "second", "third"]:
        client = connection.client("user", "my-app", group={})
        assert call(client.decide, *QUEUE).condition == code
        assert len(call(client.get_all_feature_flags)) == 1
        call(call(client.decide, *QUEUE).mark)
        call(client.init)
        call(client.set_alt_user_ids, ["alias"])
        clock.let_pass(60)
    said = "the store Failing failed; the server is asked instead: OSError: the disk is on fire"
    assert warnings == ([said] if method != "delete" else [])
    assert all(isinstance(error, OSError) for error in hook.errors)
    assert bool(hook.errors) == (method != "delete")


@both_forms
def test_a_store_that_works_again_is_used_again(
    call: Form, warnings: list[str], clock: Time
) -> None:
    store = Failing("get")
    workers = of(store)
    connection = workers.connection()
    client = connection.client("user", "my-app", group={})
    assert call(client.decide, *QUEUE).source is DecisionSource.SERVER
    begun = len(store.calls)
    assert call(connection.client("user", "my-app").decide, *QUEUE).condition == "first"
    assert len(store.calls) == begun, "it is left alone for a second"
    store.failing.clear()
    clock.let_pass(31)
    call(connection.client("user", "my-app").decide, *QUEUE)
    assert call(connection.client("user", "my-app").decide, *QUEUE).source is DecisionSource.CACHE
    assert warnings[1:] == ["get of the store Failing works again"]


@both_forms
@pytest.mark.parametrize("change", ["mark", "init", "link"])
def test_what_could_not_be_written_is_removed_once_the_store_works_again(
    call: Form, clock: Time, change: str
) -> None:
    store = Failing()
    workers = of(store)
    workers.upgrade.flag("restricted", include={"class": ["class-1"]})
    workers.known()
    connection = workers.connection()
    client = connection.client("user", "my-app")
    call(client.get_all_feature_flags)
    call(workers.client("alias").decide, *QUEUE)
    decision = call(client.decide, *QUEUE)
    store.failing = {"replace"}
    if change == "mark":
        call(decision.mark)
    elif change == "init":
        call(client.init, {"class": ["class-1"]})
    else:
        call(client.set_alt_user_ids, ["alias"])
    store.failing.clear()
    clock.let_pass(31)
    call(connection.client("another user", "my-app").decide, *QUEUE)
    assert store.get(KEY) is None
    assert call(workers.client().has_feature_flag, "restricted") == (change == "init")
    assert condition(call, workers) == ("second" if change == "mark" else "first")


@both_forms
def test_an_answer_that_cannot_be_encoded_is_told_and_not_stored(
    call: Form, workers: Workers, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    def too_deep(entry: Entry) -> bytes:
        if entry.contexts:
            raise RecursionError
        return encode(entry)

    monkeypatch.setattr(shared_entry, "encode", too_deep)
    assert call(workers.known().decide, *QUEUE).condition == "first"
    assert warnings == ["an answer was not stored: it is nested too deeply"]


@both_forms
def test_of_very_many_that_could_not_be_written_the_first_are_given_up(
    call: Form, warnings: list[str], clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store_access, "MAX_TO_DELETE", 1)
    store = Failing()
    workers = of(store)
    connection = workers.connection()
    store.failing = {"replace"}
    for user_id in ("user", "second"):
        call(connection.client(user_id, "my-app").init)
    assert warnings[-1] == "the store may serve what is outdated: it failed for too long"
    clock.let_pass(31)
    store.failing = {"delete"}
    call(connection.client("user", "my-app").decide, *QUEUE)
    store.failing = set()
    clock.let_pass(31)
    call(connection.client("second", "my-app").decide, *QUEUE)
    call(connection.client("second", "my-app").decide, *QUEUE)
    assert store.calls.count("delete") == 2


@both_forms
def test_an_answer_that_is_nested_too_deeply_to_be_stored_is_a_decision_all_the_same(
    call: Form,
) -> None:
    # json reads it not, orjson does, and json encodes it not.
    deep = "[" * 980 + "]" * 980
    queue = '[{"id": "1", "conditionCode": "control", "payload": null, "experimentId": "2"}]'
    content = f'[{{"site": "home", "target": "", "assignedCondition": {queue}, "x": {deep}}}]'
    answering = httpx.MockTransport(lambda _: httpx.Response(200, text=content))
    store = MemoryStore()
    with UpgradeConnection("http://upgrade", transport=answering, store=store) as connection:
        decision = call(connection.client("user", "my-app").decide, "home", default="default")
    assert decision.condition == ("default" if decision.error else "control")


@both_forms
def test_a_slow_store_is_left_alone_for_a_while(
    call: Form, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store_access, "SLOW_SECONDS", 0.05)
    store = Failing("get")
    store.error = lambda: time.sleep(0.1)
    hook = Heard()
    connection = of(store).connection(hooks=[hook])
    for _ in range(3):
        client = connection.client("user", "my-app", group={})
        assert call(client.decide, *QUEUE).condition == "first"
    assert store.calls.count("get") == 1
    assert [type(error) for error in hook.errors] == [TimeoutError]
    assert len(warnings) == 1
    assert "TimeoutError" in warnings[0]


def test_an_async_store_that_never_answers_is_left_alone(
    warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store_access, "SLOW_SECONDS", 0.05)

    class Hanging(MemoryStore):
        async def get_async(self, key: str) -> Any:
            return await asyncio.get_running_loop().create_future()  # which nobody ends

    client = of(Hanging()).client(group={})
    condition = asyncio.run(client.decide(*QUEUE)).condition
    assert (condition, ["TimeoutError" in said for said in warnings]) == ("first", [True])


@both_forms
def test_a_store_that_takes_a_calls_time_does_not_cost_the_answer(call: Form, clock: Time) -> None:
    store = Failing("get")
    store.error = lambda: clock.let_pass(60)
    client = of(store).client(group={})
    assert call(client.decide, *QUEUE).condition == "first"


@both_forms
def test_nor_does_one_that_takes_it_to_write(call: Form, clock: Time) -> None:
    store = Failing("replace")
    store.error = lambda: clock.let_pass(60)
    local = local_upgrade()
    UpgradeConnection(HOST, transport=local.transport).client("user", "my-app").init_sync()
    with local.serve() as url, UpgradeConnection(url, store=store, retries=0) as connection:
        local.slow(0.05, endpoint="assign")
        assert call(connection.client("user", "my-app").decide, *QUEUE).condition == "first"


@both_forms
@pytest.mark.parametrize("value", [b"", b"{}", b"junk", "text", 7, None])
def test_what_no_connection_wrote_counts_as_nothing(
    call: Form, warnings: list[str], value: Any
) -> None:
    store = Failing("get")
    store.error = lambda: (value, 7)
    workers = of(store)
    assert call(workers.client(group={}).decide, *QUEUE).condition == "first"
    assert call(workers.client(group={}).decide, *QUEUE).source is DecisionSource.SERVER
    assert not warnings


@both_forms
def test_a_store_that_returns_something_else_has_failed(call: Form, warnings: list[str]) -> None:
    store = Failing("get")
    store.error = lambda: 7
    assert call(of(store).client(group={}).decide, *QUEUE).condition == "first"
    assert "TypeError" in warnings[0]


@both_forms
@pytest.mark.parametrize("position", [0, 3, 4, 20, -1, -50, -500])
def test_damaged_bytes_count_as_nothing(call: Form, workers: Workers, position: int) -> None:
    call(workers.known().get_all_experiment_conditions)
    store = workers.kind.open()
    found = store.get(KEY)
    assert found is not None
    damaged = bytearray(found[0])
    damaged[position] ^= 0x21
    assert store.replace(KEY, bytes(damaged), found[1], 600)
    for _ in range(2):
        assert len(call(workers.client().get_all_experiment_conditions)) == 6
    assert workers.server.count("assign") == 2


def test_a_record_of_another_format_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("upgrade_client_lib._user.entry.FORMAT", 2)
        assert decode(encode(Entry(generation="newer"))) == Entry(generation="newer")
        newer = encode(Entry(generation="g"))
    assert decode(newer) is None
    assert decode(encode(Entry(generation="g"))) == Entry(generation="g")


def test_a_small_record_that_is_read_again_is_not_decoded_again() -> None:
    small = encode(Entry(generation="small"))
    large = encode(Entry(generation="g" * MAX_CACHED_BYTES))
    assert decode(small) is decode(bytes(bytearray(small)))
    assert decode(large) == decode(large)
    assert decode(large) is not decode(large)


@pytest.mark.parametrize("value", [bytearray(b"no entry"), memoryview(b"no entry"), "no entry", 7])
@both_forms
def test_a_store_that_gives_no_bytes_has_no_record(
    call: Form, value: Any, warnings: list[str]
) -> None:
    store = Failing("get")
    store.error = lambda: (value, 1)
    client = of(store).client(group={})
    assert call(client.decide, *QUEUE).condition == "first"
    assert not warnings


def test_what_a_later_release_adds_to_a_record_is_ignored() -> None:
    from zlib import crc32

    data = encode(Entry(generation="g"))[CHECKSUM_BYTES:].replace(b"{", b'{"new":1,', 1)
    assert decode(crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data) == Entry(generation="g")


class Busy(MemoryStore):
    """A store in which some other worker is always faster."""

    is_busy = False

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        return not self.is_busy and super().replace(key, value, version, ttl)


@both_forms
def test_an_entry_that_others_always_change_is_removed(
    call: Form, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_entry, "MAX_ATTEMPTS", 3)
    store = Busy()
    workers = of(store)
    workers.known()
    decision = call(workers.client().decide, *QUEUE)
    store.is_busy = True
    call(decision.mark)
    assert store.get(KEY) is None
    assert call(workers.client().decide, *QUEUE).condition == "second"
    assert call(workers.client("new", group={}).decide, *QUEUE).condition == "first"
    call(workers.client().set_alt_user_ids, ["alias"])
    store.is_busy = False
    assert condition(call, workers) == "second"
    assert not warnings


@both_forms
def test_a_first_entry_that_two_begin_at_once_is_one_entry(call: Form) -> None:
    store = MemoryStore()
    workers = of(store)

    class Overtaken(MemoryStore):
        def get(self, key: str) -> tuple[bytes, int] | None:
            return store.get(key)

        def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
            if version is None:
                store.replace(key, encode(Entry(generation="other")), None, ttl)
            return store.replace(key, value, version, ttl)

    workers.truth().init_sync()
    call(workers.connection(Overtaken()).client("user", "my-app").decide, *QUEUE)
    assert call(workers.client().decide, *QUEUE).source is DecisionSource.CACHE


@both_forms
def test_forgetting_a_user_says_when_the_store_may_know_them_still(call: Form) -> None:
    with pytest.raises(RuntimeError, match="try again") as raised:
        call(of(Failing("get")).connection().forget, "user")
    assert isinstance(raised.value.__cause__, OSError)


@both_forms
def test_neither_fresh_nor_stale_seconds_make_no_entry_of_no_time(
    call: Form, warnings: list[str]
) -> None:
    workers = of(MemoryStore(), max_age=0, stale_if_error=0)
    for _ in range(2):
        call(workers.client(group={}).decide, *QUEUE)
    assert workers.server.count("assign") == 2
    assert not warnings


# ---- What is in a store ----


class Seen(MemoryStore):
    """A store that notes all that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[object] = []

    def get(self, key: str) -> tuple[bytes, int] | None:
        self.given.append(key)
        return super().get(key)

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        self.given += [key, value, ttl]
        return super().replace(key, value, version, ttl)


def use(call: Form, workers: Workers, store: MemoryStore, **options: Any) -> None:
    connection = workers.connection(store, token="secret-token", **options)
    client = connection.client("student-7", "my-app", token="other-token", group={})
    call(client.get_all_experiment_conditions)
    call(client.get_all_feature_flags)
    call(client.init, {"class": ["class-1"]})
    call(client.set_alt_user_ids, ["tablet-7"])
    call(connection.client("tablet-7", "my-app").decide, *QUEUE)


@both_forms
@pytest.mark.parametrize("key", ["a secret key", b"a secret key"])
def test_with_a_hash_key_no_user_id_is_in_the_store(call: Form, key: str | bytes) -> None:
    store = Seen()
    workers = of(store)
    use(call, workers, store, hash_key=key)
    shown = repr(store.given)
    assert "student" not in shown
    assert "tablet" not in shown
    connection = workers.connection(store, hash_key="a secret key")
    call(connection.client("student-7", "my-app").get_all_experiment_conditions)
    assert workers.server.count("assign") == 2
    other = workers.connection(store, hash_key="another secret key")
    call(other.client("student-7", "my-app").get_all_experiment_conditions)
    assert workers.server.count("assign") == 3


@both_forms
def test_no_token_is_in_the_store_and_all_expires(call: Form) -> None:
    store = Seen()
    use(call, of(store), store, max_age=60, stale_if_error=120)
    shown = repr(store.given)
    assert "student-7" in shown
    assert "token" not in shown
    assert {ttl for ttl in store.given if isinstance(ttl, float)} == {180.0}


@needs_fork
@pytest.mark.filterwarnings(FORK_WARNING)
def test_children_share_the_store_with_their_parent(tmp_path: Any) -> None:
    workers = Workers(sqlite(tmp_path))
    client = workers.known()
    assert client.decide_sync(*QUEUE).condition == "first"

    def in_child() -> str:
        decision = client.decide_sync(*QUEUE)
        decision.mark_sync()
        return f"{decision.source} {client.decide_sync(*QUEUE).condition}"

    assert in_children([in_child]) == ["cache second"]
    assert client.decide_sync(*QUEUE).condition == "second"


# ---- Odd entries ----


@both_forms
def test_a_user_is_removed_even_if_their_id_leads_in_a_circle(call: Form) -> None:
    store = MemoryStore()
    other = "https://upgrade.example.org other"
    for key, leads_to in ((KEY, other), (other, KEY)):
        assert store.replace(key, encode(Entry(root_key=leads_to)), None, 600)
    call(of(store).connection().forget, "user")
    assert store.get(KEY) is None
    assert store.get(other) is None


@both_forms
def test_an_id_that_is_linked_to_itself_leads_nowhere(call: Form, workers: Workers) -> None:
    call(workers.known().get_all_experiment_conditions)
    workers.server.answer("useraliases", {"userId": "user", "aliases": ["user"]})
    call(workers.client().set_alt_user_ids, ["alias"])
    call(workers.client().get_all_experiment_conditions)
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 2


@both_forms
def test_a_mark_of_a_user_of_whom_nothing_is_stored_stores_nothing(call: Form) -> None:
    store = MemoryStore()
    workers = of(store)
    assignment = call(workers.known().get_decision_point_assignment, *QUEUE)
    call(workers.connection().forget, "user")
    call(workers.client().mark_assignment, assignment, APPLIED)
    assert len(store) == 0


@both_forms
@pytest.mark.parametrize("stated", [False, True])
def test_an_init_that_repeats_stated_groups_makes_them_explicit(call: Form, stated: bool) -> None:
    store = MemoryStore()
    workers = of(store)
    groups: Any = {"group": {"class": ["class-1"]}, "working_group": {"class": "class-1"}}
    call(workers.client(**groups).get_all_feature_flags)
    if stated:
        call(workers.client().init, **groups)
    call(workers.client(group={"class": ["class-2"]}).get_all_feature_flags)
    assert workers.server.count("init") == 2
    found = store.get(KEY)
    assert found is not None
    entry = decode(found[0])
    assert entry is not None
    assert entry.groups is not None
    assert entry.groups.is_explicit == stated
    assert entry.groups.group == {"class": ["class-1" if stated else "class-2"]}


@both_forms
def test_a_change_whose_entry_could_not_be_read_before_leaves_open_whose_groups_are_the_last(
    call: Form, clock: Time
) -> None:
    store = Failing()
    workers = of(store)
    groups: Any = {"group": {"class": ["class-1"]}}
    call(workers.client(**groups).get_all_feature_flags)
    fails_once = iter([True])

    def fail() -> Any:
        store.failing.clear()
        raise OSError(next(fails_once))

    store.failing, store.error = {"get"}, fail
    connection = workers.connection()
    hold = workers.server.hold_next("init")
    with Background(call) as background:
        changing = background.begin(
            connection.client("user", "my-app").init, {"class": ["class-2"]}
        )
        hold.wait()
        clock.let_pass(2)
        hold.release()
        changing.result()
    call(workers.client(**groups).get_all_feature_flags)
    assert workers.server.count("init") == 3
