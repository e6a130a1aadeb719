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
    from ..models.marked_condition import MarkedCondition


T = TypeVar("T", bound="MarkData")


@_attrs_define
class MarkData:
    """
    Attributes:
        site (str):
        target (str): Empty where the decision point has no target.
        assigned_condition (Union['MarkedCondition', None, Unset]):
    """

    site: str
    target: str
    assigned_condition: Union["MarkedCondition", None, Unset] = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.marked_condition import MarkedCondition

        site = self.site

        target = self.target

        assigned_condition: Union[None, Unset, dict[str, Any]]
        if isinstance(self.assigned_condition, Unset):
            assigned_condition = UNSET
        elif isinstance(self.assigned_condition, MarkedCondition):
            assigned_condition = self.assigned_condition.to_dict()
        else:
            assigned_condition = self.assigned_condition

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "site": site,
                "target": target,
            }
        )
        if assigned_condition is not UNSET:
            field_dict["assignedCondition"] = assigned_condition

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.marked_condition import MarkedCondition

        d = dict(src_dict)
        site = d.pop("site")

        target = d.pop("target")

        def _parse_assigned_condition(
            data: object,
        ) -> Union["MarkedCondition", None, Unset]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                assigned_condition_type_0 = MarkedCondition.from_dict(data)

                return assigned_condition_type_0
            except:  # noqa: E722
                pass
            return cast(Union["MarkedCondition", None, Unset], data)

        assigned_condition = _parse_assigned_condition(
            d.pop("assignedCondition", UNSET)
        )

        mark_data = cls(
            site=site,
            target=target,
            assigned_condition=assigned_condition,
        )

        return mark_data
