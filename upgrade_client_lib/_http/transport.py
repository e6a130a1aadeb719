"""Sending one request through httpx, and the pools of connections to one server.

Requests go through httpx's transports rather than its client, which takes about two thirds of
the time; a user's own httpx clients are used whole, with the settings they have.
"""

from __future__ import annotations

import threading
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any, Union

import httpx

from .._fork import call_after_fork, fork_waits
from .._locks import held
from ..exceptions import UpgradeApiError
from .errors import POOL_TIMEOUTS
from .messages import AttemptLimits, Request, Response
from .origin import Origin
from .settings import TransportSettings
from .sync_transport import SyncTransport

if TYPE_CHECKING:
    from .async_transport import AsyncTransport

# What asyncio imports when it is first needed; it registers callbacks for forks, so not amid one.
import_module("concurrent.futures.thread")

HttpTransport = Union[httpx.BaseTransport, httpx.AsyncBaseTransport]


class Transport:
    """The connections to one server: one pool for all threads, and one for each event loop.

    Pools are made when they are first needed. A child process starts without any and leaves its
    parent's alone.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._origin = Origin(settings)
        self._lock = threading.RLock()
        self._sync = SyncTransport(self._origin)
        self._async: AsyncTransport | None = None
        if settings.async_engine != "httpx":
            self._in_event_loops()  # whether it is installed is told now
        _transports.add(self)

    def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, blocking."""
        return self._sync.send(request, limits)

    async def send_async(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, in the running event loop."""
        return await (self._async or self._in_event_loops()).send(request, limits)

    def is_server_failure(self, error: UpgradeApiError) -> bool:
        """Whether the server was tried: no slot was missing, and nobody closed this meanwhile."""
        return not self._origin.closed and not isinstance(error.__cause__, POOL_TIMEOUTS)

    def close(self) -> None:
        """Close the pool of threads, and have event loops close theirs; waits for no loop."""
        self._origin.closed = True
        self._sync.close()
        if self._async is not None:
            self._async.close_soon()

    def close_idle(self) -> None:
        """Close the connections that no blocking call uses; later calls connect again."""
        self._sync.close_idle()

    async def aclose(self) -> None:
        """Close the running loop's pool, and all that :meth:`close` closes."""
        self._origin.closed = True
        self._sync.close()
        if self._async is not None:
            await self._async.aclose()

    def reset_after_fork(self) -> None:
        """Start without pools in a child process; the parent's are kept, so never closed."""
        in_event_loops = self._async
        pools = None if in_event_loops is None else list(in_event_loops.pools.values())
        _inherited.append((self._sync, pools))
        self._lock = threading.RLock()
        self._sync = SyncTransport(self._origin)
        self._async = None

    def _in_event_loops(self) -> AsyncTransport:
        with fork_waits():
            from .async_transport import AsyncTransport
        with held(self._lock):
            self._async = self._async or AsyncTransport(self._origin)
            return self._async


_transports: weakref.WeakSet[Transport] = weakref.WeakSet()
_inherited: list[Any] = []


def _reset_after_fork() -> None:
    for transport in list(_transports):
        transport.reset_after_fork()


call_after_fork(_reset_after_fork)
