"""A LocalUpgrade that holds what the recorded server held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support_replay import CASSETTES
from upgrade_client_lib.testing import LocalUpgrade

EXPORTS = Path(__file__).parent / "recordings" / "exports"


def recorded_server() -> LocalUpgrade:
    """The exports' experiments and flags, and what they leave out.

    Of big-app they have two experiments alone; all 200 are alike, and draws need their own ids,
    which the big-app cassette has. The metric totalTimeSeconds and its like come with the
    experiments that query them.
    """
    local = LocalUpgrade.from_export(EXPORTS / "experiments.json", EXPORTS / "flags.json")
    local.context("empty-app")
    exported = {one["id"] for one in json.loads((EXPORTS / "experiments.json").read_text("utf-8"))}
    for item in _assigned_in_big_app():
        number = int(item["target"][-3:])
        experiment_id = item["assignedCondition"][0]["experimentId"]
        if experiment_id not in exported:
            local.experiment(
                item["site"],
                item["target"],
                name=f"big-{number:03}",
                id=experiment_id,
                context="big-app",
                conditions={"control": 50, "treatment": 50},
                payloads={
                    "control": f"control {number}",
                    "treatment": f"treatment payload {number}",
                },
            )
    for number in range(200):
        local.flag(f"BIG_FLAG_{number:03}", context="big-app")
    return local


def _assigned_in_big_app() -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (CASSETTES / "big_context.yaml").read_text("utf-8")
    _, assign, *_ = yaml.load(text, Loader=loader)["interactions"]
    items: list[dict[str, Any]] = json.loads(assign["response"]["body"]["string"])
    return items
