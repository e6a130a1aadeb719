from collections.abc import Mapping
from typing import (
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="MarkedCondition")


@_attrs_define
class MarkedCondition:
    """
    Attributes:
        condition_code (Union[None, Unset, str]): Null says that there was no condition.
        experiment_id (Union[None, Unset, str]):
        id (Union[None, Unset, str]):
    """

    condition_code: Union[None, Unset, str] = UNSET
    experiment_id: Union[None, Unset, str] = UNSET
    id: Union[None, Unset, str] = UNSET

    def to_dict(self) -> dict[str, Any]:
        condition_code: Union[None, Unset, str]
        if isinstance(self.condition_code, Unset):
            condition_code = UNSET
        else:
            condition_code = self.condition_code

        experiment_id: Union[None, Unset, str]
        if isinstance(self.experiment_id, Unset):
            experiment_id = UNSET
        else:
            experiment_id = self.experiment_id

        id: Union[None, Unset, str]
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if condition_code is not UNSET:
            field_dict["conditionCode"] = condition_code
        if experiment_id is not UNSET:
            field_dict["experimentId"] = experiment_id
        if id is not UNSET:
            field_dict["id"] = id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_condition_code(data: object) -> Union[None, Unset, str]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(Union[None, Unset, str], data)

        condition_code = _parse_condition_code(d.pop("conditionCode", UNSET))

        def _parse_experiment_id(data: object) -> Union[None, Unset, str]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(Union[None, Unset, str], data)

        experiment_id = _parse_experiment_id(d.pop("experimentId", UNSET))

        def _parse_id(data: object) -> Union[None, Unset, str]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(Union[None, Unset, str], data)

        id = _parse_id(d.pop("id", UNSET))

        marked_condition = cls(
            condition_code=condition_code,
            experiment_id=experiment_id,
            id=id,
        )

        return marked_condition
