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
from .._locks import held
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

    def check(self) -> float | None:
        """Admit a read, or raise a ``CircuitOpenError``.

        What it returns tells a read that probes from others; the outcome is reported with it.
        """
        if self._circuit.open_until is None:
            return None
        now = time.monotonic()
        with held(self._lock):
            if circuit.admits(self._circuit, now):
                self._circuit = circuit.with_probe(self._circuit, now, self._probe_seconds)
                return self._circuit.probe_until
        raise self._error(now)

    def error(self) -> CircuitOpenError | None:
        """Return what ``check`` would raise now, if it would; admits nothing."""
        now = time.monotonic()
        return None if circuit.admits(self._circuit, now) else self._error(now)

    def _error(self, now: float) -> CircuitOpenError:
        left = (self._circuit.open_until or now) - now
        until = f"for {left:.1f} s" if left > 0 else "until one that is under way has an answer"
        return CircuitOpenError(
            f"{self._host_url} did not answer lately: no reads are sent to it {until}", attempts=0
        )

    def succeeded(self) -> None:
        """Close the circuit: the server answered a read."""
        if self._circuit is not circuit.CLOSED:
            with held(self._lock):
                self._circuit = circuit.CLOSED

    def failed(self, error: UpgradeApiError, probe: float | None, *, had_full_time: bool) -> None:
        """Count a read that found no server; any other error is an answer of the server."""
        if not _found_no_server(error):
            self.succeeded()
            return
        with held(self._lock):
            self._circuit = circuit.after_failure(
                self._circuit,
                probe,
                time.monotonic(),
                random.random(),
                had_full_time=had_full_time,
            )

    def abandoned(self, probe: float | None) -> None:
        """Let another read probe: this one was cancelled, or never sent."""
        if probe is not None:
            with held(self._lock):
                self._circuit = circuit.without_probe(self._circuit, probe)

    def _reset_after_fork(self) -> None:
        """In a child process: a thread of the parent may have held the lock, or probed."""
        self._lock = threading.Lock()
        self._circuit = circuit.without_probe(self._circuit, self._circuit.probe_until)


def _found_no_server(error: UpgradeApiError) -> bool:
    return (
        isinstance(error, (NoConnectionError, RequestTimeoutError))
        or error.status_code in circuit.PROBED_STATUSES
    )
