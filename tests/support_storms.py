"""Cancellations and interrupts of many calls at random moments, and what they leave behind.

``nox -s storm`` runs long ones and prints what was seen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Literal

import attrs

from tests.support_faulty_server import FaultyServer
from upgrade_client_lib import UpgradeConnection

Engine = Literal["httpx", "aiohttp"]

CONNECTIONS = 4
AT_ONCE = 20
LATER = 40


@attrs.frozen
class Aftermath:
    """What a storm met and what it left.

    ``stopped`` calls were cancelled or interrupted, the others ``finished``. ``succeeded`` is how
    many of ``LATER`` calls after the storm did, ``open`` how many connections the server then has
    beyond those that the client may keep, ``tasks`` how many still run.
    """

    stopped: int
    finished: int
    succeeded: int
    open: int
    tasks: int = 0


def storm_of_cancellations(calls: int, seed: int) -> Aftermath:
    """Cancel calls of an event loop, up to 20 ms after each was begun."""
    return _storm_of_cancellations("httpx", calls, seed)


def storm_of_cancellations_with_aiohttp(calls: int, seed: int) -> Aftermath:
    """Cancel calls that aiohttp sends."""
    return _storm_of_cancellations("aiohttp", calls, seed)


def _storm_of_cancellations(engine: Engine, calls: int, seed: int) -> Aftermath:
    with FaultyServer() as server:
        return asyncio.run(_cancel_many(server, engine, calls, random.Random(seed)))


async def _cancel_many(
    server: FaultyServer, engine: Engine, calls: int, chance: random.Random
) -> Aftermath:
    async with UpgradeConnection(
        server.url, max_connections=CONNECTIONS, async_engine=engine
    ) as connection:
        client = connection.client("user", "my-app")
        await client.init()
        cancelled = 0

        async def call(delay: float) -> None:
            nonlocal cancelled
            task = asyncio.ensure_future(client.init())
            await asyncio.wait([task], timeout=delay)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1

        for _ in range(calls // AT_ONCE):
            delays = [chance.uniform(0.0, 0.02) for _ in range(AT_ONCE)]
            await asyncio.gather(*(call(delay) for delay in delays))
        later = await asyncio.gather(*(client.init() for _ in range(LATER)))
        others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        tasks = len((await asyncio.wait(others, timeout=5))[1]) if others else 0
        gc.collect()
        left = await asyncio.to_thread(server.open_connections, CONNECTIONS)
    return Aftermath(cancelled, calls - cancelled, len(later), max(left - CONNECTIONS, 0), tasks)


def storm_of_interrupts(calls: int, seed: int) -> Aftermath:
    """Raise an exception in blocking calls from a signal handler, up to 2 ms after each began.

    In a process of its own, which coverage does not watch: its locks do not survive this.
    """
    environment = {name: os.environ[name] for name in os.environ if "COV" not in name}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support_interrupts", str(calls), str(seed)],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return Aftermath(**json.loads(ran.stdout))


def main(calls: int) -> None:
    for storm in (
        storm_of_cancellations,
        storm_of_cancellations_with_aiohttp,
        storm_of_interrupts,
    ):
        print(f"{storm.__name__}({calls}): {storm(calls, seed=random.randrange(2**32))}")
