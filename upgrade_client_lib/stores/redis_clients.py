"""Clients of Redis: one for blocking calls, and one for each event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any, Callable, Protocol, TypeVar

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.retry
import redis.backoff
import redis.connection
import redis.exceptions
import redis.retry

NoScriptError = redis.exceptions.NoScriptError

T = TypeVar("T")
Command = Callable[[Any], Awaitable[T]]

CONNECTIONS_PER_LOOP = 20
"""How many commands of an event loop are in flight at once; further ones wait for their turn."""

KEEP_SECONDS = 600.0
"""How often an event loop is asked anew to keep its client."""


class AsyncClients(Protocol):
    """The asyncio clients of a store."""

    async def run(self, command: Command[T]) -> T:
        """Return what a command returns, or raise what it raises, in time."""
        ...

    def close_soon(self) -> None:
        """Have each loop close its client; may be called from any thread."""
        ...

    def forget(self) -> None:
        """In a child process: never use, nor close, what its parent opened."""
        ...


def given_clients(
    client: redis.Redis | redis.asyncio.Redis, timeout: float
) -> tuple[Any, AsyncClients | None]:
    """Return what of a user's own client serves blocking calls, and what serves async ones."""
    given: Any = client
    if not isinstance(given, (redis.Redis, redis.asyncio.Redis)):
        raise TypeError(
            "url_or_client must be an address, a redis.Redis or a redis.asyncio.Redis, "
            f"not {type(given).__name__}"
        )
    if given.get_encoder().decode_responses:
        raise ValueError("the client must not decode responses: make it without decode_responses")
    if isinstance(given, redis.asyncio.Redis):
        return None, GivenClient(given, timeout)
    return given, None


def blocking_client(url: str, timeout: float) -> redis.Redis:
    """Return a client for blocking calls; it opens nothing yet."""
    return redis.Redis(connection_pool=_pool(url, timeout))


class LoopClients:
    """One client for each event loop that calls, made from an address."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        # By the loop's id. The loops keep their clients; see LoopClient.
        self._by_loop: weakref.WeakValueDictionary[int, LoopClient] = weakref.WeakValueDictionary()

    async def run(self, command: Command[T]) -> T:
        """Return what a command returns; a ``redis.TimeoutError`` if it takes too long."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(id(loop))
        if client is None or client.loop is not loop:
            pool = _async_pool(self._url, self._timeout)
            self._by_loop[id(loop)] = client = LoopClient(pool)
            await client.watch_shutdown()
        deadline = loop.time() + self._timeout
        return await _in_time(client.run(command, deadline), self._timeout)

    def close_soon(self) -> None:
        """Have each loop close its client; may be called from any thread."""
        for client in list(self._by_loop.values()):
            client.close_soon()

    def forget(self) -> None:
        """In a child process: never use, nor close, what its parent opened."""
        self._by_loop = weakref.WeakValueDictionary()


class LoopClient:
    """The client of one event loop.

    The loop keeps it, by a timer; so a loop that is dropped takes its client with it. A loop that
    shuts down closes it.
    """

    def __init__(self, pool: redis.asyncio.ConnectionPool) -> None:
        self.loop = asyncio.get_running_loop()
        self._pool = pool
        self._client = redis.asyncio.Redis(connection_pool=pool)
        self._turns = asyncio.Semaphore(CONNECTIONS_PER_LOOP)
        self._closing: asyncio.Task[None] | None = None
        self._shutdown_signal = self._close_with_the_loop()
        self._keep()

    async def watch_shutdown(self) -> None:
        """Be closed with the loop, which closes its asynchronous generators."""
        await self._shutdown_signal.__anext__()

    async def run(self, command: Command[T], deadline: float) -> T:
        """Return what a command returns, if its turn comes before the deadline."""
        async with self._turns:
            if self.loop.time() >= deadline:
                raise redis.exceptions.TimeoutError("no connection came free in time")
            return await command(self._client)

    async def aclose(self) -> None:
        """Close all connections; called in their own loop."""
        with suppress(Exception):
            await self._pool.disconnect()

    def close_soon(self) -> None:
        """Have the loop close the connections; may be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self._start_closing)

    async def _close_with_the_loop(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.aclose()

    def _start_closing(self) -> None:
        self._closing = self.loop.create_task(self.aclose())

    def _keep(self) -> None:
        self.loop.call_later(KEEP_SECONDS, self._keep)


class GivenClient:
    """A user's own asyncio client, for its own event loop; closing it is theirs."""

    def __init__(self, client: redis.asyncio.Redis, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    async def run(self, command: Command[T]) -> T:
        """Return what a command returns; a ``redis.TimeoutError`` if it takes too long."""
        return await _in_time(command(self._client), self._timeout)

    def close_soon(self) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""


async def _in_time(command: Awaitable[T], timeout: float) -> T:
    """Wait for a command in a task of its own, which ends by itself.

    A cancelled caller, or one whose time is over, leaves it alone: redis-py may lose a connection
    that is cancelled on its way back to the pool.
    """
    task = asyncio.ensure_future(command)
    task.add_done_callback(_retrieve)
    done, _ = await asyncio.wait({task}, timeout=timeout)
    if not done:
        raise redis.exceptions.TimeoutError(f"Redis did not answer within {timeout:g} s")
    return task.result()


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Take note of a task's error, so that asyncio does not report one nobody waits for."""
    if not task.cancelled():
        task.exception()


def _pool(url: str, timeout: float) -> redis.ConnectionPool:
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    settings = _settings(redis.connection, url, timeout, retry)
    connection_class: Any = settings.get("connection_class", redis.Connection)
    connection_options = {
        name: value
        for name, value in settings.items()
        if name not in ("connection_class", "max_connections")
    }
    try:
        connection_class(**connection_options)  # which connects to nothing yet
    except TypeError:
        raise ValueError("the address of Redis has an option that is not known") from None
    return redis.ConnectionPool(**settings)


def _async_pool(url: str, timeout: float) -> redis.asyncio.ConnectionPool:
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    settings = _settings(redis.asyncio.connection, url, timeout, retry)
    return redis.asyncio.ConnectionPool(**settings)


def _settings(module: Any, url: str, timeout: float, retry: Any) -> dict[str, Any]:
    """Return a pool's settings: those of the address, and those on which the store relies."""
    try:
        options = module.parse_url(url)
    except ValueError:  # which may repeat a part of the password
        raise ValueError(
            "the address of Redis must be redis://host:port/database, rediss://... or unix://path, "
            "with user and password percent-encoded"
        ) from None
    return {
        "max_connections": 2**31,  # one for each thread that calls at the same time
        **options,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": retry,
        "decode_responses": False,
        "protocol": 2,  # what all servers speak, without a greeting
    }
