"""Whatever stops calls, nothing of them is left; `nox -s storm` runs the same for longer."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Callable

import pytest

from tests.support_faulty_server import WELL, Fault, FaultyServer, never_answers
from tests.support_forms import each_engine
from tests.support_storms import (
    LATER,
    Aftermath,
    storm_of_cancellations,
    storm_of_cancellations_with_aiohttp,
    storm_of_interrupts,
)
from upgrade_client_lib import UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine")

AT_MOST_STEPS = 60
"""How many times the event loop goes round in one call at the most."""


@pytest.mark.parametrize("storm", [storm_of_cancellations, storm_of_cancellations_with_aiohttp])
def test_calls_that_are_cancelled_at_random_leave_nothing(
    storm: Callable[[int, int], Aftermath],
) -> None:
    aftermath = storm(600, 12)

    assert aftermath.stopped > 100
    assert (aftermath.succeeded, aftermath.open, aftermath.tasks) == (LATER, 0, 0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_calls_that_a_signal_handler_interrupts_at_random_leave_nothing() -> None:
    aftermath = storm_of_interrupts(600, seed=12)

    assert aftermath.stopped > 20
    assert (aftermath.succeeded, aftermath.open) == (LATER, 0)


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
