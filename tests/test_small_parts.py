"""Edges of small parts, which calls alone reach by chance."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest

from tests.support_clients import client_at
from tests.support_storms import main as storms
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._api import Identity
from upgrade_client_lib._http import DEFAULT_OPTIONS, CallOptions, pools
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

    idle = pools._IdleTransports(make, 2, 4.0)  # pyright: ignore[reportPrivateUsage]
    kept = object()
    idle.put(kept)

    assert idle.take(-1.0) is made[0]
    assert idle.take(1.0) is kept


def test_no_loop_is_running_outside_of_one() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    assert not pools._is_running(loop)  # pyright: ignore[reportPrivateUsage]


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


def test_the_program_of_storms_prints_what_was_left(capsys: pytest.CaptureFixture[str]) -> None:
    run: Callable[[int], None] = storms
    run(20)

    printed = capsys.readouterr().out.splitlines()
    assert [line.partition("(")[0] for line in printed] == [
        "storm_of_cancellations",
        "storm_of_interrupts",
    ]
