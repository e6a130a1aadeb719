"""Edges of small parts, which calls alone reach by chance."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from tests.support_clients import client_at
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._api import Identity
from upgrade_client_lib._http import (
    DEFAULT_OPTIONS,
    CallOptions,
    async_pools,
    async_slots,
    idle,
    resolver,
)
from upgrade_client_lib._sync import ASYNC, SYNC, run_sync
from upgrade_client_lib._user import turns
from upgrade_client_lib._user.cache import AssignmentCache
from upgrade_client_lib._user.record import Record
from upgrade_client_lib.testing import LocalUpgrade

IDENTITY = Identity("user", "session", "my-app", "")


def test_a_transport_that_was_idle_for_too_long_stays_for_others() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    waiting = idle.IdleTransports(make, 2, 4.0)
    kept = object()
    waiting.put(kept)

    assert waiting.take(-1.0) is made[0]
    assert waiting.take(1.0) is kept


def test_a_connection_that_comes_back_to_a_closed_pool_is_closed() -> None:
    class Connection:
        closed = 0

        def abort(self) -> None: ...

        async def aclose(self) -> None:
            self.closed += 1

    async def scenario() -> None:
        pool = async_pools.AsyncPool(Connection, 1, 4.0)
        async with pool.transport(1.0, 1.0) as lent:
            await pool.aclose()
        assert lent.closed == 1
        async with pool.transport(1.0, 1.0) as next_one:
            assert next_one is not lent
        await pool.aclose()
        assert next_one.closed == 1

    asyncio.run(scenario())


@both_forms
def test_an_address_that_refuses_leaves_the_next_one_to_be_tried(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(host: str, port: int) -> Future[list[str]]:
        return addresses

    addresses: Future[list[str]] = Future()
    addresses.set_result(["127.0.0.2", "127.0.0.1"])
    monkeypatch.setattr(resolver, "look_up", look_up)
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        assert call(connection.client("user", "my-app").init).id == "user"


def test_a_look_up_that_nobody_knows_any_longer_is_forgotten_at_once() -> None:
    resolver._forget(("upgrade.example.org", 443), Future())  # pyright: ignore[reportPrivateUsage]


def test_who_has_a_slot_is_not_told_that_there_is_none() -> None:
    async def scenario() -> int:
        turn = asyncio.get_running_loop().create_future()
        turn.set_result(1)
        async_slots.AsyncSlots(1)._give_up(turn)  # pyright: ignore[reportPrivateUsage]
        return int(await turn)

    assert asyncio.run(scenario()) == 1


def test_no_loop_is_running_outside_of_one() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    assert not async_pools._is_running(loop)  # pyright: ignore[reportPrivateUsage]


def test_work_is_finished_without_waiting_for_it() -> None:
    async def work() -> None:
        done.append("done")

    async def scenario() -> None:
        ASYNC.finish(work())
        await asyncio.sleep(0)

    done: list[str] = []
    SYNC.finish(work())
    asyncio.run(scenario())
    ASYNC.finish(work())  # without a loop: nothing can be done any more

    assert done == ["done", "done"]


def test_a_blocking_method_runs_in_a_thread_of_an_event_loop() -> None:
    class Owner:
        def double(self, number: int) -> int:
            return 2 * number

    assert asyncio.run(_call_either(Owner(), 21)) == 42


async def _call_either(owner: object, number: int) -> object:
    return await ASYNC.call_either(owner, "double", 5.0, number)


def test_a_record_from_elsewhere_is_not_kept_over_a_change() -> None:
    cache = AssignmentCache()
    changes = cache.changes
    cache.clear()
    cache.keep(Record(IDENTITY, {}), changes - 1)

    assert cache.value is None


def test_a_record_of_one_client_does_not_expire() -> None:
    record = Record(IDENTITY, {})
    record.use_until(0.0)

    assert record.is_valid_at(("home", "banner"))


def test_a_turn_that_another_took_over_is_not_ended_by_the_first() -> None:
    async def send(options: CallOptions) -> str:
        turns._turns[key] = other  # pyright: ignore[reportPrivateUsage]
        return "sent"

    key = "http://upgrade", "user"
    other = turns._Turn(0.0)  # pyright: ignore[reportPrivateUsage]

    assert run_sync(turns.in_turn(SYNC, *key, DEFAULT_OPTIONS, send)) == "sent"
    assert turns._turns[key] is other  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("wrong", ["", b""])
def test_an_empty_hash_key_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="hash_key must not be empty"):
        UpgradeConnection("http://upgrade", hash_key=wrong)


def test_an_explanation_names_the_experiment_of_the_point_that_was_asked_for() -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment("home", "banner", conditions=["one"])
    upgrade.experiment("quiz", "hint", conditions=["other"])
    client_at(upgrade).init_sync()

    assert "other" in str(upgrade.explain("u1", "quiz", "hint"))
