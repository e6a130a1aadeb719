"""The reward endpoint."""

from __future__ import annotations

from typing import Any

from ...._narrow import list_or_none, object_or_none
from ..._engine import RewardTarget, ServerState, reward as engine_reward
from ..requests import Call


def reward(state: ServerState, call: Call) -> object:
    body = call.body
    value: str = body["rewardValue"]
    point = object_or_none(body.get("decisionPoint")) or {}
    target = RewardTarget(
        experiment_id=as_text(body["experimentId"]) if body.get("experimentId") else None,
        context=as_text(body.get("context")),
        site=_text(point, "site"),
        target=_text(point, "target"),
        shown_site=_shown(point, "site"),
        shown_target=_shown(point, "target"),
    )
    result = engine_reward(state, call.user, value, target)
    response: dict[str, object] = {
        "message": "Reward sent to mooclet successfully.",
        "request": body,
    }
    if not state.is_6_7:
        response["reward"] = {
            "variable": result.variable,
            "value": int(value == "SUCCESS"),
            "mooclet": result.mooclet,
            "version": result.version,
            "learner": call.user.id,
        }
    return response


def _text(point: dict[str, Any], key: str) -> str | None:
    value = point.get(key)
    return value if isinstance(value, str) else None


def _shown(point: dict[str, Any], key: str) -> str:
    return as_text(point[key]) if key in point else "undefined"


def as_text(value: object) -> str:
    """Return the text that JavaScript makes of a JSON value; of null in a list, none."""
    if isinstance(value, bool):
        return str(value).lower()
    items = list_or_none(value)
    if items is not None:
        return ",".join("" if item is None else as_text(item) for item in items)
    return "[object Object]" if isinstance(value, dict) else "null" if value is None else str(value)
