"""The processor's time of an async call, over the calls in flight."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Callable

import httpx

from upgrade_client_lib import UpgradeConnection

from ..charts import Chart, Lines, chart
from ..contestants import plain, timed, upgrade
from ..server import serving
from .measuring import ROUNDS, rounded

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)


def charts(most: int) -> Mapping[str, Chart]:
    lines: Lines = {}
    with serving() as server:
        for count in COUNTS:
            if count <= most:
                for name, call in _calls(server.address, count).items():
                    way = timed.many_in_flight(call, count)
                    way(count)
                    times = max(200, 2 * count)
                    took = min(way(times) for _ in range(ROUNDS)) / times * 1e6
                    lines.setdefault(name, []).append([count, rounded(took)])
    drawn = chart("An async call", "calls in flight", "µs of a processor", lines)
    return {"growth-calls": drawn}


def _calls(url: str, count: int) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Return the ways to log one entry."""

    def ours(**options: Any) -> Callable[[], Awaitable[object]]:
        client = UpgradeConnection(url, timeout=60.0, **options).client("learner-1", "big-app")
        return functools.partial(client.log, upgrade.entries())

    client = httpx.AsyncClient(timeout=60.0)

    async def log() -> Any:
        response = await client.post(url + plain.LOG[0], headers=plain.HEADERS, json=plain.LOG[1])
        return json.loads(response.content)

    return {
        "a socket for each": ours(max_connections=count),
        "20 sockets (default)": ours(),
        "aiohttp": ours(max_connections=count, async_engine="aiohttp"),
        "httpx.AsyncClient": log,
    }
