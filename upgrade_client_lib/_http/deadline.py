"""The deadline of a call, which holds for slow responses too.

A read timeout starts afresh with every byte that arrives. So the sockets below httpx are wrapped,
and each of their operations ends when the call's time is over. Looking up a host's name is the one
wait that a blocking call cannot cut short: the system's resolver has its own limits.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Callable

# Few enough bytes for a socket to take at once, so that the deadline is checked between writes.
WRITTEN_AT_ONCE = 16 * 1024

_current_deadline: ContextVar[float] = ContextVar("upgrade_client_lib_deadline")


@contextmanager
def ending_at(moment: float) -> Generator[None, None, None]:
    """Set the deadline for what this thread or task sends in the block."""
    token = _current_deadline.set(moment)
    try:
        yield
    finally:
        _current_deadline.reset(token)


def _until_deadline(seconds: float | None, *, shares: int = 1) -> float:
    """The shorter of an operation's own limit and its share of what is left of the call's time."""
    left = max(_current_deadline.get() - time.monotonic(), 1e-6) / shares
    return left if seconds is None else min(seconds, left)


class _SyncNetworkStream:
    """A network stream of httpcore whose reads and writes end at the deadline."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.get_extra_info: Callable[[str], Any] = stream.get_extra_info

    def close(self) -> None:
        """Close the socket; a thread that reads from it is woken at once."""
        with suppress(OSError):  # the server closed it first
            self.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._stream.read(max_bytes, _until_deadline(timeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITTEN_AT_ONCE):
            piece = buffer[start : start + WRITTEN_AT_ONCE]
            self._stream.write(piece, _until_deadline(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> _SyncNetworkStream:
        return _SyncNetworkStream(
            self._stream.start_tls(ssl_context, server_hostname, _until_deadline(timeout))
        )


class _SyncNetworkBackend:
    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.sleep: Callable[[float], None] = backend.sleep

    def connect_tcp(
        self, *, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _SyncNetworkStream:
        """Connect to the first address of the host that answers; each has a share of the time."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        while True:
            share = _until_deadline(timeout, shares=len(addresses))
            try:
                stream = self._backend.connect_tcp(
                    host=addresses.pop(0), port=port, timeout=share, **options
                )
            except Exception:
                if not addresses:
                    raise
            else:
                return _SyncNetworkStream(stream)


class _AsyncNetworkStream:
    """The same for a stream of an event loop."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.aclose: Callable[[], Any] = stream.aclose
        self.get_extra_info: Callable[[str], Any] = stream.get_extra_info

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await self._stream.read(max_bytes, _until_deadline(timeout))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, _until_deadline(timeout))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> _AsyncNetworkStream:
        left = _until_deadline(timeout)
        return _AsyncNetworkStream(await self._stream.start_tls(ssl_context, server_hostname, left))


class _AsyncNetworkBackend:
    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.sleep: Callable[[float], Any] = backend.sleep

    async def connect_tcp(
        self, *, timeout: float | None = None, **where: Any
    ) -> _AsyncNetworkStream:
        left = _until_deadline(timeout)
        return _AsyncNetworkStream(await self._backend.connect_tcp(timeout=left, **where))


def enforce_sync(transport: Any) -> None:
    """Make a new ``httpx.HTTPTransport`` keep to the deadline."""
    _wrap_backend(transport, _SyncNetworkBackend)


def enforce_async(transport: Any) -> None:
    """Make a new ``httpx.AsyncHTTPTransport`` keep to the deadline."""
    _wrap_backend(transport, _AsyncNetworkBackend)


def _wrap_backend(transport: Any, wrapper: Callable[[Any], Any]) -> None:
    # httpcore documents network backends (https://www.encode.io/httpcore/network-backends/), but
    # httpx, whose versions are bounded in pyproject.toml for this, has no argument for one.
    try:
        pool = transport._pool
        pool._network_backend = wrapper(pool._network_backend)
    except AttributeError as error:
        raise RuntimeError(
            "this version of httpx keeps its network backend elsewhere, so that no deadline would"
            " hold: install a version that upgrade-client-lib allows"
        ) from error
