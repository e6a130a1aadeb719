from collections.abc import Mapping
from typing import (
    Any,
    TypeVar,
    Union,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Reward")


@_attrs_define
class Reward:
    """What was posted to the adaptive engine; newer servers leave it out.

    Attributes:
        variable (Union[Unset, str]):
        value (Union[Unset, int]):
        mooclet (Union[Unset, int]):
        version (Union[Unset, int]):
        learner (Union[Unset, str]):
    """

    variable: Union[Unset, str] = UNSET
    value: Union[Unset, int] = UNSET
    mooclet: Union[Unset, int] = UNSET
    version: Union[Unset, int] = UNSET
    learner: Union[Unset, str] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        variable = self.variable

        value = self.value

        mooclet = self.mooclet

        version = self.version

        learner = self.learner

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if variable is not UNSET:
            field_dict["variable"] = variable
        if value is not UNSET:
            field_dict["value"] = value
        if mooclet is not UNSET:
            field_dict["mooclet"] = mooclet
        if version is not UNSET:
            field_dict["version"] = version
        if learner is not UNSET:
            field_dict["learner"] = learner

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        variable = d.pop("variable", UNSET)

        value = d.pop("value", UNSET)

        mooclet = d.pop("mooclet", UNSET)

        version = d.pop("version", UNSET)

        learner = d.pop("learner", UNSET)

        reward = cls(
            variable=variable,
            value=value,
            mooclet=mooclet,
            version=version,
            learner=learner,
        )

        reward.additional_properties = d
        return reward

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
