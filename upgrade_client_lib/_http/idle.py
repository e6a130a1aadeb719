"""The connections to one server that no request uses."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable

import attrs


@attrs.frozen
class _Idle:
    """A transport that no request uses, since when on the clock of ``time.monotonic()``."""

    transport: Any
    since: float


class IdleTransports:
    """Transports that no request uses; the one that was used last is the next to be used."""

    def __init__(self, make: Callable[[], Any], size: int, keepalive_expiry: float) -> None:
        self._make = make
        self._size = size
        self._keepalive_expiry = keepalive_expiry
        self._idle: deque[_Idle] = deque()

    def __bool__(self) -> bool:
        return bool(self._idle)

    def take(self, max_idle: float) -> Any:
        """Return a transport that was idle for ``max_idle`` seconds at most, or a new one."""
        with suppress(IndexError):  # another thread may have taken the last one
            last = self._idle.pop()
            if time.monotonic() - last.since <= max_idle:
                return last.transport
            self._idle.append(last)
        return self._make()

    def put(self, transport: Any) -> None:
        """Keep a transport for the next request."""
        self._idle.append(_Idle(transport, time.monotonic()))

    def take_expired(self) -> list[Any]:
        """Return the transports to close: those idle for too long, and those too many."""
        oldest = time.monotonic() - self._keepalive_expiry
        expired: list[Any] = []
        with suppress(IndexError):
            while self._idle[0].since < oldest or len(self._idle) > self._size:
                expired.append(self._idle.popleft().transport)
        return expired

    def take_all(self) -> list[Any]:
        """Return all transports."""
        taken: list[Any] = []
        with suppress(IndexError):
            while True:
                taken.append(self._idle.pop().transport)
        return taken
