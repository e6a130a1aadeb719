from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.group_membership import GroupMembership


T = TypeVar("T", bound="FeatureFlagsRequest")


@_attrs_define
class FeatureFlagsRequest:
    """
    Attributes:
        context (str):
        groups_for_session (Union[Unset, GroupMembership]): The groups a user belongs to, by group type.
        include_stored_user_groups (Union[Unset, bool]): Whether the stored groups count as well.
    """

    context: str
    groups_for_session: Union[Unset, "GroupMembership"] = UNSET
    include_stored_user_groups: Union[Unset, bool] = UNSET

    def to_dict(self) -> dict[str, Any]:
        context = self.context

        groups_for_session: Union[Unset, dict[str, Any]] = UNSET
        if not isinstance(self.groups_for_session, Unset):
            groups_for_session = self.groups_for_session.to_dict()

        include_stored_user_groups = self.include_stored_user_groups

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "context": context,
            }
        )
        if groups_for_session is not UNSET:
            field_dict["groupsForSession"] = groups_for_session
        if include_stored_user_groups is not UNSET:
            field_dict["includeStoredUserGroups"] = include_stored_user_groups

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.group_membership import GroupMembership

        d = dict(src_dict)
        context = d.pop("context")

        _groups_for_session = d.pop("groupsForSession", UNSET)
        groups_for_session: Union[Unset, GroupMembership]
        if isinstance(_groups_for_session, Unset):
            groups_for_session = UNSET
        else:
            groups_for_session = GroupMembership.from_dict(_groups_for_session)

        include_stored_user_groups = d.pop("includeStoredUserGroups", UNSET)

        feature_flags_request = cls(
            context=context,
            groups_for_session=groups_for_session,
            include_stored_user_groups=include_stored_user_groups,
        )

        return feature_flags_request
