"""The documented types: enums, what is sent (requests) and what comes back (responses)."""

from __future__ import annotations

from .enums import (
    BinaryRewardValue,
    ExperimentType,
    MarkedDecisionPointStatus,
    PayloadType,
)
from .requests import (
    DecisionPoint,
    LogGroupMetrics,
    LogInput,
    LogMetrics,
    MetricValue,
)
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
    "DecisionPoint",
    "ExperimentType",
    "ExperimentUser",
    "FeatureFlag",
    "LogGroupMetrics",
    "LogInput",
    "LogMetrics",
    "LogRecord",
    "MarkedDecisionPoint",
    "MarkedDecisionPointStatus",
    "MetricValue",
    "Payload",
    "PayloadType",
    "Reward",
    "RewardResponse",
    "UserAliases",
]
