from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.group_membership import GroupMembership
    from ..models.working_group import WorkingGroup


T = TypeVar("T", bound="ExperimentUser")


@_attrs_define
class ExperimentUser:
    """
    Attributes:
        id (str): The user's id; the root user's where an alias was used.
        group (Union['GroupMembership', None, Unset]):
        working_group (Union['WorkingGroup', None, Unset]):
    """

    id: str
    group: Union["GroupMembership", None, Unset] = UNSET
    working_group: Union["WorkingGroup", None, Unset] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.group_membership import GroupMembership
        from ..models.working_group import WorkingGroup

        id = self.id

        group: Union[None, Unset, dict[str, Any]]
        if isinstance(self.group, Unset):
            group = UNSET
        elif isinstance(self.group, GroupMembership):
            group = self.group.to_dict()
        else:
            group = self.group

        working_group: Union[None, Unset, dict[str, Any]]
        if isinstance(self.working_group, Unset):
            working_group = UNSET
        elif isinstance(self.working_group, WorkingGroup):
            working_group = self.working_group.to_dict()
        else:
            working_group = self.working_group

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
            }
        )
        if group is not UNSET:
            field_dict["group"] = group
        if working_group is not UNSET:
            field_dict["workingGroup"] = working_group

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.group_membership import GroupMembership
        from ..models.working_group import WorkingGroup

        d = dict(src_dict)
        id = d.pop("id")

        def _parse_group(data: object) -> Union["GroupMembership", None, Unset]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                group_type_0 = GroupMembership.from_dict(data)

                return group_type_0
            except:  # noqa: E722
                pass
            return cast(Union["GroupMembership", None, Unset], data)

        group = _parse_group(d.pop("group", UNSET))

        def _parse_working_group(data: object) -> Union["WorkingGroup", None, Unset]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                working_group_type_0 = WorkingGroup.from_dict(data)

                return working_group_type_0
            except:  # noqa: E722
                pass
            return cast(Union["WorkingGroup", None, Unset], data)

        working_group = _parse_working_group(d.pop("workingGroup", UNSET))

        experiment_user = cls(
            id=id,
            group=group,
            working_group=working_group,
        )

        experiment_user.additional_properties = d
        return experiment_user

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
