"""When reads are sent to a server that keeps failing: the states of a circuit breaker."""

from __future__ import annotations

import attrs

FAILURES_TO_OPEN = 5
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
JITTER = 0.2
"""By what share a pause may be shorter."""

PROBED_STATUSES = frozenset({502, 503, 504})
"""Error statuses with which a proxy says that the server does not answer."""


@attrs.frozen
class Circuit:
    """Closed while ``open_until`` is ``None``; times are on the clock of ``time.monotonic()``.

    ``failures`` is how many reads failed in a row. ``pause`` is how long the circuit was opened
    for last. While ``probe_until`` lies ahead, one read tries the server and the others wait for
    its outcome.
    """

    failures: int = 0
    open_until: float | None = None
    pause: float = 0.0
    probe_until: float | None = None


CLOSED = Circuit()


def admits(circuit: Circuit, now: float) -> bool:
    """Whether a read may be sent."""
    if circuit.open_until is None:
        return True
    if now < circuit.open_until:
        return False
    return circuit.probe_until is None or now >= circuit.probe_until


def with_probe(circuit: Circuit, now: float, seconds: float) -> Circuit:
    """Return the circuit while an admitted read, which has these seconds, is sent."""
    if circuit.open_until is None:
        return circuit
    return attrs.evolve(circuit, probe_until=now + seconds)


def without_probe(circuit: Circuit) -> Circuit:
    """Return the circuit after a read that was given up: the next one may probe."""
    return attrs.evolve(circuit, probe_until=None)


def after_failure(circuit: Circuit, now: float, fraction: float) -> Circuit:
    """Return the circuit after a read failed; ``fraction`` is a random number below 1."""
    failures = circuit.failures + 1
    if circuit.open_until is None and failures < FAILURES_TO_OPEN:
        return Circuit(failures)
    pause = min(max(circuit.pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE)
    return Circuit(failures, now + pause * (1 - JITTER * fraction), pause)
