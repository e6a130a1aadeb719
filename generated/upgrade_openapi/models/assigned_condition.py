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


T = TypeVar("T", bound="AssignedCondition")


@_attrs_define
class AssignedCondition:
    """
    Attributes:
        id (Union[Unset, str]):
        condition_code (Union['Payload', None, Unset, str]): The code of the condition. A between-subjects factorial
            experiment of a single factor sends an object instead: the payload of the level, "" where it has none. Its value
            takes the place of the code there; factor and level are in `assignedFactor`.
        payload (Union['Payload', None, Unset]):
        experiment_id (Union[Unset, str]):
    """

    id: Union[Unset, str] = UNSET
    condition_code: Union["Payload", None, Unset, str] = UNSET
    payload: Union["Payload", None, Unset] = UNSET
    experiment_id: Union[Unset, str] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.payload import Payload

        id = self.id

        condition_code: Union[None, Unset, dict[str, Any], str]
        if isinstance(self.condition_code, Unset):
            condition_code = UNSET
        elif isinstance(self.condition_code, Payload):
            condition_code = self.condition_code.to_dict()
        else:
            condition_code = self.condition_code

        payload: Union[None, Unset, dict[str, Any]]
        if isinstance(self.payload, Unset):
            payload = UNSET
        elif isinstance(self.payload, Payload):
            payload = self.payload.to_dict()
        else:
            payload = self.payload

        experiment_id = self.experiment_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if condition_code is not UNSET:
            field_dict["conditionCode"] = condition_code
        if payload is not UNSET:
            field_dict["payload"] = payload
        if experiment_id is not UNSET:
            field_dict["experimentId"] = experiment_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.payload import Payload

        d = dict(src_dict)
        id = d.pop("id", UNSET)

        def _parse_condition_code(data: object) -> Union["Payload", None, Unset, str]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                condition_code_type_1 = Payload.from_dict(data)

                return condition_code_type_1
            except:  # noqa: E722
                pass
            return cast(Union["Payload", None, Unset, str], data)

        condition_code = _parse_condition_code(d.pop("conditionCode", UNSET))

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

        experiment_id = d.pop("experimentId", UNSET)

        assigned_condition = cls(
            id=id,
            condition_code=condition_code,
            payload=payload,
            experiment_id=experiment_id,
        )

        assigned_condition.additional_properties = d
        return assigned_condition

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
