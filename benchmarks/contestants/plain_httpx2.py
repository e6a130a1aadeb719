"""The same through httpx2, the successor of httpx, where it is installed."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from .plain import HEADERS, LOG
from .timed import Timed, many_in_flight


def in_flight(address: str) -> Timed:
    client = httpx2.AsyncClient()

    async def post() -> Any:
        response = await client.post(address + LOG[0], headers=HEADERS, json=LOG[1])
        return json.loads(response.content)

    return many_in_flight(post)
