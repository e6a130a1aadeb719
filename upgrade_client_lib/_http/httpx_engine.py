"""A connection of an event loop by means of httpx, the engine that is there by default."""

from __future__ import annotations

import httpx

from .async_deadline import aclose, enforce_async, is_connected
from .conversion import RequestBuilder, read_and_close
from .deadline import abort, ending_at, is_out_of_step
from .messages import AttemptLimits, Request, Response
from .sockets import SocketOptions


class HttpxConnection:
    """Sends one request at a time, over a connection that it opens and keeps."""

    def __init__(self, requests: RequestBuilder, options: SocketOptions, max_bytes: int) -> None:
        self._requests = requests
        self._max_bytes = max_bytes
        self._transport = httpx.AsyncHTTPTransport(**options.arguments())
        enforce_async(self._transport)

    async def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send a request and read the response until the deadline."""
        with ending_at(limits.deadline):
            built = self._requests.for_transport(request, limits)
            return await read_and_close(
                await self._transport.handle_async_request(built), self._max_bytes
            )

    def abort(self) -> None:
        """End the request that another task has in flight, once this is closed too."""
        abort(self._transport)

    def is_open(self) -> bool:
        """Whether a request that failed left something to close."""
        return is_connected(self._transport)

    def is_out_of_step(self) -> bool:
        """Whether the server sent more than the response, which would pass for the next one's."""
        return is_out_of_step(self._transport)

    async def aclose(self) -> None:
        """Close the connection."""
        await aclose(self._transport)
