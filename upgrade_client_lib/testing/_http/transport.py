"""An httpx transport that needs no socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Callable

import httpx

from .app import Response

Handle = Callable[[str, str, Mapping[str, str], bytes], Response]
"""Method, path with its query, headers with lower-case names, body."""

_SENDABLE = re.compile(r"[^\s\0](?:[^\r\n\0]*[^\s\0])?|")


class LocalTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Passes requests of sync and async httpx clients to a LocalUpgrade."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._respond(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._respond(request)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in request.headers.raw
        }
        # httpx refuses these only where a connection is made, and there is none here.
        if not _SENDABLE.fullmatch(headers.get("user-id", "")):
            raise httpx.LocalProtocolError("Illegal header value for User-Id", request=request)
        try:
            path = request.url.raw_path.decode("ascii")
            response = self._handle(request.method, path, headers, request.content)
        except ConnectionError as error:
            raise httpx.ConnectError(str(error), request=request) from None
        return httpx.Response(
            response.status, headers=response.headers, content=response.body, request=request
        )
