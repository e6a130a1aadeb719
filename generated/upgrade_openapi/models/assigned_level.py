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
    from ..models.payload import Payload


T = TypeVar("T", bound="AssignedLevel")


@_attrs_define
class AssignedLevel:
    """
    Attributes:
        level (str):
        payload (Union['Payload', None, Unset]):
    """

    level: str
    payload: Union["Payload", None, Unset] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.payload import Payload

        level = self.level

        payload: Union[None, Unset, dict[str, Any]]
        if isinstance(self.payload, Unset):
            payload = UNSET
        elif isinstance(self.payload, Payload):
            payload = self.payload.to_dict()
        else:
            payload = self.payload

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "level": level,
            }
        )
        if payload is not UNSET:
            field_dict["payload"] = payload

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.payload import Payload

        d = dict(src_dict)
        level = d.pop("level")

        def _parse_payload(data: object) -> Union["Payload", None, Unset]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                payload_type_0 = Payload.from_dict(data)

                return payload_type_0
            except:  # noqa: E722
                pass
            return cast(Union["Payload", None, Unset], data)

        payload = _parse_payload(d.pop("payload", UNSET))

        assigned_level = cls(
            level=level,
            payload=payload,
        )

        assigned_level.additional_properties = d
        return assigned_level

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
