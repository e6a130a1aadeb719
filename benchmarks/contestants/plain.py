"""What one would write without a library: a persistent httpx client, a POST, ``json.loads``.

And dictionaries, for what is known already.
"""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import httpx

from .timed import Timed, blocking, in_event_loop, many_in_flight

HEADERS = {
    "User-Id": "learner-big",
    "Session-Id": "11111111-2222-4333-8444-555555555555",
    "Client-Context": "big-app",
    "Client-Version": "7.0.0",
}
ASSIGN = "/api/v6/assign", {"context": "big-app"}
MARK = (
    "/api/v6/mark",
    {
        "data": {
            "site": "site0",
            "target": "target0",
            "assignedCondition": {
                "conditionCode": "control",
                "experimentId": "80fbbdc1-6cab-5529-aac7-4997a8118692",
                "id": "532e7dcd-263d-4f61-989c-94cf328b2a0b",
            },
        },
        "status": "condition applied",
        "context": "big-app",
    },
)
LOG = (
    "/api/v6/log",
    {
        "value": [
            {
                "timestamp": "2026-11-20T08:00:00.000Z",
                "metrics": {
                    "attributes": {"totalTimeSeconds": 95},
                    "groupedMetrics": list[object](),
                },
            }
        ]
    },
)


class Known:
    """What is known of a user."""

    def __init__(self) -> None:
        self._flags = {f"flag-{number}" for number in range(200)}
        self._conditions = {"home": {f"target-{number}": "control" for number in range(200)}}

    def has_flag(self, key: str) -> bool:
        return key in self._flags

    def condition(self, site: str, target: str = "") -> str | None:
        at_site = self._conditions.get(site)
        return at_site.get(target) if at_site is not None else None


def warm_flag(_: str) -> Timed:
    return blocking(Known().has_flag, "flag-27")


def warm_assignment(_: str) -> Timed:
    return blocking(Known().condition, "home", "target-27")


def _blocking(address: str, path: str, body: object) -> Timed:
    client = httpx.Client()

    def post() -> Any:
        return json.loads(client.post(address + path, headers=HEADERS, json=body).content)

    return blocking(post)


def _in_event_loop(address: str, path: str, body: object, *, tasks: int = 1) -> Timed:
    client = httpx.AsyncClient()

    async def post() -> Any:
        response = await client.post(address + path, headers=HEADERS, json=body)
        return json.loads(response.content)

    async def posts() -> None:
        await asyncio.gather(*[post() for _ in range(tasks)])

    return in_event_loop(post if tasks == 1 else posts)


def mark(address: str) -> Timed:
    return _blocking(address, *MARK)


def mark_async(address: str) -> Timed:
    return _in_event_loop(address, *MARK)


def log(address: str) -> Timed:
    return _blocking(address, *LOG)


def log_async(address: str) -> Timed:
    return _in_event_loop(address, *LOG)


def cold_assign(address: str) -> Timed:
    return _blocking(address, *ASSIGN)


def cold_assign_async(address: str) -> Timed:
    return _in_event_loop(address, *ASSIGN)


def in_flight(address: str) -> Timed:
    client = httpx.AsyncClient()

    async def post() -> Any:
        response = await client.post(address + LOG[0], headers=HEADERS, json=LOG[1])
        return json.loads(response.content)

    return many_in_flight(post)


logs_50 = functools.partial(_in_event_loop, path=LOG[0], body=LOG[1], tasks=50)
logs_200 = functools.partial(_in_event_loop, path=LOG[0], body=LOG[1], tasks=200)
