"""Whatever stops calls, nothing of them is left; `nox -s storm` runs the same for longer."""

from __future__ import annotations

import asyncio
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from tests import support_storms as storms
from tests.support_clock import until
from tests.support_faulty_server import WELL, Fault, FaultyServer, never_answers
from tests.support_forms import each_engine
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._http.slots import SyncSlots

pytestmark = pytest.mark.usefixtures("engine")

AT_MOST_STEPS = 60
"""How many times the event loop goes round in one call at the most."""

NOTHING = storms.Aftermath(stopped=1, finished=1, failed=0, sockets=0, leases=0, waiters=0)

interval_timers = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="no interval timers here"
)


@pytest.mark.parametrize("way", ["plain", "aiohttp"])
def test_calls_that_are_cancelled_at_random_leave_nothing(way: str) -> None:
    aftermath = storms.storm_of_cancellations(600, 12, way)

    assert aftermath.stopped > 20
    assert aftermath.is_clean, aftermath


@interval_timers
def test_calls_that_a_signal_handler_interrupts_at_random_leave_nothing() -> None:
    aftermath = storms.storm_of_interrupts(600, seed=12)

    assert aftermath.stopped > 20
    assert aftermath.is_clean, aftermath


@interval_timers
def test_the_program_of_storms_comes_by_every_way_and_prints_what_was_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    storms.main(40, 40)

    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.partition(", seed")[0] for line in lines] == [
        f"{way}: storm_of_{stopping}"
        for way in storms.WAYS
        for stopping in ("cancellations", "interrupts")
    ]


@pytest.mark.parametrize("left", ["failed", "sockets", "leases", "waiters", "tasks"])
def test_the_program_of_storms_fails_if_anything_is_left(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def storm(calls: int, seed: int, way: str) -> storms.Aftermath:
        return attrs.evolve(NOTHING, **{left: 1}) if way == "plain" else NOTHING

    monkeypatch.setattr(storms, "STORMS", [storm])

    with pytest.raises(SystemExit, match="Something is left"):
        storms.main(20, 20)


def test_what_counts_leases_and_waiters_sees_them() -> None:
    slots = SyncSlots(1)
    leases, waiters = storms.leases_and_waiters()
    lease = slots.acquire(0.0)
    assert storms.leases_and_waiters() == (leases + 1, waiters)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(slots.acquire, 20.0)
        until(lambda: storms.leases_and_waiters() == (leases + 1, waiters + 1))
        slots.release(lease)
        assert waiting.result() is not lease


@each_engine
def test_a_call_that_is_cancelled_at_any_step_frees_its_connection() -> None:
    async def cancelled_after(steps: int) -> bool:
        async with UpgradeConnection(server.url, max_connections=1) as connection:
            client = connection.client("user", "my-app")
            call = asyncio.ensure_future(client.init())
            for _ in range(steps):
                await asyncio.sleep(0)
            was_cancelled = call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() is was_cancelled
            await client.init()
            return was_cancelled

    async def scenario() -> list[bool]:
        return [await cancelled_after(steps) for steps in range(AT_MOST_STEPS)]

    with FaultyServer() as server:
        was_cancelled = asyncio.run(scenario())
        server.wait_until_all_hung_up()

    assert sum(was_cancelled) > 5


@each_engine
def test_calls_work_again_after_an_outage_in_which_all_of_them_were_given_up() -> None:
    def answer_when_healthy(connection: socket.socket, answer: bytes) -> bool:
        return (WELL if healthy else never_answers).play(connection, answer)

    async def scenario() -> int:
        async with UpgradeConnection(server.url, max_connections=4) as connection:
            client = connection.client("user", "my-app")
            for _ in range(3):
                calls = [asyncio.wait_for(client.init(), 0.02) for _ in range(20)]
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(result, asyncio.TimeoutError) for result in results)
            healthy.append(True)
            return len([await client.init() for _ in range(40)])

    healthy: list[bool] = []
    with FaultyServer(init=Fault(answer_when_healthy)) as server:
        assert asyncio.run(scenario()) == 40
