"""Sending one request through httpx, and the pools of connections to one server.

Requests go through httpx's transports rather than its client, which takes about two thirds of
the time; a user's own httpx clients are used whole, with the settings they have.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar, Union

import anyio
import httpx

from .._fork import call_after_fork
from ..exceptions import UpgradeApiError
from .conversion import (
    RequestBuilder,
    read_and_close,
    read_rejected_by_hook,
    read_until,
)
from .deadline import ending_at, enforce_async, enforce_sync
from .errors import POOL_TIMEOUTS, classify, current_exception, may_have_been_sent
from .messages import AttemptLimits, Request, Response
from .pools import AsyncPool, SyncPool
from .settings import TransportSettings
from .sockets import SocketOptions, check_settings

HttpTransport = Union[httpx.BaseTransport, httpx.AsyncBaseTransport]

K = TypeVar("K", httpx.BaseTransport, httpx.AsyncBaseTransport)


class Transport:
    """The connections to one server: one pool for all threads, and one for each event loop.

    Pools are made when they are first needed. A child process starts without any and leaves its
    parent's alone.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._requests = RequestBuilder(settings)
        check_settings(settings)
        self._settings = settings
        self._socket_options = SocketOptions(settings)
        self._lock = threading.RLock()
        self._closed = False
        self._sync_pool: SyncPool | None = None
        self._async_pools: dict[asyncio.AbstractEventLoop, AsyncPool] = {}
        _transports.add(self)

    def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, blocking."""
        with self._translate_errors(request):
            client = self._settings.http_client
            if client is not None:
                return self._send_with_client(client, request, limits)
            pool = self._sync_pool or self._make_sync_pool()
            pool.acquire(limits.pool)
            try:
                self._check_open()  # it may have been closed while this call waited
                with ending_at(limits.deadline):
                    response = pool.transport.handle_request(
                        self._requests.for_transport(request, limits)
                    )
                    return read_until(limits.deadline, response, self._settings.max_response_bytes)
            finally:
                pool.release()
                if self._closed:
                    pool.close()  # closed meanwhile; this call may have opened it again

    async def send_async(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, in the running event loop."""
        with self._translate_errors(request):
            client = self._settings.async_http_client
            if client is not None:
                return await self._send_with_async_client(client, request, limits)
            pool = self._async_pool(asyncio.get_running_loop())
            await pool.acquire(limits.pool)
            try:
                self._check_open()  # it may have been closed while this call waited
                with ending_at(limits.deadline):
                    if pool.owned:
                        return await self._send_through(pool, request, limits)
                    with anyio.fail_after(limits.deadline - time.monotonic()):
                        return await self._send_through(pool, request, limits)
            finally:
                pool.release()

    def is_server_failure(self, error: UpgradeApiError) -> bool:
        """Whether the server was tried: no slot was missing, and nobody closed this meanwhile."""
        return not self._closed and not isinstance(error.__cause__, POOL_TIMEOUTS)

    def close(self) -> None:
        """Close the pool of threads, and have event loops close theirs; waits for no loop."""
        for pool in self._shut():
            pool.close_soon()

    async def aclose(self) -> None:
        """Close the running loop's pool, and all that :meth:`close` closes."""
        running = asyncio.get_running_loop()
        for pool in self._shut():
            if pool.loop is running:
                await pool.aclose()
            else:
                pool.close_soon()

    def reset_after_fork(self) -> None:
        """Start without pools in a child process; the parent's are kept, so never closed."""
        _inherited.append((self._sync_pool, self._async_pools))
        self._lock = threading.RLock()
        self._sync_pool = None
        self._async_pools = {}

    def _send_with_client(
        self, client: httpx.Client, request: Request, limits: AttemptLimits
    ) -> Response:
        self._check_open()
        max_bytes = self._settings.max_response_bytes
        built = self._requests.for_client(client, request, limits)
        try:
            response = client.send(built, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:
            return read_rejected_by_hook(error.response, max_bytes)
        return read_until(limits.deadline, response, max_bytes)

    async def _send_with_async_client(
        self, client: httpx.AsyncClient, request: Request, limits: AttemptLimits
    ) -> Response:
        self._check_open()
        max_bytes = self._settings.max_response_bytes
        built = self._requests.for_client(client, request, limits)
        with anyio.fail_after(limits.deadline - time.monotonic()):
            try:
                response = await client.send(built, stream=True, follow_redirects=False)
            except httpx.HTTPStatusError as error:
                return read_rejected_by_hook(error.response, max_bytes)
            return await read_and_close(response, max_bytes)

    async def _send_through(
        self, pool: AsyncPool, request: Request, limits: AttemptLimits
    ) -> Response:
        return await read_and_close(
            await pool.transport.handle_async_request(
                self._requests.for_transport(request, limits)
            ),
            self._settings.max_response_bytes,
        )

    def _forget(self, pool: AsyncPool) -> None:
        """Drop the pool of an event loop that was shut down."""
        with self._lock:
            if self._async_pools.get(pool.loop) is pool:
                del self._async_pools[pool.loop]

    def _shut(self) -> list[AsyncPool]:
        """Reject later requests, close the pool of threads, and return the others."""
        with self._lock:
            self._closed = True
            sync_pool, self._sync_pool = self._sync_pool, None
            async_pools, self._async_pools = list(self._async_pools.values()), {}
        if sync_pool is not None:
            sync_pool.close()
        return async_pools

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the connection to {self._settings.host_url} is closed")

    @contextmanager
    def _translate_errors(self, request: Request) -> Generator[None, None, None]:
        """Raise every failure to send or receive as an ``UpgradeApiError``."""
        outer_exception = current_exception()
        try:
            yield
        except (httpx.HTTPError, OSError) as error:  # httpx does not wrap all ssl errors
            error_class, message = classify(error, outer_exception, self._socket_options.route)
            if self._closed:
                message = f"the connection to {self._settings.host_url} was closed meanwhile"
            raise error_class(
                message,
                endpoint=request.endpoint,
                may_have_been_applied=may_have_been_sent(error),
            ) from error

    def _make_sync_pool(self) -> SyncPool:
        with self._lock:
            self._check_open()
            if self._sync_pool is None:
                transport = self._settings.transport
                owned = transport is None
                if transport is None:
                    transport = httpx.HTTPTransport(**self._socket_options.arguments())
                    enforce_sync(transport)
                self._sync_pool = SyncPool(
                    _usable(transport, httpx.BaseTransport),
                    self._settings.max_connections,
                    owned=owned,
                )
            return self._sync_pool

    def _async_pool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool:
        pool = self._async_pools.get(loop)
        if pool is not None:
            return pool
        with self._lock:
            self._check_open()
            self._async_pools = {
                loop: pool for loop, pool in self._async_pools.items() if not loop.is_closed()
            }
            transport = self._settings.transport
            owned = transport is None
            if transport is None:
                transport = httpx.AsyncHTTPTransport(**self._socket_options.arguments())
                enforce_async(transport)
            pool = AsyncPool(
                _usable(transport, httpx.AsyncBaseTransport),
                self._settings.max_connections,
                owned=owned,
                on_close=self._forget,
            )
            self._async_pools[loop] = pool
        return pool


def _usable(transport: object, base: type[K]) -> K:
    if isinstance(transport, base):
        return transport
    raise TypeError(
        f"this method needs a transport that is an httpx.{base.__name__}, and"
        f" {type(transport).__name__} is none; its twin with or without _sync can use it"
    )


_transports: weakref.WeakSet[Transport] = weakref.WeakSet()
_inherited: list[Any] = []


def _reset_after_fork() -> None:
    for transport in list(_transports):
        transport.reset_after_fork()


call_after_fork(_reset_after_fork)
