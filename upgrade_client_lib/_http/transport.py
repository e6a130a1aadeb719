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
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union, cast

import anyio
import httpx

from .._fork import call_after_fork, fork_waits
from .._locks import held
from ..exceptions import NoConnectionError, UpgradeApiError
from .conversion import RequestBuilder, read_and_close, read_rejected_by_hook, read_until
from .deadline import ending_at, enforce_sync
from .errors import POOL_TIMEOUTS, classify, current_exception, may_have_been_sent
from .httpx_engine import HttpxConnection
from .messages import AttemptLimits, Request, Response
from .own_task import run_in_own_task
from .pools import AsyncPool, BorrowedAsyncPool, BorrowedSyncPool, SyncPool
from .settings import TransportSettings
from .sockets import SocketOptions, check_settings

if TYPE_CHECKING:
    from .aiohttp_engine import AiohttpConnection

    AsyncConnection = Union[HttpxConnection, AiohttpConnection]

# What asyncio imports when it is first needed; it registers callbacks for forks, so not amid one.
import_module("concurrent.futures.thread")

HttpTransport = Union[httpx.BaseTransport, httpx.AsyncBaseTransport]

MAX_IDLE_BEFORE_MARK = 1.0
"""For how many seconds a connection may have been idle that a mark or a reward goes out on."""

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
        self._engine = _engine(settings.async_engine)
        self._lock = threading.RLock()
        self._closed = False
        self._sync_pool: SyncPool | BorrowedSyncPool | None = None
        # By the loop's id. The loops keep their pools; see AsyncPool.
        self._async_pools: weakref.WeakValueDictionary[int, AsyncPool | BorrowedAsyncPool] = (
            weakref.WeakValueDictionary()
        )
        _transports.add(self)

    def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, blocking."""
        with self._translate_errors(request):
            client = self._settings.http_client
            if client is not None:
                return self._send_with_client(client, request, limits)
            pool = self._sync_pool or self._make_sync_pool()
            with pool.transport(limits.pool, self._max_idle(request)) as transport:
                self._check_open()  # it may have been closed while this call waited
                with ending_at(limits.deadline):
                    response = transport.handle_request(
                        self._requests.for_transport(request, limits)
                    )
                    return read_until(limits.deadline, response, self._settings.max_response_bytes)

    async def send_async(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, in the running event loop."""
        with self._translate_errors(request):
            _load_what_async_calls_need()
            client = self._settings.async_http_client
            if client is not None:
                return await run_in_own_task(self._send_with_async_client(client, request, limits))
            pool = self._async_pool(asyncio.get_running_loop())
            async with pool.transport(limits.pool, self._max_idle(request)) as transport:
                self._check_open()  # it may have been closed while this call waited
                if isinstance(pool, AsyncPool):
                    return cast("Response", await transport.send(request, limits))
                return await run_in_own_task(self._send_borrowed(transport, request, limits))

    def is_server_failure(self, error: UpgradeApiError) -> bool:
        """Whether the server was tried: no slot was missing, and nobody closed this meanwhile."""
        return not self._closed and not isinstance(error.__cause__, POOL_TIMEOUTS)

    def close(self) -> None:
        """Close the pool of threads, and have event loops close theirs; waits for no loop."""
        for pool in self._shut():
            pool.close_soon()

    def close_idle(self) -> None:
        """Close the connections that no blocking call uses; later calls connect again."""
        sync_pool = self._sync_pool
        if sync_pool is not None:
            sync_pool.close_idle()

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
        _inherited.append((self._sync_pool, list(self._async_pools.values())))
        self._lock = threading.RLock()
        self._sync_pool = None
        self._async_pools = weakref.WeakValueDictionary()

    def _max_idle(self, request: Request) -> float:
        """Return how long the connection of a request may have been idle, in seconds.

        A server that closes one just then leaves open whether it applied the request. That
        matters where it cannot be sent again.
        """
        expiry = self._settings.keepalive_expiry
        return expiry if request.idempotent else min(expiry, MAX_IDLE_BEFORE_MARK)

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

    async def _send_borrowed(
        self, transport: httpx.AsyncBaseTransport, request: Request, limits: AttemptLimits
    ) -> Response:
        built = self._requests.for_transport(request, limits)
        with anyio.fail_after(limits.deadline - time.monotonic()):
            return await read_and_close(
                await transport.handle_async_request(built), self._settings.max_response_bytes
            )

    def _shut(self) -> list[AsyncPool | BorrowedAsyncPool]:
        """Reject later requests, close the pool of threads, and return the others."""
        with held(self._lock):
            self._closed = True
            sync_pool, self._sync_pool = self._sync_pool, None
            async_pools = list(self._async_pools.values())
            self._async_pools.clear()
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
                error_class = NoConnectionError
                message = f"the connection to {self._settings.host_url} was closed meanwhile"
            raise error_class(
                message,
                endpoint=request.endpoint,
                may_have_been_applied=may_have_been_sent(error),
            ) from error

    def _make_sync_pool(self) -> SyncPool | BorrowedSyncPool:
        settings = self._settings
        with held(self._lock):
            self._check_open()
            if self._sync_pool is None:
                if settings.transport is None:
                    self._socket_options.load()
                    self._sync_pool = SyncPool(
                        self._make_sync_transport,
                        settings.max_connections,
                        settings.keepalive_expiry,
                    )
                else:
                    usable = _usable(settings.transport, httpx.BaseTransport)
                    self._sync_pool = BorrowedSyncPool(usable, settings.max_connections)
            return self._sync_pool

    def _make_sync_transport(self) -> httpx.HTTPTransport:
        transport = httpx.HTTPTransport(**self._socket_options.arguments())
        enforce_sync(transport)
        return transport

    def _async_pool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool | BorrowedAsyncPool:
        pool = self._async_pools.get(id(loop))
        if pool is not None and pool.loop is loop:
            return pool
        settings = self._settings
        with held(self._lock):
            self._check_open()
            if settings.transport is None:
                self._socket_options.load()
                pool = AsyncPool(
                    self._make_async_connection, settings.max_connections, settings.keepalive_expiry
                )
            else:
                usable = _usable(settings.transport, httpx.AsyncBaseTransport)
                pool = BorrowedAsyncPool(usable, settings.max_connections)
            self._async_pools[id(loop)] = pool
        return pool

    def _make_async_connection(self) -> AsyncConnection:
        return self._engine(self._requests, self._socket_options, self._settings.max_response_bytes)


@cache
def _load_what_async_calls_need() -> None:
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
