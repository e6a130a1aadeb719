from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="RewardDecisionPoint")


@_attrs_define
class RewardDecisionPoint:
    """
    Attributes:
        site (str):
        target (str):
    """

    site: str
    target: str

    def to_dict(self) -> dict[str, Any]:
        site = self.site

        target = self.target

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "site": site,
                "target": target,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        site = d.pop("site")

        target = d.pop("target")

        reward_decision_point = cls(
            site=site,
            target=target,
        )

        return reward_decision_point
