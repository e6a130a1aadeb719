"""The recorded flows, replayed from what a real server answered.

``pytest tests/test_replays.py --record`` first records every flow anew, from the live server that
UPGRADE_HOST_URL names (with the bearer token UPGRADE_TOKEN, if it wants one), and then replays
what it recorded. That server must hold the experiments and flags of tests/recordings/exports, the
200 experiments and flags of big-app among them (tests/testing/support_recorded.py says which), and
must not know the flows' users: a user's marks, groups and aliases stay on the server, so record
from a fresh one, or one whose learner-... users were removed. A flow that fails on the way keeps
its old cassette. Which condition a user gets follows from the ids of user and experiment: where
the server gave the experiments ids of its own, the conditions that flows expect differ too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support_flows import FLOWS
from tests.support_replay import CASSETTES, FORM_NAMES, Flow, FormName, cassette_of, record, replay
from tests.testing.support_recorded import recorded_server


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


@pytest.mark.parametrize("form", FORM_NAMES)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_recorded_flow_replays(flow: Flow, form: FormName) -> None:
    replay(flow, form)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_what_is_recorded_anew_replays_and_names_neither_host_nor_token(
    flow: Flow, tmp_path: Path
) -> None:
    with recorded_server().serve() as url:
        record(flow, url, "very-secret", tmp_path)
    replay(flow, "sync", tmp_path)
    text = cassette_of(flow, tmp_path).read_text("utf-8")
    assert "very-secret" not in text
    assert url not in text
    assert [path.name for path in tmp_path.iterdir()] == [f"{flow.__name__}.yaml"]
