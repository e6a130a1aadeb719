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


T = TypeVar("T", bound="GroupMembershipRequest")


@_attrs_define
class GroupMembershipRequest:
    """
    Attributes:
        group (Union['GroupMembership', None, Unset]):
    """

    group: Union["GroupMembership", None, Unset] = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.group_membership import GroupMembership

        group: Union[None, Unset, dict[str, Any]]
        if isinstance(self.group, Unset):
            group = UNSET
        elif isinstance(self.group, GroupMembership):
            group = self.group.to_dict()
        else:
            group = self.group

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if group is not UNSET:
            field_dict["group"] = group

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.group_membership import GroupMembership

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

        group_membership_request = cls(
            group=group,
        )

        return group_membership_request
