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

from ..models.experiment_type import ExperimentType
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.assigned_condition import AssignedCondition
    from ..models.assigned_factor import AssignedFactor


T = TypeVar("T", bound="DecisionPointAssignment")


@_attrs_define
class DecisionPointAssignment:
    """
    Attributes:
        site (str):
        assigned_condition (list['AssignedCondition']): One condition, or in a within-subjects experiment the whole
            queue, the next one first.
        target (Union[None, Unset, str]): Null and empty mean the same.
        experiment_type (Union[ExperimentType, Unset, str]):
        assigned_factor (Union[Unset, list['AssignedFactor']]): Factorial experiments only; runs parallel to
            `assignedCondition`.
    """

    site: str
    assigned_condition: list["AssignedCondition"]
    target: Union[None, Unset, str] = UNSET
    experiment_type: Union[ExperimentType, Unset, str] = UNSET
    assigned_factor: Union[Unset, list["AssignedFactor"]] = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        site = self.site

        assigned_condition = []
        for assigned_condition_item_data in self.assigned_condition:
            assigned_condition_item = assigned_condition_item_data.to_dict()
            assigned_condition.append(assigned_condition_item)

        target: Union[None, Unset, str]
        if isinstance(self.target, Unset):
            target = UNSET
        else:
            target = self.target

        experiment_type: Union[Unset, str]
        if isinstance(self.experiment_type, Unset):
            experiment_type = UNSET
        elif isinstance(self.experiment_type, ExperimentType):
            experiment_type = self.experiment_type.value
        else:
            experiment_type = self.experiment_type

        assigned_factor: Union[Unset, list[dict[str, Any]]] = UNSET
        if not isinstance(self.assigned_factor, Unset):
            assigned_factor = []
            for assigned_factor_item_data in self.assigned_factor:
                assigned_factor_item = assigned_factor_item_data.to_dict()
                assigned_factor.append(assigned_factor_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "site": site,
                "assignedCondition": assigned_condition,
            }
        )
        if target is not UNSET:
            field_dict["target"] = target
        if experiment_type is not UNSET:
            field_dict["experimentType"] = experiment_type
        if assigned_factor is not UNSET:
            field_dict["assignedFactor"] = assigned_factor

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.assigned_condition import AssignedCondition
        from ..models.assigned_factor import AssignedFactor

        d = dict(src_dict)
        site = d.pop("site")

        assigned_condition = []
        _assigned_condition = d.pop("assignedCondition")
        for assigned_condition_item_data in _assigned_condition:
            assigned_condition_item = AssignedCondition.from_dict(
                assigned_condition_item_data
            )

            assigned_condition.append(assigned_condition_item)

        def _parse_target(data: object) -> Union[None, Unset, str]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(Union[None, Unset, str], data)

        target = _parse_target(d.pop("target", UNSET))

        def _parse_experiment_type(data: object) -> Union[ExperimentType, Unset, str]:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                experiment_type_type_0 = ExperimentType(data)

                return experiment_type_type_0
            except:  # noqa: E722
                pass
            return cast(Union[ExperimentType, Unset, str], data)

        experiment_type = _parse_experiment_type(d.pop("experimentType", UNSET))

        assigned_factor = []
        _assigned_factor = d.pop("assignedFactor", UNSET)
        for assigned_factor_item_data in _assigned_factor or []:
            assigned_factor_item = AssignedFactor.from_dict(assigned_factor_item_data)

            assigned_factor.append(assigned_factor_item)

        decision_point_assignment = cls(
            site=site,
            assigned_condition=assigned_condition,
            target=target,
            experiment_type=experiment_type,
            assigned_factor=assigned_factor,
        )

        decision_point_assignment.additional_properties = d
        return decision_point_assignment

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
