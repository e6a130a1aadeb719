"""The documented types: enums, what is sent (requests) and what comes back (responses)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import load
from .enums import (
    BinaryRewardValue,
    BinaryRewardValueText,
    DecisionReason,
    DecisionSource,
    ExperimentType,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
    OutboxEventKind,
    OutboxEventState,
    PayloadType,
)

if TYPE_CHECKING:
    from .outbox import OutboxEvent
    from .requests import DecisionPoint, LogGroupMetrics, LogInput, LogMetrics, MetricValue
    from .responses import (
        ExperimentUser,
        FeatureFlag,
        LogRecord,
        MarkedDecisionPoint,
        Payload,
        Reward,
        RewardResponse,
        UserAliases,
    )

__all__ = [
    "BinaryRewardValue",
    "BinaryRewardValueText",
    "DecisionPoint",
    "DecisionReason",
    "DecisionSource",
    "ExperimentType",
    "ExperimentUser",
    "FeatureFlag",
    "LogGroupMetrics",
    "LogInput",
    "LogMetrics",
    "LogRecord",
    "MarkedDecisionPoint",
    "MarkedDecisionPointStatus",
    "MarkedDecisionPointStatusText",
    "MetricValue",
    "OutboxEvent",
    "OutboxEventKind",
    "OutboxEventState",
    "Payload",
    "PayloadType",
    "Reward",
    "RewardResponse",
    "UserAliases",
]

_LAZY_MODULES = {
    "DecisionPoint": "requests",
    "ExperimentUser": "responses",
    "FeatureFlag": "responses",
    "LogGroupMetrics": "requests",
    "LogInput": "requests",
    "LogMetrics": "requests",
    "LogRecord": "responses",
    "MarkedDecisionPoint": "responses",
    "MetricValue": "requests",
    "OutboxEvent": "outbox",
    "Payload": "responses",
    "Reward": "responses",
    "RewardResponse": "responses",
    "UserAliases": "responses",
}


def __getattr__(name: str) -> object:
    return load(__name__, _LAZY_MODULES, name)
