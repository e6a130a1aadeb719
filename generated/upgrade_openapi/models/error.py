from collections.abc import Mapping
from typing import (
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.error_type import ErrorType
from ..types import UNSET, Unset

T = TypeVar("T", bound="Error")


@_attrs_define
class Error:
    """What went wrong. `type` is a rough class and not always apt; body parsing and database
    errors have none.

        Attributes:
            name (Union[Unset, str]):
            message (Union[Unset, str]):
            end_point (Union[Unset, str]):
            error_code (Union[Unset, int]): The HTTP status again.
            type_ (Union[ErrorType, Unset, str]):
            request (Union[Unset, Any]): The request's body again.
    """

    name: Union[Unset, str] = UNSET
    message: Union[Unset, str] = UNSET
    end_point: Union[Unset, str] = UNSET
    error_code: Union[Unset, int] = UNSET
    type_: Union[ErrorType, Unset, str] = UNSET
    request: Union[Unset, Any] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        message = self.message

        end_point = self.end_point

        error_code = self.error_code

        type_: Union[Unset, str]
        if isinstance(self.type_, Unset):
            type_ = UNSET
        elif isinstance(self.type_, ErrorType):
            type_ = self.type_.value
        else:
            type_ = self.type_

        request = self.request

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if message is not UNSET:
            field_dict["message"] = message
        if end_point is not UNSET:
            field_dict["endPoint"] = end_point
        if error_code is not UNSET:
            field_dict["errorCode"] = error_code
        if type_ is not UNSET:
            field_dict["type"] = type_
        if request is not UNSET:
            field_dict["request"] = request

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name", UNSET)

        message = d.pop("message", UNSET)

        end_point = d.pop("endPoint", UNSET)

        error_code = d.pop("errorCode", UNSET)

        def _parse_type_(data: object) -> Union[ErrorType, Unset, str]:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                type_type_0 = ErrorType(data)

                return type_type_0
            except:  # noqa: E722
                pass
            return cast(Union[ErrorType, Unset, str], data)

        type_ = _parse_type_(d.pop("type", UNSET))

        request = d.pop("request", UNSET)

        error = cls(
            name=name,
            message=message,
            end_point=end_point,
            error_code=error_code,
            type_=type_,
            request=request,
        )

        error.additional_properties = d
        return error

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
