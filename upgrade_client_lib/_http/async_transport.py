"""Sending one request in an event loop, and a pool for each loop. Loaded by the first such call."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Callable, Union, cast

import anyio
import httpx

from .._fork import fork_waits
from .._locks import held
from .async_pools import AsyncPool, BorrowedAsyncPool
from .conversion import read_and_close, read_rejected_by_hook
from .httpx_engine import HttpxConnection
from .messages import AttemptLimits, Request, Response
from .origin import Origin, usable
from .own_task import run_in_own_task

if TYPE_CHECKING:
    from .aiohttp_engine import AiohttpConnection

    AsyncConnection = Union[HttpxConnection, AiohttpConnection]


class AsyncTransport:
    """The connections of event loops; a loop's pool is made when it is first needed."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._engine = _engine(origin.settings.async_engine)
        self._lock = threading.RLock()
        # By the loop's id. The loops keep their pools; see AsyncPool.
        self.pools: weakref.WeakValueDictionary[int, AsyncPool | BorrowedAsyncPool] = (
            weakref.WeakValueDictionary()
        )

    async def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, in the running event loop."""
        origin = self._origin
        with origin.translated_errors(request):
            _load_what_calls_need()
            client = origin.settings.async_http_client
            if client is not None:
                return await run_in_own_task(self._send_with_client(client, request, limits))
            pool = self._pool(asyncio.get_running_loop())
            async with pool.transport(limits.pool, origin.max_idle(request)) as transport:
                origin.check_open()  # it may have been closed while this call waited
                if isinstance(pool, AsyncPool):
                    return cast("Response", await transport.send(request, limits))
                return await run_in_own_task(self._send_borrowed(transport, request, limits))

    def close_soon(self) -> None:
        """Have event loops close their pools; the origin is closed already."""
        for pool in self._all_pools():
            pool.close_soon()

    async def aclose(self) -> None:
        """Close the running loop's pool, and have other loops close theirs."""
        running = asyncio.get_running_loop()
        for pool in self._all_pools():
            if pool.loop is running:
                await pool.aclose()
            else:
                pool.close_soon()

    def _all_pools(self) -> list[AsyncPool | BorrowedAsyncPool]:
        with held(self._lock):
            return list(self.pools.values())

    async def _send_with_client(
        self, client: httpx.AsyncClient, request: Request, limits: AttemptLimits
    ) -> Response:
        self._origin.check_open()
        max_bytes = self._origin.settings.max_response_bytes
        built = self._origin.requests.for_client(client, request, limits)
        with anyio.fail_after(limits.deadline - time.monotonic()):
            try:
                response = await client.send(built, stream=True, follow_redirects=False)
            except httpx.HTTPStatusError as error:
                return read_rejected_by_hook(error.response, max_bytes)
            return await read_and_close(response, max_bytes)

    async def _send_borrowed(
        self, transport: httpx.AsyncBaseTransport, request: Request, limits: AttemptLimits
    ) -> Response:
        built = self._origin.requests.for_transport(request, limits)
        with anyio.fail_after(limits.deadline - time.monotonic()):
            return await read_and_close(
                await transport.handle_async_request(built),
                self._origin.settings.max_response_bytes,
            )

    def _pool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool | BorrowedAsyncPool:
        pool = self.pools.get(id(loop))
        if pool is not None and pool.loop is loop:
            return pool
        settings = self._origin.settings
        with held(self._lock):
            self._origin.check_open()
            if settings.transport is None:
                self._origin.socket_options.load()
                pool = AsyncPool(
                    self._make_connection, settings.max_connections, settings.keepalive_expiry
                )
            else:
                own = usable(settings.transport, httpx.AsyncBaseTransport)
                pool = BorrowedAsyncPool(own, settings.max_connections)
            self.pools[id(loop)] = pool
        return pool

    def _make_connection(self) -> AsyncConnection:
        origin = self._origin
        return self._engine(
            origin.requests, origin.socket_options, origin.settings.max_response_bytes
        )


@cache
def _load_what_calls_need() -> None:
    """Import what httpcore and anyio import when it is first needed, while no child is forked."""
    with fork_waits():
        import_module("sniffio")
        for name in dir(anyio):
            getattr(anyio, name)
        anyio.CancelScope()  # loads anyio's backend for asyncio


def _engine(name: str) -> Callable[..., AsyncConnection]:
    """Return what opens connections of an event loop."""
    if name == "httpx":
        return HttpxConnection
    with fork_waits():
        from .aiohttp_engine import AiohttpConnection
    return AiohttpConnection
