"""What the real server assigned to 200 users, LocalUpgrade assigns too."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.testing.support_recorded import EXPORTS, TESTS
from upgrade_client_lib.testing import LocalUpgrade

VECTORS: dict[str, Any] = json.loads((TESTS / "recordings" / "vectors.json").read_text("utf-8"))
ADAPTIVE = {("adapt", "hint"), ("adapt2", "")}  # drawn by an engine, so in no vector


@pytest.fixture(scope="module")
def client() -> httpx.Client:
    local = LocalUpgrade.from_export(EXPORTS / "experiments.json")
    return httpx.Client(transport=local.transport, base_url="http://upgrade.local/api/v6")


def test_the_vectors_are_all_there() -> None:
    assert len(VECTORS) == 200
    assert sum(len(vector["points"]) for vector in VECTORS.values()) == 3200


@pytest.mark.parametrize("user", VECTORS)
def test_every_decision_point_and_queue_agrees(client: httpx.Client, user: str) -> None:
    vector = VECTORS[user]
    headers = {"User-Id": user}
    groups = {"group": {"class": [vector["class"]]}, "workingGroup": {"class": vector["class"]}}
    assert client.post("/init", headers=headers, json=groups).status_code == 200

    items = client.post("/assign", headers=headers, json={"context": "my-app"}).json()
    assigned = {
        f"{item['site']}|{item['target']}": [
            (condition["conditionCode"], condition["experimentId"])
            for condition in item["assignedCondition"]
        ]
        for item in items
        if (item["site"], item["target"]) not in ADAPTIVE
    }

    assert set(assigned) == set(vector["points"])
    for place, expected in vector["points"].items():
        queue = assigned[place]
        assert len(queue) == expected["length"], place
        assert [code for code, _ in queue[: len(expected["codes"])]] == expected["codes"], place
        assert {experiment for _, experiment in queue} == {expected["experimentId"]}, place
