"""The JSON of an experiment in an assign response, prepared once instead of at every call."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._definitions import Condition, DecisionPoint, Experiment, Payload, payload_for_code

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ExperimentJson:
    """Writes the items of an experiment's decision points for any queue of conditions."""

    def __init__(self, experiment: Experiment) -> None:
        experiment_type = "Factorial" if experiment.factorial else "Simple"
        self._heads = [
            _json({"site": point.site, "target": point.target, "experimentType": experiment_type})[
                :-1
            ]
            for point in experiment.points
        ]
        self._conditions = [
            [_condition(experiment, condition, point) for condition in experiment.conditions]
            for point in experiment.points
        ]
        self._factors: list[str] = []
        if experiment.factorial:
            self._factors = [_factors(condition) for condition in experiment.conditions]

    def item(self, point: int, queue: Sequence[int]) -> str:
        """Return one decision point's item; ``queue`` are indices of conditions, next first."""
        conditions = self._conditions[point]
        assigned = ",".join([conditions[index] for index in queue])
        item = f'{self._heads[point]},"assignedCondition":[{assigned}]'
        if not self._factors:
            return item + "}"
        factors = ",".join([self._factors[index] for index in queue])
        return f'{item},"assignedFactor":[{factors}]}}'


def _condition(experiment: Experiment, condition: Condition, point: DecisionPoint) -> str:
    return _json(
        {
            "id": condition.id,
            "conditionCode": _code(experiment, condition),
            "payload": _payload(point.payloads.get(condition.code)),
            "experimentId": experiment.id,
        }
    )


def _code(experiment: Experiment, condition: Condition) -> str | dict[str, str]:
    """Return the code; where one factor decides between subjects, its level's payload."""
    payload = payload_for_code(experiment, condition)
    return condition.code if payload is None else {"type": "string", "value": payload}


def _factors(condition: Condition) -> str:
    """Return a condition's levels; payloads are strings, whatever was stored, and never empty."""
    return _json(
        {
            level.factor: {
                "level": level.name,
                "payload": {"type": "string", "value": level.payload.value}
                if level.payload and level.payload.value
                else None,
            }
            for level in condition.levels
        }
    )


def _payload(payload: Payload | None) -> dict[str, str] | None:
    return {"type": payload.type, "value": payload.value} if payload and payload.value else None
