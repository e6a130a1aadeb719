"""Idle connections to one server, and how many requests may use connections at once.

Each request has a transport, and so a connection, to itself. One on which a request ended regularly
is kept for the next; any other is closed. So no interrupted request, whatever state it left its
transport in, can take a connection away from later ones.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Callable

from .deadline import abort, close, is_out_of_step
from .idle import IdleTransports
from .slots import SyncSlots


class SyncPool:
    """The connections of all threads; ``make`` returns a new transport for one of them."""

    def __init__(self, make: Callable[[], Any], size: int, keepalive_expiry: float) -> None:
        self._slots = SyncSlots(size)
        self._idle = IdleTransports(make, size, keepalive_expiry)
        self._closed = False

    @contextmanager
    def transport(self, seconds: float, max_idle: float) -> Generator[Any, None, None]:
        """Lend a transport to one request, if a slot is free within ``seconds``.

        ``max_idle`` is for how many seconds its connection may have been idle.
        """
        lease = self._slots.acquire(seconds)
        try:
            lease.transport = transport = self._idle.take(max_idle)
            try:
                yield transport
            except BaseException:
                close(transport)
                raise
            lease.transport = None
            if is_out_of_step(transport):
                close(transport)
            else:
                self._idle.put(transport)
            for expired in self._idle.take_expired():
                close(expired)
        finally:
            self._slots.release(lease)
            if self._closed:
                self.close_idle()  # closed meanwhile; this request may have connected again

    def close(self) -> None:
        """Close all connections, in use ones through the threads that use them."""
        self._closed = True
        for transport in self._slots.transports():
            abort(transport)
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        for transport in self._idle.take_all():
            close(transport)


class BorrowedSyncPool:
    """A user's own transport, for all threads; closing it is theirs."""

    def __init__(self, transport: Any, size: int) -> None:
        self._slots = SyncSlots(size)
        self._transport = transport

    @contextmanager
    def transport(self, seconds: float, max_idle: float) -> Generator[Any, None, None]:
        """Lend the transport to one request, if a slot is free within ``seconds``."""
        lease = self._slots.acquire(seconds)
        try:
            yield self._transport
        finally:
            self._slots.release(lease)

    def close(self) -> None:
        """Do nothing."""

    def close_idle(self) -> None:
        """Do nothing."""
