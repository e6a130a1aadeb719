from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.reward import Reward


T = TypeVar("T", bound="RewardAnswer")


@_attrs_define
class RewardAnswer:
    """
    Attributes:
        message (str):
        request (Union[Unset, Any]): The request's body again.
        reward (Union[Unset, Reward]): What was posted to the adaptive engine; newer servers leave it out.
    """

    message: str
    request: Union[Unset, Any] = UNSET
    reward: Union[Unset, "Reward"] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        message = self.message

        request = self.request

        reward: Union[Unset, dict[str, Any]] = UNSET
        if not isinstance(self.reward, Unset):
            reward = self.reward.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "message": message,
            }
        )
        if request is not UNSET:
            field_dict["request"] = request
        if reward is not UNSET:
            field_dict["reward"] = reward

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.reward import Reward

        d = dict(src_dict)
        message = d.pop("message")

        request = d.pop("request", UNSET)

        _reward = d.pop("reward", UNSET)
        reward: Union[Unset, Reward]
        if isinstance(_reward, Unset):
            reward = UNSET
        else:
            reward = Reward.from_dict(_reward)

        reward_answer = cls(
            message=message,
            request=request,
            reward=reward,
        )

        reward_answer.additional_properties = d
        return reward_answer

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
