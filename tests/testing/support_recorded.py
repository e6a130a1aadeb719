"""A LocalUpgrade like the server of the recordings, and how to compare answers with theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from upgrade_client_lib._narrow import list_or_none, object_or_none
from upgrade_client_lib.testing import LocalUpgrade

TESTS = Path(__file__).parent.parent
EXPORTS = TESTS / "recordings" / "exports"
EXCHANGES: dict[str, Any] = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((TESTS / "recordings" / "exchanges").glob("*.json"))
}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VOLATILE = ("createdAt", "updatedAt", "versionNumber", "mooclet", "version")
_ADAPTIVE_SITES = ("adapt", "adapt2")  # which condition comes is the engine's choice


def recorded_server() -> LocalUpgrade:
    """The exports, and the 200 experiments and flags of big-app that they leave out."""
    local = LocalUpgrade.from_export(EXPORTS / "experiments.json", EXPORTS / "flags.json")
    local.context("empty-app")
    exported = {experiment.id for experiment in local.experiments}
    for item in EXCHANGES["assign_big_app"]["response"]["body_json"]:
        experiment_id = item["assignedCondition"][0]["experimentId"]
        number = int(item["target"][len("target") :])
        if experiment_id not in exported:
            local.experiment(
                item["site"],
                item["target"],
                context="big-app",
                id=experiment_id,
                conditions=["control", "treatment"],
                payloads={
                    "control": f"control {number}",
                    "treatment": f"treatment payload {number}",
                },
            )
    for number in range(200):
        local.flag(f"BIG_FLAG_{number:03}", context="big-app")
    return local


def comparable(value: Any, key: str = "") -> Any:
    """The value without times and ids, and lists of assignments and flags in one order."""
    if key in _VOLATILE or (key == "id" and isinstance(value, int)):
        return type(value).__name__
    if isinstance(value, str):
        return _TIME.sub("<time>", _UUID.sub("<id>", value) if key == "id" else value)
    fields = object_or_none(value)
    if fields is not None:
        if fields.get("site") in _ADAPTIVE_SITES:
            drawn = {"assignedCondition", "condition"} & fields.keys()
            fields = {**fields, **dict.fromkeys(drawn, "<the engine's choice>")}
        return {name: comparable(item, name) for name, item in fields.items()}
    items = list_or_none(value)
    if items is None:
        return value
    items = [comparable(item) for item in items]
    if any("experimentType" in (object_or_none(item) or {}) for item in items):
        return sorted(items, key=lambda item: f"{item['site']}|{item['target']}")
    return sorted(items) if all(isinstance(item, str) for item in items) else items
