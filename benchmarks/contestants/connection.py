"""This library through a connection of one's own, which the published one does not have."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from upgrade_client_lib import UpgradeConnection

from .timed import Timed, blocking, in_event_loop, many_in_flight
from .upgrade import CONTEXT, POINTS, entries


def make_client(address: str) -> Timed:
    return blocking(UpgradeConnection(address).client, "learner-1", CONTEXT)


def fifty_threads(address: str) -> Timed:
    """Fifty threads that ask one cold client."""
    connection = UpgradeConnection(address)
    threads = ThreadPoolExecutor(50)

    def read() -> None:
        client = connection.client("learner-1", CONTEXT)
        asking = [
            threads.submit(client.get_decision_point_assignment_sync, *POINTS[0]) for _ in range(50)
        ]
        for one in asking:
            one.result()

    return blocking(read)


def in_flight(address: str, **options: Any) -> Timed:
    client = UpgradeConnection(address, **options).client("learner-1", CONTEXT)
    return many_in_flight(functools.partial(client.log, entries()))


in_flight_aiohttp = functools.partial(in_flight, async_engine="aiohttp")


def _logs_at_once(address: str, *, tasks: int, **options: Any) -> Timed:
    client = UpgradeConnection(address, **options).client("learner-1", CONTEXT)
    metrics = entries()

    async def logs() -> None:
        await asyncio.gather(*[client.log(metrics) for _ in range(tasks)])

    return in_event_loop(logs)


logs_50 = functools.partial(_logs_at_once, tasks=50)
logs_50_10 = functools.partial(_logs_at_once, tasks=50, max_connections=10)
logs_50_20 = functools.partial(_logs_at_once, tasks=50, max_connections=20)
logs_50_50 = functools.partial(_logs_at_once, tasks=50, max_connections=50)
logs_50_100 = functools.partial(_logs_at_once, tasks=50, max_connections=100)
logs_200 = functools.partial(_logs_at_once, tasks=200)
logs_200_10 = functools.partial(_logs_at_once, tasks=200, max_connections=10)
logs_200_20 = functools.partial(_logs_at_once, tasks=200, max_connections=20)
logs_200_50 = functools.partial(_logs_at_once, tasks=200, max_connections=50)
logs_200_100 = functools.partial(_logs_at_once, tasks=200, max_connections=100)
