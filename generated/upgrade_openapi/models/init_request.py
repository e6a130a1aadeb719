from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.group_membership import GroupMembership
    from ..models.working_group import WorkingGroup


T = TypeVar("T", bound="InitRequest")


@_attrs_define
class InitRequest:
    """
    Attributes:
        group (Union['GroupMembership', None, Unset]):
        working_group (Union['WorkingGroup', None, Unset]):
    """

    group: Union["GroupMembership", None, Unset] = UNSET
    working_group: Union["WorkingGroup", None, Unset] = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.group_membership import GroupMembership
        from ..models.working_group import WorkingGroup

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

        field_dict.update({})
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

        init_request = cls(
            group=group,
            working_group=working_group,
        )

        return init_request
