"""Rewards of adaptive experiments."""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

from upgrade_openapi.api.client import reward as reward_endpoint
from upgrade_openapi.models import (
    Reward as RewardModel,
    RewardAnswer,
    RewardDecisionPoint,
    RewardRequest,
    RewardValue,
)
from upgrade_openapi.types import UNSET

from .._http import Operation
from .._narrow import object_or_none
from ..types import BinaryRewardValue, DecisionPoint, Reward, RewardResponse
from .identity import Identity
from .operation import operation
from .values import as_object, as_str, number_or_none, str_or_none


def reward(
    identity: Identity,
    value: BinaryRewardValue,
    *,
    experiment_id: str | None,
    context: str | None,
    decision_point: DecisionPoint | None,
) -> Operation[RewardResponse]:
    body = RewardRequest(
        reward_value=RewardValue(value.value),
        experiment_id=experiment_id or UNSET,
        context=context or UNSET,
        decision_point=UNSET
        if decision_point is None
        else RewardDecisionPoint(decision_point.site, decision_point.target),
    )
    return operation(reward_endpoint._get_kwargs, identity, body, _read_reward, idempotent=False)


def _read_reward(response: Any) -> RewardResponse:
    present = {key: value for key, value in as_object(response).items() if value is not None}
    answer = RewardAnswer.from_dict(present)
    return RewardResponse(as_str(answer.message), object_or_none(answer.request), _reward(answer))


def _reward(answer: RewardAnswer) -> Reward | None:
    reward = answer.reward
    if not isinstance(reward, RewardModel):
        return None
    return Reward(
        str_or_none(reward.variable),
        number_or_none(reward.value),
        number_or_none(reward.mooclet),
        number_or_none(reward.version),
        str_or_none(reward.learner),
    )
