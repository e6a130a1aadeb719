"""Whatever several workers do with one user, in whatever order, all of them see the truth."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support_sharing_machine import InStep
from upgrade_client_lib._user import sharing


class NewerServer(InStep):
    version = "6.7"


class OlderServerThatIsKnown(InStep):
    rotation = "decision_point"


class NewerServerThatIsKnown(InStep):
    version = "6.7"
    rotation = "experiment"


lean = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize(
    "machine", [InStep, NewerServer, OlderServerThatIsKnown, NewerServerThatIsKnown]
)
def test_workers_and_server_stay_in_step(
    machine: type[InStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "RECHECK_SECONDS", 0.0)
    run_state_machine_as_test(machine, settings=lean)
