"""The circuit breaker of a server's reads.

Not a library's: pybreaker, circuitbreaker and purgatory open for a fixed time, purgatory keeps a
state for blocking calls and another for async ones, and none of them lets a single call probe
while all others, of threads and event loops, fail at once.
"""

from __future__ import annotations

import random
import threading
import time

from .._fork import call_after_fork_on
from .._rules import circuit
from ..exceptions import CircuitOpenError, NoConnectionError, RequestTimeoutError, UpgradeApiError


class Breaker:
    """One state for all threads and event loops that read from a server."""

    __slots__ = ("__weakref__", "_circuit", "_host_url", "_lock", "_probe_seconds")

    def __init__(self, host_url: str, probe_seconds: float) -> None:
        self._host_url = host_url
        self._probe_seconds = probe_seconds
        self._circuit = circuit.CLOSED
        self._lock = threading.Lock()
        call_after_fork_on(self, Breaker._reset_after_fork)

    @property
    def is_open(self) -> bool:
        """Whether reads fail without being sent, or one of them probes."""
        return self._circuit.open_until is not None

    def check(self) -> None:
        """Admit a read, or raise a ``CircuitOpenError``."""
        if self._circuit.open_until is None:
            return
        now = time.monotonic()
        with self._lock:
            if circuit.admits(self._circuit, now):
                self._circuit = circuit.with_probe(self._circuit, now, self._probe_seconds)
                return
        raise self._error(now)

    def error(self) -> CircuitOpenError | None:
        """Return what ``check`` would raise now, if it would; admits nothing."""
        now = time.monotonic()
        return None if circuit.admits(self._circuit, now) else self._error(now)

    def _error(self, now: float) -> CircuitOpenError:
        left = max((self._circuit.open_until or now) - now, 0.0)
        return CircuitOpenError(
            f"{self._host_url} did not answer lately: reads are not sent to it for {left:.1f} s",
            attempts=0,
        )

    def succeeded(self) -> None:
        """Close the circuit: the server answered a read."""
        if self._circuit is not circuit.CLOSED:
            with self._lock:
                self._circuit = circuit.CLOSED

    def failed(self, error: UpgradeApiError, *, had_full_time: bool) -> None:
        """Count a read that failed, if that says that the server does not answer."""
        if error.status_code is not None and error.status_code not in circuit.PROBED_STATUSES:
            self.succeeded()
        elif had_full_time and _counts(error):
            with self._lock:
                self._circuit = circuit.after_failure(
                    self._circuit, time.monotonic(), random.random()
                )
        else:
            self.abandoned()

    def abandoned(self) -> None:
        """Let another read probe: this one was cancelled, or says nothing."""
        if self._circuit.probe_until is not None:
            with self._lock:
                self._circuit = circuit.without_probe(self._circuit)

    def _reset_after_fork(self) -> None:
        self._lock = threading.Lock()


def _counts(error: UpgradeApiError) -> bool:
    return (
        isinstance(error, (NoConnectionError, RequestTimeoutError))
        or error.status_code in circuit.PROBED_STATUSES
    )
