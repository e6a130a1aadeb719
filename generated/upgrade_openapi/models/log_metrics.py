from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.log_attributes import LogAttributes
    from ..models.log_group_metrics import LogGroupMetrics


T = TypeVar("T", bound="LogMetrics")


@_attrs_define
class LogMetrics:
    """
    Attributes:
        attributes (Union[Unset, LogAttributes]): Metric names and their values, numbers or texts that are not empty.
        grouped_metrics (Union[Unset, list['LogGroupMetrics']]):
    """

    attributes: Union[Unset, "LogAttributes"] = UNSET
    grouped_metrics: Union[Unset, list["LogGroupMetrics"]] = UNSET

    def to_dict(self) -> dict[str, Any]:
        attributes: Union[Unset, dict[str, Any]] = UNSET
        if not isinstance(self.attributes, Unset):
            attributes = self.attributes.to_dict()

        grouped_metrics: Union[Unset, list[dict[str, Any]]] = UNSET
        if not isinstance(self.grouped_metrics, Unset):
            grouped_metrics = []
            for grouped_metrics_item_data in self.grouped_metrics:
                grouped_metrics_item = grouped_metrics_item_data.to_dict()
                grouped_metrics.append(grouped_metrics_item)

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if attributes is not UNSET:
            field_dict["attributes"] = attributes
        if grouped_metrics is not UNSET:
            field_dict["groupedMetrics"] = grouped_metrics

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.log_attributes import LogAttributes
        from ..models.log_group_metrics import LogGroupMetrics

        d = dict(src_dict)
        _attributes = d.pop("attributes", UNSET)
        attributes: Union[Unset, LogAttributes]
        if isinstance(_attributes, Unset):
            attributes = UNSET
        else:
            attributes = LogAttributes.from_dict(_attributes)

        grouped_metrics = []
        _grouped_metrics = d.pop("groupedMetrics", UNSET)
        for grouped_metrics_item_data in _grouped_metrics or []:
            grouped_metrics_item = LogGroupMetrics.from_dict(grouped_metrics_item_data)

            grouped_metrics.append(grouped_metrics_item)

        log_metrics = cls(
            attributes=attributes,
            grouped_metrics=grouped_metrics,
        )

        return log_metrics
