"""What a server is set up with: experiments, feature flags, metrics; from code or from exports."""

from __future__ import annotations

from .build import (
    Factors,
    Groups,
    Payloads,
    PayloadValue,
    PointKeys,
    Weights,
    build_experiment,
    build_filter,
    build_segment,
    stable_id,
)
from .catalogue import Catalogue, PointKey
from .checks import check_experiment, check_text
from .export_items import Export
from .export_segments import SegmentReader
from .exports import read_experiments, read_flags, read_metrics
from .model import (
    ENROLLING,
    ENROLLMENT_COMPLETE,
    EXPERIMENT,
    GROUP,
    INDIVIDUAL,
    METRIC_SEPARATOR,
    ORDERED_ROUND_ROBIN,
    RANDOM,
    WITHIN_SUBJECTS,
    Condition,
    DecisionPoint,
    Experiment,
    FeatureFlag,
    Filter,
    Level,
    Metric,
    Payload,
    Segment,
    payload_for_code,
)

__all__ = [
    "ENROLLING",
    "ENROLLMENT_COMPLETE",
    "EXPERIMENT",
    "GROUP",
    "INDIVIDUAL",
    "METRIC_SEPARATOR",
    "ORDERED_ROUND_ROBIN",
    "RANDOM",
    "WITHIN_SUBJECTS",
    "Catalogue",
    "Condition",
    "DecisionPoint",
    "Experiment",
    "Export",
    "Factors",
    "FeatureFlag",
    "Filter",
    "Groups",
    "Level",
    "Metric",
    "Payload",
    "PayloadValue",
    "Payloads",
    "PointKey",
    "PointKeys",
    "Segment",
    "SegmentReader",
    "Weights",
    "build_experiment",
    "build_filter",
    "build_segment",
    "check_experiment",
    "check_text",
    "payload_for_code",
    "read_experiments",
    "read_flags",
    "read_metrics",
    "stable_id",
]
