"""The mark endpoint."""

from __future__ import annotations

from ...._narrow import object_or_none
from ..._engine import Mark, ServerState, check_context, mark as engine_mark
from ..errors import QUERY_FAILED, ApiError
from ..requests import Call

_NO_SITE = (
    'null value in column "site" of relation "monitored_decision_point" '
    "violates not-null constraint"
)


def mark(state: ServerState, call: Call) -> object:
    data = object_or_none(call.body["data"])
    if data is None:
        raise ApiError(500, _NO_SITE, QUERY_FAILED, "QueryFailedError")
    if state.strict and "context" in call.body:
        check_context(state, call.body["context"])
    assigned = object_or_none(data.get("assignedCondition")) or {}
    sent = Mark(
        user=call.user.id,
        site=data["site"],
        target=data.get("target") or "",
        condition=assigned.get("conditionCode"),
        experiment_id=assigned.get("experimentId"),
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
