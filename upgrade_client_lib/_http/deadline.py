"""The deadline of a call, which holds for slow responses too.

A read timeout starts afresh with every byte that arrives. So the sockets below httpx are wrapped,
and each of their operations ends when the call's time is over.
"""

from __future__ import annotations

import concurrent.futures
import socket
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Callable

import httpcore

from . import resolver

# Few enough bytes for a socket to take at once, so that the deadline is checked between writes.
WRITTEN_AT_ONCE = 16 * 1024

SLOW_LOOK_UP = "looking up the host's name took too long"
ABORTED = "closed while it was being opened"

_current_deadline: ContextVar[float] = ContextVar("upgrade_client_lib_deadline")


@contextmanager
def ending_at(moment: float) -> Generator[None, None, None]:
    """Set the deadline for what this thread or task sends in the block."""
    token = _current_deadline.set(moment)
    try:
        yield
    finally:
        _current_deadline.reset(token)


def until_deadline(
    seconds: float | None, timeout_error: type[httpcore.TimeoutException], *, shares: int = 1
) -> float:
    """Return the shorter of an operation's own limit and its share of what is left of the call.

    Past the deadline nothing is read or written any more, not even what is already there.
    """
    left = (_current_deadline.get() - time.monotonic()) / shares
    if left <= 0:
        raise timeout_error("timed out")
    return left if seconds is None else min(seconds, left)


class _SyncNetworkStream:
    """A network stream of httpcore whose reads and writes end at the deadline."""

    def __init__(self, stream: Any, backend: _SyncNetworkBackend) -> None:
        self._stream = stream
        self._backend = backend
        self.close: Callable[[], None] = stream.close
        self.get_extra_info: Callable[[str], Any] = stream.get_extra_info
        backend.opened(stream)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._stream.read(max_bytes, until_deadline(timeout, httpcore.ReadTimeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITTEN_AT_ONCE):
            piece = buffer[start : start + WRITTEN_AT_ONCE]
            self._stream.write(piece, until_deadline(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> _SyncNetworkStream:
        left = until_deadline(timeout, httpcore.ConnectTimeout)
        return _SyncNetworkStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._backend
        )


class _SyncNetworkBackend:
    """Opens the one connection of a transport at a time; another thread may abort it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._stream: Any = None
        self._aborted = False
        self.sleep: Callable[[float], None] = backend.sleep

    def connect_tcp(
        self, *, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _SyncNetworkStream:
        """Connect to the first address of the host that answers; each has a share of the time."""
        looking_up = resolver.look_up(host, port)
        try:
            addresses = list(looking_up.result(until_deadline(timeout, httpcore.ConnectTimeout)))
        except concurrent.futures.TimeoutError as error:
            raise httpcore.ConnectTimeout(SLOW_LOOK_UP) from error
        while True:
            share = until_deadline(timeout, httpcore.ConnectTimeout, shares=len(addresses))
            try:
                stream = self._backend.connect_tcp(
                    host=addresses.pop(0), port=port, timeout=share, **options
                )
            except Exception:
                if not addresses:
                    raise
            else:
                return _SyncNetworkStream(stream, self)

    def opened(self, stream: Any) -> None:
        """Take note of a stream, so that it can be aborted and closed."""
        self._stream = stream
        if self._aborted:
            stream.close()
            raise httpcore.ConnectError(ABORTED)

    def abort(self) -> None:
        """Have the request fail that another thread has in flight, or is connecting for."""
        self._aborted = True
        if self._stream is not None:
            with suppress(OSError):  # it is closed already
                # Past SSLSocket.shutdown, after which the other thread would write plain text.
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection if it is open."""
        if self._stream is not None:
            self._stream.close()


def enforce_sync(transport: Any) -> None:
    """Make a new ``httpx.HTTPTransport`` keep to the deadline."""
    pool = wrap_backend(transport, _SyncNetworkBackend)
    # One request at a time uses this pool. An exception of a signal handler while its lock is
    # being acquired would leave it locked, and httpcore, which acquires it again to clean up,
    # would wait for ever.
    pool._optional_thread_lock = nullcontext()


def abort(transport: Any) -> None:
    """End the request for which another thread or task uses a transport."""
    transport._pool._network_backend.abort()


def close(transport: Any) -> None:
    """Close a transport and its connection, in whatever state a request left it."""
    # httpcore does not know of a connection to a proxy, or one without TLS yet, until it is
    # complete.
    with suppress(Exception):
        transport.close()
    with suppress(Exception):
        transport._pool._network_backend.close()


def is_out_of_step(transport: Any) -> bool:
    """Whether the server sent more than the response, which would pass for the next one's."""
    for link in transport._pool.connections:
        while not hasattr(link, "_h11_state"):  # on top of which there is one for each proxy
            link = link._connection
        encryption = link._network_stream.get_extra_info("ssl_object")
        if link._h11_state.trailing_data[0] or _has_received(encryption):
            return True
    return False


def _has_received(encryption: Any) -> bool:
    """Whether there is more that a socket does not tell of, since it was taken from it already."""
    if not isinstance(encryption, ssl.SSLObject):
        return False
    try:
        encryption.read(1)
    except ssl.SSLError as error:
        return not isinstance(error, ssl.SSLWantReadError)
    return True


def wrap_backend(transport: Any, wrapper: Callable[[Any], Any]) -> Any:
    """Have a transport open its connections with a network backend around its own."""
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
    return pool
