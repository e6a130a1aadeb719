"""What all clients of one server share in a process: sending, reachability, default options."""

from __future__ import annotations

import atexit
import threading
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
from ._sync import Backend

T = TypeVar("T")


class Server:
    """One UpGrade server, as its clients use it."""

    __slots__ = ("_reachability", "_transport", "host_url", "options", "token")

    def __init__(
        self, settings: TransportSettings, token: str = "", options: CallOptions = DEFAULT_OPTIONS
    ) -> None:
        self.host_url = settings.host_url
        self.token = token
        self.options = options
        self._transport = Transport(settings)
        self._reachability = Reachability(settings.host_url)

    async def call(self, backend: Backend, operation: Operation[T], options: CallOptions) -> T:
        """Send an operation's request, and return its response as it was read."""
        return await send_with_retries(
            backend, self._transport, self._reachability, operation, options
        )

    def close(self) -> None:
        self._transport.close()

    def close_idle(self) -> None:
        """Close the connections that no blocking call uses."""
        self._transport.close_idle()

    async def aclose(self) -> None:
        await self._transport.aclose()


def server_with_transport(host_url: str, transport: HttpTransport) -> Server:
    """Return a new server that is reached through an httpx transport."""
    return Server(TransportSettings(host_url=arguments.host_url(host_url), transport=transport))


# ---- The servers of clients that are given neither connection nor transport ----

_shared: dict[str, Server] = {}
_shared_lock = threading.RLock()


def shared_server(host_url: str) -> Server:
    """Return this process's one server of a host."""
    server = _shared.get(host_url)
    if server is None:
        host = arguments.host_url(host_url)
        with _shared_lock:
            server = _shared.get(host)
            if server is None:
                server = _shared[host] = Server(TransportSettings(host_url=host))
            _shared[host_url] = server
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
