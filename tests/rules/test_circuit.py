"""The states of a circuit breaker, as tables."""

from __future__ import annotations

import pytest

from upgrade_client_lib._rules.circuit import (
    CLOSED,
    Circuit,
    admits,
    after_failure,
    with_probe,
    without_probe,
)

OPEN = Circuit(failures=5, open_until=10.0, pause=4.0)
PROBED = Circuit(failures=5, open_until=10.0, pause=4.0, probe_until=17.0)


@pytest.mark.parametrize(
    ("circuit", "now", "admitted"),
    [
        (CLOSED, 0.0, True),
        (Circuit(failures=4), 0.0, True),
        (OPEN, 9.9, False),
        (OPEN, 10.0, True),
        (PROBED, 9.9, False),
        (PROBED, 10.0, False),
        (PROBED, 16.9, False),
        (PROBED, 17.0, True),  # the probe is overdue
    ],
)
def test_a_read_is_sent_unless_the_circuit_is_open_or_another_read_probes(
    circuit: Circuit, now: float, admitted: bool
) -> None:
    assert admits(circuit, now) is admitted


@pytest.mark.parametrize(
    ("circuit", "probed"), [(CLOSED, CLOSED), (Circuit(4), Circuit(4)), (OPEN, PROBED)]
)
def test_a_read_probes_only_an_open_circuit(circuit: Circuit, probed: Circuit) -> None:
    assert with_probe(circuit, 11.0, 6.0) == probed


@pytest.mark.parametrize(
    ("circuit", "probe", "left"),
    [
        (PROBED, 17.0, OPEN),
        (PROBED, 12.0, PROBED),  # an overdue one, which another followed
        (PROBED, None, PROBED),
        (OPEN, 17.0, OPEN),
        (CLOSED, 17.0, CLOSED),
        (CLOSED, None, CLOSED),
    ],
)
def test_a_probe_that_is_given_up_makes_room_for_another(
    circuit: Circuit, probe: float | None, left: Circuit
) -> None:
    assert without_probe(circuit, probe) == left


@pytest.mark.parametrize(
    ("circuit", "probe", "had_full_time", "after"),
    [
        (CLOSED, None, True, Circuit(1)),
        (Circuit(3), None, True, Circuit(4)),
        (Circuit(4), None, True, Circuit(5, 12.0, 1.0)),
        (Circuit(4), None, False, Circuit(4)),
        (Circuit(4), 17.0, True, Circuit(5, 12.0, 1.0)),  # it probed, and another read succeeded
        (OPEN, None, True, OPEN),  # it began before the circuit opened
        (OPEN, 17.0, True, OPEN),
        (PROBED, None, True, PROBED),
        (PROBED, 12.0, True, PROBED),
        (PROBED, 17.0, True, Circuit(5, 19.0, 8.0)),
        (PROBED, 17.0, False, Circuit(5, 15.0, 4.0)),
    ],
)
def test_five_failures_open_the_circuit_and_a_failed_probe_opens_it_for_longer(
    circuit: Circuit, probe: float | None, had_full_time: bool, after: Circuit
) -> None:
    assert after_failure(circuit, probe, 11.0, 0.0, had_full_time=had_full_time) == after


def test_pauses_grow_from_one_second_to_thirty() -> None:
    circuit, now = Circuit(4), 0.0
    probe: float | None = None
    pauses: list[float] = []
    for _ in range(8):
        circuit = after_failure(circuit, probe, now, 0.0, had_full_time=True)
        assert circuit.open_until is not None
        pauses.append(circuit.open_until - now)
        now = circuit.open_until
        circuit = with_probe(circuit, now, 6.0)
        probe = circuit.probe_until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(("fraction", "pause"), [(0.0, 1.0), (0.5, 0.9), (1.0, 0.8)])
def test_a_pause_is_shorter_by_a_fifth_at_the_most(fraction: float, pause: float) -> None:
    opened = after_failure(Circuit(4), None, 0.0, fraction, had_full_time=True)
    assert opened.open_until == pytest.approx(pause)
    assert opened.pause == 1.0, "the jitter does not add up"
