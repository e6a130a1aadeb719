from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.log_metrics import LogMetrics


T = TypeVar("T", bound="LogEntry")


@_attrs_define
class LogEntry:
    """
    Attributes:
        timestamp (str): ISO 8601 with a zone; without one it is read in the server's zone.
        metrics (LogMetrics):
    """

    timestamp: str
    metrics: "LogMetrics"

    def to_dict(self) -> dict[str, Any]:
        timestamp = self.timestamp

        metrics = self.metrics.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "timestamp": timestamp,
                "metrics": metrics,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.log_metrics import LogMetrics

        d = dict(src_dict)
        timestamp = d.pop("timestamp")

        metrics = LogMetrics.from_dict(d.pop("metrics"))

        log_entry = cls(
            timestamp=timestamp,
            metrics=metrics,
        )

        return log_entry
