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


def without_probe(circuit: Circuit, probe: float | None) -> Circuit:
    """Return the circuit after a read was given up; if it was the probe, the next one may probe.

    A probe is known by its ``probe_until``, and other reads by ``None``.
    """
    if probe is None or probe != circuit.probe_until:
        return circuit
    return attrs.evolve(circuit, probe_until=None)


def after_failure(
    circuit: Circuit,
    probe: float | None,
    now: float,
    fraction: float,
    *,
    had_full_time: bool,
) -> Circuit:
    """Return the circuit after a read found no server; ``fraction`` is a random number below 1.

    A read that had less than the full time does not count. Where it was the probe, the circuit
    opens for as long as it did before. Of an open circuit, no other read's failure is news: they
    began before it opened.
    """
    if circuit.open_until is None:
        if not had_full_time:
            return circuit
        failures = circuit.failures + 1
        if failures < FAILURES_TO_OPEN:
            return Circuit(failures)
        return _opened(failures, SHORTEST_PAUSE, now, fraction)
    if probe is None or probe != circuit.probe_until:
        return circuit
    pause = min(circuit.pause * 2, LONGEST_PAUSE) if had_full_time else circuit.pause
    return _opened(circuit.failures, pause, now, fraction)


def _opened(failures: int, pause: float, now: float, fraction: float) -> Circuit:
    return Circuit(failures, now + pause * (1 - JITTER * fraction), pause)
