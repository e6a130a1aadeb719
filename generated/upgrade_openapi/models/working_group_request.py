from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.working_group import WorkingGroup


T = TypeVar("T", bound="WorkingGroupRequest")


@_attrs_define
class WorkingGroupRequest:
    """
    Attributes:
        working_group (WorkingGroup): The one group of each type that a user is working in.
    """

    working_group: "WorkingGroup"

    def to_dict(self) -> dict[str, Any]:
        working_group = self.working_group.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "workingGroup": working_group,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.working_group import WorkingGroup

        d = dict(src_dict)
        working_group = WorkingGroup.from_dict(d.pop("workingGroup"))

        working_group_request = cls(
            working_group=working_group,
        )

        return working_group_request
