"""The mark endpoint."""

from __future__ import annotations

from ...._narrow import object_or_none
from ..._engine import Mark, ServerState, mark as engine_mark
from ..requests import Call


def mark(state: ServerState, call: Call) -> object:
    data = call.body["data"]
    assigned = object_or_none(data.get("assignedCondition")) or {}
    sent = Mark(
        user=call.user.id,
        site=data["site"],
        target=data.get("target") or "",
        condition=assigned.get("conditionCode"),
        experiment_id=assigned.get("experimentId") or None,
        status=call.body.get("status"),
        uniquifier=call.body.get("uniquifier"),
        client_error=call.body.get("clientError"),
    )
    result = engine_mark(state, call.user, sent)
    return {
        "condition": result.condition,
        "userId": call.user.id,
        "site": sent.site,
        "target": result.target,
        "experimentId": result.visit.experiment_id,
        "id": result.visit.id,
    }
