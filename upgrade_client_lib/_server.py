"""What all clients of one server share in a process: sending, reachability, default options."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import OrderedDict
from functools import lru_cache
from typing import TypeVar

from ._fork import call_after_fork
from ._http import (
    DEFAULT_OPTIONS,
    CallOptions,
    HttpTransport,
    Operation,
    Reachability,
    Transport,
    TransportSettings,
    send_with_retries,
)
from ._rules import arguments
from ._rules.scrubbing import Secrets
from ._sync import Backend, check_asyncio

T = TypeVar("T")


class Server:
    """One UpGrade server, as its clients use it."""

    __slots__ = (
        "__weakref__",
        "_reachability",
        "_secrets",
        "_transport",
        "host_url",
        "options",
        "token",
    )

    def __init__(
        self, settings: TransportSettings, token: str = "", options: CallOptions = DEFAULT_OPTIONS
    ) -> None:
        self.host_url = settings.host_url
        self.token = token
        self.options = options
        self._transport = Transport(settings)
        self._reachability = Reachability(settings.host_url)
        self._secrets = Secrets.in_headers(settings.headers)

    async def call(self, backend: Backend, operation: Operation[T], options: CallOptions) -> T:
        """Send an operation's request, and return its response as it was read."""
        return await send_with_retries(
            backend, self._transport, self._reachability, operation, options, self._secrets
        )

    def close(self) -> None:
        self._transport.close()

    def close_idle(self) -> None:
        """Close the connections that no blocking call uses."""
        self._transport.close_idle()

    async def aclose(self) -> None:
        try:
            await self._transport.aclose()
        except RuntimeError:
            check_asyncio()
            raise


def server_with_transport(host_url: str, transport: HttpTransport) -> Server:
    """Return a new server that is reached through an httpx transport."""
    return Server(TransportSettings(host_url=arguments.host_url(host_url), transport=transport))


# ---- The servers of clients that are given neither connection nor transport ----

# Those that some client uses, and the most recently used ones, which keep their sockets for the
# clients to come. A server that falls out of both closes its sockets.

KEPT = 64

_shared: weakref.WeakValueDictionary[str, Server] = weakref.WeakValueDictionary()
_recent: OrderedDict[str, Server] = OrderedDict()
_shared_lock = threading.RLock()

_address = lru_cache(maxsize=4 * KEPT)(arguments.host_url)


def shared_server(host_url: str) -> Server:
    """Return this process's one server of a host."""
    host = _address(host_url)
    with _shared_lock:
        server = _shared.get(host)
        if server is None:
            server = _shared[host] = _new_shared(host)
        _recent[host] = server
        _recent.move_to_end(host)
        while len(_recent) > KEPT:
            _recent.popitem(last=False)
    return server


def _new_shared(host_url: str) -> Server:
    server = Server(TransportSettings(host_url=host_url))
    finalizer = weakref.finalize(server, server._transport.close)  # pyright: ignore[reportPrivateUsage]
    finalizer.atexit = False  # all are closed then
    return server


def _close_idle_connections() -> None:
    """At exit; exit handlers that run later may still call."""
    for server in list(_shared.values()):
        server.close_idle()


def _reset_after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.RLock()


atexit.register(_close_idle_connections)
call_after_fork(_reset_after_fork)
