"""This library, and the published one: the same lines, run by an interpreter that has either."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.types import LogInput, LogMetrics

from . import timed as timing
from .timed import Timed, blocking, event_loop, in_event_loop

CONTEXT = "big-app"
POINTS = [(f"site{i // 10:02}", f"target{i:03}") for i in range(0, 200, 20)]
FLAG = "BIG_FLAG_027"


def new_client(address: str) -> Any:
    return UpgradeClient("learner-big", address, CONTEXT)


def entries() -> list[LogInput]:
    metrics = LogMetrics(attributes={"totalTimeSeconds": 95}, groupedMetrics=[])
    return [LogInput(timestamp="2026-11-20T08:00:00.000Z", metrics=metrics)]


def warm_flag(address: str) -> Timed:
    client = new_client(address)
    assert client.has_feature_flag_sync(FLAG)
    return blocking(client.has_feature_flag_sync, FLAG)


def warm_flag_async(address: str) -> Timed:
    return in_event_loop(new_client(address).has_feature_flag, FLAG)


def warm_flag_absent(address: str) -> Timed:
    client = new_client(address)
    assert not client.has_feature_flag_sync("OFF")
    return blocking(client.has_feature_flag_sync, "OFF")


def warm_assignment(address: str) -> Timed:
    client = new_client(address)
    assert client.get_decision_point_assignment_sync(*POINTS[0])
    return blocking(client.get_decision_point_assignment_sync, *POINTS[0])


def warm_assignment_async(address: str) -> Timed:
    return in_event_loop(new_client(address).get_decision_point_assignment, *POINTS[0])


def warm_assignment_absent(address: str) -> Timed:
    client = new_client(address)
    assert client.get_decision_point_assignment_sync("nowhere", "") is None
    return blocking(client.get_decision_point_assignment_sync, "nowhere", "")


def warm_decision(address: str) -> Timed:
    return _warm_decision(address, *POINTS[0])


def warm_decision_absent(address: str) -> Timed:
    return _warm_decision(address, "nowhere", "")


def _warm_decision(address: str, site: str, target: str) -> Timed:
    decide = functools.partial(new_client(address).decide_sync, default="control")
    assert decide(site, target).error is None
    assert decide(site, target) is decide(site, target), "it is kept from the second one on"
    return blocking(decide, site, target)


def warm_decision_async(address: str) -> Timed:
    return in_event_loop(
        functools.partial(new_client(address).decide, default="control"), *POINTS[0]
    )


def mark(address: str) -> Timed:
    client = new_client(address)
    site, target = POINTS[0]
    status = client.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
    return blocking(
        functools.partial(
            client.mark_decision_point_sync,
            site=site,
            target=target,
            condition="control",
            status=status,
        )
    )


def mark_async(address: str) -> Timed:
    client = new_client(address)
    site, target = POINTS[0]
    status = client.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
    return in_event_loop(
        functools.partial(
            client.mark_decision_point,
            site=site,
            target=target,
            condition="control",
            status=status,
        )
    )


def log(address: str) -> Timed:
    return blocking(new_client(address).log_sync, entries())


def log_async(address: str) -> Timed:
    return in_event_loop(new_client(address).log, entries())


def cold_assign(address: str) -> Timed:
    """The first ten reads of clients that were made before; making them is measured by itself."""

    def timed(loops: int) -> float:
        clients = [new_client(address) for _ in range(loops)]
        begun = timing.clock()
        while clients:
            client = clients.pop()
            for site, target in POINTS:
                client.get_decision_point_assignment_sync(site, target)
        return timing.clock() - begun

    return timed


def cold_assign_async(address: str) -> Timed:
    async def awaited(loops: int) -> float:
        clients = [new_client(address) for _ in range(loops)]
        begun = timing.clock()
        while clients:
            client = clients.pop()
            for site, target in POINTS:
                await client.get_decision_point_assignment(site, target)
        return timing.clock() - begun

    loop = event_loop()
    return lambda loops: loop.run_until_complete(awaited(loops))


def fifty_tasks(address: str) -> Timed:
    """Fifty tasks that ask one cold client."""

    async def read() -> None:
        client = new_client(address)
        await asyncio.gather(*[client.get_decision_point_assignment(*POINTS[0]) for _ in range(50)])

    return in_event_loop(read)


def make_client(address: str) -> Timed:
    return blocking(new_client, address)


def user_each(address: str) -> Timed:
    """A new client each time, and one call of it."""
    return blocking(lambda: new_client(address).log_sync(entries()))
