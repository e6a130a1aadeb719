"""LocalUpgrade with the recorded server's experiments answers the recorded flows as that did."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import attrs
import pytest

from tests.support_flows import FLOWS
from tests.support_replay import FACES, Face, Flow, replay, run
from tests.support_replay_server import recorded_server
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import LogRecord, MarkedDecisionPoint, RewardResponse

HOST = "http://upgrade.local"
ADAPTIVE = {("adapt", "hint"), ("adapt2", "")}  # each question draws anew


@pytest.fixture(scope="module")
def server() -> LocalUpgrade:
    return recorded_server()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_flow_runs(server: LocalUpgrade, flow: Flow, face: Face) -> None:
    run_on(server, flow, face)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_every_call_gives_what_the_real_server_gave(server: LocalUpgrade, flow: Flow) -> None:
    recorded = [comparable(outcome) for outcome in replay(flow, "sync")]
    assert [comparable(outcome) for outcome in run_on(server, flow, "sync")] == recorded


def run_on(server: LocalUpgrade, flow: Flow, face: Face) -> list[object]:
    server.reset()
    with UpgradeConnection(HOST, transport=server.transport) as connection:
        return run(flow, connection, face)


def comparable(outcome: Any) -> Any:
    """An outcome without what differs from run to run: ids that a server makes up for rows, the
    times of the run, the draws of adaptive experiments, and orders that mean nothing.
    """
    if isinstance(outcome, list):
        return sorted(map(comparable, cast("list[object]", outcome)), key=repr)
    if isinstance(outcome, Assignment):
        drawn = (outcome.site, outcome.target) not in ADAPTIVE
        return {
            "point": (outcome.site, outcome.target),
            "experiment": (outcome.experiment_id, outcome.get_experiment_type()),
            "condition": outcome.get_condition() if drawn else "any",
            "payload": outcome.get_payload() if drawn else "any",
            "factors": [
                (name, outcome.get_factor_level(name), outcome.get_factor_payload(name))
                for name in outcome.factors
            ],
        }
    if isinstance(outcome, MarkedDecisionPoint):
        drawn = (outcome.site, outcome.target) not in ADAPTIVE
        return attrs.evolve(outcome, id="", condition=outcome.condition if drawn else "any")
    if isinstance(outcome, LogRecord):
        definitions = [without_history(metric) for metric in outcome.metrics or ()]
        return attrs.evolve(outcome, id=None, metrics=sorted(definitions, key=repr))
    if isinstance(outcome, RewardResponse) and outcome.reward is not None:
        return attrs.evolve(outcome, reward=attrs.evolve(outcome.reward, mooclet=0, version=0))
    if isinstance(outcome, UpgradeApiError):
        assert outcome.response_body is not None
        body = json.loads(without_times(outcome.response_body))
        return type(outcome), outcome.status_code, outcome.endpoint, body
    return outcome


def without_history(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in metric.items()
        if key not in {"createdAt", "updatedAt", "versionNumber"}
    }


def without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "at some time", text)
