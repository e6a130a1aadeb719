from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="AssignRequest")


@_attrs_define
class AssignRequest:
    """
    Attributes:
        context (str): The application's context, in the server's own letter case.
    """

    context: str

    def to_dict(self) -> dict[str, Any]:
        context = self.context

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "context": context,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        context = d.pop("context")

        assign_request = cls(
            context=context,
        )

        return assign_request
