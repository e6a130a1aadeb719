from collections.abc import Mapping
from typing import (
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="LogRecord")


@_attrs_define
class LogRecord:
    """One stored row. A new row comes with its `metrics` and its `user`, an updated one with the
    `userId`.

        Attributes:
            id (int):
            uniquifier (str):
            time_stamp (str): ISO 8601, UTC.
            data (Any): An object, the values that are now stored.
            user_id (Union[Unset, str]):
            user (Union[Unset, Any]): An object, the user as stored.
            metrics (Union[Unset, list[Any]]): The definitions of the metrics; an element may be null.
    """

    id: int
    uniquifier: str
    time_stamp: str
    data: Any
    user_id: Union[Unset, str] = UNSET
    user: Union[Unset, Any] = UNSET
    metrics: Union[Unset, list[Any]] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        uniquifier = self.uniquifier

        time_stamp = self.time_stamp

        data = self.data

        user_id = self.user_id

        user = self.user

        metrics: Union[Unset, list[Any]] = UNSET
        if not isinstance(self.metrics, Unset):
            metrics = self.metrics

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "uniquifier": uniquifier,
                "timeStamp": time_stamp,
                "data": data,
            }
        )
        if user_id is not UNSET:
            field_dict["userId"] = user_id
        if user is not UNSET:
            field_dict["user"] = user
        if metrics is not UNSET:
            field_dict["metrics"] = metrics

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        uniquifier = d.pop("uniquifier")

        time_stamp = d.pop("timeStamp")

        data = d.pop("data")

        user_id = d.pop("userId", UNSET)

        user = d.pop("user", UNSET)

        metrics = cast(list[Any], d.pop("metrics", UNSET))

        log_record = cls(
            id=id,
            uniquifier=uniquifier,
            time_stamp=time_stamp,
            data=data,
            user_id=user_id,
            user=user,
            metrics=metrics,
        )

        log_record.additional_properties = d
        return log_record

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
