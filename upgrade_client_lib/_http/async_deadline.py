"""The deadline of a call in an event loop."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Callable

import anyio
import httpcore

from . import resolver
from .deadline import ABORTED, SLOW_LOOK_UP, until_deadline, wrap_backend
from .own_task import open_in_own_task


class _AsyncNetworkStream:
    """A network stream of httpcore whose reads and writes end at the deadline."""

    def __init__(self, stream: Any, backend: _AsyncNetworkBackend) -> None:
        self._stream = stream
        self._backend = backend
        self.get_extra_info: Callable[[str], Any] = stream.get_extra_info

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await self._stream.read(
            max_bytes, until_deadline(timeout, httpcore.ReadTimeout)
        )
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, until_deadline(timeout, httpcore.WriteTimeout))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> _AsyncNetworkStream:
        left = until_deadline(timeout, httpcore.ConnectTimeout)
        encrypted = await self._stream.start_tls(ssl_context, server_hostname, left)
        return _AsyncNetworkStream(encrypted, self._backend)

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._backend.closed()


class _AsyncNetworkBackend:
    """Opens the one connection of a transport at a time; other tasks close what is open."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._stream: Any = None
        self._aborted = False
        self.sleep: Callable[[float], Any] = backend.sleep

    async def connect_tcp(
        self, *, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _AsyncNetworkStream:
        """Connect to the first address of the host that answers; each has a share of the time."""
        looking_up = resolver.look_up(host, port)
        try:
            with anyio.fail_after(until_deadline(timeout, httpcore.ConnectTimeout)):
                found = await asyncio.wrap_future(looking_up)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(SLOW_LOOK_UP) from error
        addresses = list(found)
        while True:
            share = until_deadline(timeout, httpcore.ConnectTimeout, shares=len(addresses))
            try:
                stream = await open_in_own_task(
                    self._backend.connect_tcp(
                        host=addresses.pop(0), port=port, timeout=share, **options
                    )
                )
            except Exception:
                if not addresses:
                    raise
            else:
                break
        if self._aborted:
            await stream.aclose()
            raise httpcore.ConnectError(ABORTED)
        self._stream = stream
        return _AsyncNetworkStream(stream, self)

    def closed(self) -> None:
        """Take note that the connection is closed."""
        self._stream = None

    def is_connected(self) -> bool:
        """Return whether there is a connection that was not closed regularly."""
        return self._stream is not None

    def abort(self) -> None:
        """Have the request fail that is just connecting."""
        self._aborted = True

    async def aclose(self) -> None:
        """Close the connection if it is open."""
        if self._stream is not None:
            await self._stream.aclose()


def enforce_async(transport: Any) -> None:
    """Make a new ``httpx.AsyncHTTPTransport`` keep to the deadline."""
    wrap_backend(transport, _AsyncNetworkBackend)


def is_connected(transport: Any) -> bool:
    """Return whether a transport has a connection that must be closed."""
    connected: bool = transport._pool._network_backend.is_connected()
    return connected


async def aclose(transport: Any) -> None:
    """Close a transport and its connection, in whatever state a request left it."""
    # httpcore does not know of a connection to a proxy, or one without TLS yet, until it is
    # complete.
    with suppress(Exception):
        await transport.aclose()
    with suppress(Exception):
        await transport._pool._network_backend.aclose()
