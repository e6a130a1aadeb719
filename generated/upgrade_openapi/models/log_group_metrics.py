from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.log_attributes import LogAttributes


T = TypeVar("T", bound="LogGroupMetrics")


@_attrs_define
class LogGroupMetrics:
    """
    Attributes:
        group_class (str):
        group_key (str):
        group_uniquifier (str):
        attributes (LogAttributes): Metric names and their values, numbers or texts that are not empty.
    """

    group_class: str
    group_key: str
    group_uniquifier: str
    attributes: "LogAttributes"

    def to_dict(self) -> dict[str, Any]:
        group_class = self.group_class

        group_key = self.group_key

        group_uniquifier = self.group_uniquifier

        attributes = self.attributes.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "groupClass": group_class,
                "groupKey": group_key,
                "groupUniquifier": group_uniquifier,
                "attributes": attributes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.log_attributes import LogAttributes

        d = dict(src_dict)
        group_class = d.pop("groupClass")

        group_key = d.pop("groupKey")

        group_uniquifier = d.pop("groupUniquifier")

        attributes = LogAttributes.from_dict(d.pop("attributes"))

        log_group_metrics = cls(
            group_class=group_class,
            group_key=group_key,
            group_uniquifier=group_uniquifier,
            attributes=attributes,
        )

        return log_group_metrics
