"""An httpx transport that needs no socket."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import httpx

from .app import Api, Response
from .disruptions import AT_ONCE, Delivery

_SENDABLE = re.compile(r"[^\s\0](?:[^\r\n\0]*[^\s\0])?|")
_STEP = 0.02  # seconds between two looks at whether a wait has been ended, in event loops


class LocalTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Passes requests of sync and async httpx clients to a LocalUpgrade."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        response, delivery = self._deliver(request)
        if delivery is not AT_ONCE:
            seconds = _longest_wait(request, delivery)
            delivery.ended.wait(None if math.isinf(seconds) else seconds)
        return self._received(request, response, delivery)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        response, delivery = self._deliver(request)
        if delivery is not AT_ONCE:
            import anyio

            until = time.monotonic() + _longest_wait(request, delivery)
            while not delivery.ended.is_set() and time.monotonic() < until:
                await anyio.sleep(min(_STEP, max(0.0, until - time.monotonic())))
        return self._received(request, response, delivery)

    def _deliver(self, request: httpx.Request) -> tuple[Response, Delivery]:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in request.headers.raw
        }
        # httpx refuses these only where a connection is made, and there is none here.
        if not _SENDABLE.fullmatch(headers.get("user-id", "")):
            raise httpx.LocalProtocolError("Illegal header value for User-Id", request=request)
        try:
            path = request.url.raw_path.decode("ascii")
            return self._api.deliver(request.method, path, headers, request.content)
        except ConnectionError as error:
            raise httpx.ConnectError(str(error), request=request) from None

    def _received(
        self, request: httpx.Request, response: Response, delivery: Delivery
    ) -> httpx.Response:
        """Return the response after its delay, or raise what a network would."""
        timeout = _read_timeout(request)
        if delivery.delay > timeout and not delivery.ended.is_set():
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        if not delivery.responds or self._api.down:
            message = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(message, request=request)
        return httpx.Response(
            response.status, headers=response.headers, content=response.body, request=request
        )


def _longest_wait(request: httpx.Request, delivery: Delivery) -> float:
    return min(delivery.delay, _read_timeout(request))


def _read_timeout(request: httpx.Request) -> float:
    timeouts: dict[str, Any] = request.extensions.get("timeout", {})
    seconds: float | None = timeouts.get("read")
    return math.inf if seconds is None else seconds
