"""Random sequences recorded from a real server, played again: LocalUpgrade answers the same.

They hold what users do over time: groups that change around marks, applied and not applied in any
order, pools, aliases, logs, experiments that end, and about one odd request in ten.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.support_sequences import agrees, differences, extended, sequences
from upgrade_client_lib.testing import LocalUpgrade

SEQUENCES = sequences()


@pytest.fixture(scope="module")
def server() -> LocalUpgrade:
    local = LocalUpgrade.from_export(
        extended("experiments"), extended("flags"), segments=extended("segments")
    )
    local.context("empty-app")
    local.context("big-app")
    return local


@pytest.mark.parametrize("sequence", SEQUENCES, ids=[one["name"] for one in SEQUENCES])
def test_a_recorded_sequence_is_answered_as_the_server_did(
    sequence: dict[str, Any], server: LocalUpgrade
) -> None:
    server.reset()
    assert list(differences(server, sequence)) == []


def test_a_step_that_differs_is_told(server: LocalUpgrade) -> None:
    server.reset()
    step = {
        "method": "POST",
        "path": "/api/v6/init",
        "user": "u1",
        "body": {},
        "status": 200,
        "answer": {"id": "u2"},
    }
    (told,) = differences(server, {"steps": [step]})
    assert told.startswith("step 0: /api/v6/init {}")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("<int>", "x"),
        ({"<first>": [1], "<length>": 2}, [1]),
        ({"<first>": [1], "<length>": 2}, [2, 2]),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 2]),
        (1, True),
    ],
)
def test_what_differs_does_not_agree(expected: Any, actual: Any) -> None:
    assert not agrees(expected, actual)
