"""The reward endpoint, of which only adaptive experiments know."""

from __future__ import annotations

import re
from typing import Any

from .._narrow import object_or_none
from ._call import Call, World
from ._definitions import ENROLLING, Experiment
from ._errors import BAD_PARAMETER, Refusal
from ._records import Reward

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def reward(world: World, call: Call) -> object:
    """Takes a reward for the one condition of one adaptive experiment the user is enrolled in."""
    if not world.adaptive:
        raise Refusal(
            400,
            "Failed to send reward: mooclet is not currently enabled on backend.",
            BAD_PARAMETER,
            "BadRequestError",
        )
    value: str = call.body["rewardValue"]
    if call.body.get("experimentId"):
        experiment = _by_id(world, call, call.body["experimentId"])
    else:
        experiment = _by_point(world, call)
    enrolment = world.store.enrolments.get((experiment.id, call.user.id))
    if enrolment is None:
        raise _unprocessed(
            f"Could not find unique user enrollment for experiment (userId: {call.user.id}, "
            "enrollments: ), no reward sent."
        )
    world.store.rewards.append(Reward(call.user.id, value, experiment.id, enrolment.condition))
    answer: dict[str, object] = {
        "message": "Reward sent to mooclet successfully.",
        "request": call.body,
    }
    if not world.newer:
        answer["reward"] = {
            "variable": experiment.reward_variable,
            "value": int(value == "SUCCESS"),
            "mooclet": [one.id for one in _adaptive(world)].index(experiment.id) + 1,
            "version": (experiment.index_of(enrolment.condition) or 0) + 1,
            "learner": call.user.id,
        }
    return answer


def _adaptive(world: World) -> list[Experiment]:
    return [one for one in world.catalogue.experiments.values() if one.adaptive]


def _by_id(world: World, call: Call, experiment_id: str) -> Experiment:
    for experiment in _adaptive(world):
        if experiment.id == experiment_id:
            return experiment
    if not _UUID.fullmatch(experiment_id):
        raise _unprocessed(
            "Failed to process reward request due to unexpected error "
            f"(userId: {call.user.id}, experimentId: {experiment_id}, "
            f"rewardValue: {call.body['rewardValue']})."
        )
    raise _unprocessed(
        f"No active mooclet experiment ref found for experiment id: {experiment_id}, "
        "could not send reward."
    )


def _by_point(world: World, call: Call) -> Experiment:
    context = call.body["context"]
    point = object_or_none(call.body["decisionPoint"]) or {}
    site, target = point.get("site"), point.get("target")
    if isinstance(site, str) and isinstance(target, str):
        for experiment in world.catalogue.at(site, target):
            active = experiment.adaptive and experiment.state == ENROLLING
            if active and experiment.context == context:
                return experiment
    raise _unprocessed(
        f"No active experiment found for decision point (context: {context}, "
        f"site: {_shown(point, 'site')}, target: {_shown(point, 'target')}), "
        "could not send reward."
    )


def _shown(point: dict[str, Any], key: str) -> str:
    if key not in point:
        return "undefined"
    value: object | None = point[key]
    return "null" if value is None else str(value)


def _unprocessed(message: str) -> Refusal:
    return Refusal(409, message, "Error processing Mooclet reward")
