"""The recorded flows, replayed from what a real server answered.

``pytest tests/test_replays.py --record`` first records every flow anew, from the live server that
UPGRADE_HOST_URL names (with the bearer token UPGRADE_TOKEN, if it wants one), and then replays
what it recorded. That server must hold the experiments and flags of tests/recordings/exports, the
200 experiments and flags of big-app among them (tests/support_replay_server.py says which), and
must not know the flows' users: a user's marks, groups and aliases stay on the server, so record
from a fresh one, or one whose learner-... users were removed. A flow that fails on the way keeps
its old cassette. Which condition a user gets follows from the ids of user and experiment: where
the server gave the experiments ids of its own, the conditions that flows expect differ too.
"""

from __future__ import annotations

import os

import pytest

from tests.support_flows import FLOWS
from tests.support_replay import CASSETTES, FACES, Face, Flow, record, replay


@pytest.fixture(scope="module", autouse=True)
def recorded_anew(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--record"):
        host_url, token = os.environ["UPGRADE_HOST_URL"], os.environ.get("UPGRADE_TOKEN", "")
        for flow in FLOWS:
            record(flow, host_url, token, CASSETTES)


def test_every_cassette_is_a_flow() -> None:
    assert sorted(path.stem for path in CASSETTES.iterdir()) == sorted(
        flow.__name__ for flow in FLOWS
    )


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_recorded_flow_replays(flow: Flow, face: Face) -> None:
    replay(flow, face)
