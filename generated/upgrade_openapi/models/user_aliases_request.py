from collections.abc import Mapping
from typing import (
    Any,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="UserAliasesRequest")


@_attrs_define
class UserAliasesRequest:
    """
    Attributes:
        aliases (list[str]): Each once; a duplicate can keep all of them from being linked.
    """

    aliases: list[str]

    def to_dict(self) -> dict[str, Any]:
        aliases = self.aliases

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "aliases": aliases,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        aliases = cast(list[str], d.pop("aliases"))

        user_aliases_request = cls(
            aliases=aliases,
        )

        return user_aliases_request
