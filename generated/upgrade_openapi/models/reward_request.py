from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
)

from attrs import define as _attrs_define

from ..models.reward_value import RewardValue
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.reward_decision_point import RewardDecisionPoint


T = TypeVar("T", bound="RewardRequest")


@_attrs_define
class RewardRequest:
    """Needs `experimentId`, or `context` and `decisionPoint`.

    Attributes:
        reward_value (RewardValue):
        experiment_id (Union[Unset, str]):
        context (Union[Unset, str]):
        decision_point (Union[Unset, RewardDecisionPoint]):
    """

    reward_value: RewardValue
    experiment_id: Union[Unset, str] = UNSET
    context: Union[Unset, str] = UNSET
    decision_point: Union[Unset, "RewardDecisionPoint"] = UNSET

    def to_dict(self) -> dict[str, Any]:
        reward_value = self.reward_value.value

        experiment_id = self.experiment_id

        context = self.context

        decision_point: Union[Unset, dict[str, Any]] = UNSET
        if not isinstance(self.decision_point, Unset):
            decision_point = self.decision_point.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "rewardValue": reward_value,
            }
        )
        if experiment_id is not UNSET:
            field_dict["experimentId"] = experiment_id
        if context is not UNSET:
            field_dict["context"] = context
        if decision_point is not UNSET:
            field_dict["decisionPoint"] = decision_point

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.reward_decision_point import RewardDecisionPoint

        d = dict(src_dict)
        reward_value = RewardValue(d.pop("rewardValue"))

        experiment_id = d.pop("experimentId", UNSET)

        context = d.pop("context", UNSET)

        _decision_point = d.pop("decisionPoint", UNSET)
        decision_point: Union[Unset, RewardDecisionPoint]
        if isinstance(_decision_point, Unset):
            decision_point = UNSET
        else:
            decision_point = RewardDecisionPoint.from_dict(_decision_point)

        reward_request = cls(
            reward_value=reward_value,
            experiment_id=experiment_id,
            context=context,
            decision_point=decision_point,
        )

        return reward_request
