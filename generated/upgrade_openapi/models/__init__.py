"""Contains all the data models used in inputs/outputs, each loaded when it is first used"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assign_request import AssignRequest
    from .assigned_condition import AssignedCondition
    from .assigned_factor import AssignedFactor
    from .assigned_level import AssignedLevel
    from .decision_point_assignment import DecisionPointAssignment
    from .error import Error
    from .error_type import ErrorType
    from .experiment_type import ExperimentType
    from .experiment_user import ExperimentUser
    from .feature_flags_request import FeatureFlagsRequest
    from .group_membership import GroupMembership
    from .group_membership_request import GroupMembershipRequest
    from .init_request import InitRequest
    from .log_attributes import LogAttributes
    from .log_entry import LogEntry
    from .log_group_metrics import LogGroupMetrics
    from .log_metrics import LogMetrics
    from .log_record import LogRecord
    from .log_request import LogRequest
    from .mark_data import MarkData
    from .mark_request import MarkRequest
    from .mark_status import MarkStatus
    from .marked_condition import MarkedCondition
    from .marked_decision_point import MarkedDecisionPoint
    from .payload import Payload
    from .payload_type import PayloadType
    from .reward import Reward
    from .reward_answer import RewardAnswer
    from .reward_decision_point import RewardDecisionPoint
    from .reward_request import RewardRequest
    from .reward_value import RewardValue
    from .user_aliases import UserAliases
    from .user_aliases_request import UserAliasesRequest
    from .working_group import WorkingGroup
    from .working_group_request import WorkingGroupRequest

__all__ = (
    "AssignedCondition",
    "AssignedFactor",
    "AssignedLevel",
    "AssignRequest",
    "DecisionPointAssignment",
    "Error",
    "ErrorType",
    "ExperimentType",
    "ExperimentUser",
    "FeatureFlagsRequest",
    "GroupMembership",
    "GroupMembershipRequest",
    "InitRequest",
    "LogAttributes",
    "LogEntry",
    "LogGroupMetrics",
    "LogMetrics",
    "LogRecord",
    "LogRequest",
    "MarkData",
    "MarkedCondition",
    "MarkedDecisionPoint",
    "MarkRequest",
    "MarkStatus",
    "Payload",
    "PayloadType",
    "Reward",
    "RewardAnswer",
    "RewardDecisionPoint",
    "RewardRequest",
    "RewardValue",
    "UserAliases",
    "UserAliasesRequest",
    "WorkingGroup",
    "WorkingGroupRequest",
)

_MODULES = {
    "AssignRequest": ".assign_request",
    "AssignedCondition": ".assigned_condition",
    "AssignedFactor": ".assigned_factor",
    "AssignedLevel": ".assigned_level",
    "DecisionPointAssignment": ".decision_point_assignment",
    "Error": ".error",
    "ErrorType": ".error_type",
    "ExperimentType": ".experiment_type",
    "ExperimentUser": ".experiment_user",
    "FeatureFlagsRequest": ".feature_flags_request",
    "GroupMembership": ".group_membership",
    "GroupMembershipRequest": ".group_membership_request",
    "InitRequest": ".init_request",
    "LogAttributes": ".log_attributes",
    "LogEntry": ".log_entry",
    "LogGroupMetrics": ".log_group_metrics",
    "LogMetrics": ".log_metrics",
    "LogRecord": ".log_record",
    "LogRequest": ".log_request",
    "MarkData": ".mark_data",
    "MarkRequest": ".mark_request",
    "MarkStatus": ".mark_status",
    "MarkedCondition": ".marked_condition",
    "MarkedDecisionPoint": ".marked_decision_point",
    "Payload": ".payload",
    "PayloadType": ".payload_type",
    "Reward": ".reward",
    "RewardAnswer": ".reward_answer",
    "RewardDecisionPoint": ".reward_decision_point",
    "RewardRequest": ".reward_request",
    "RewardValue": ".reward_value",
    "UserAliases": ".user_aliases",
    "UserAliasesRequest": ".user_aliases_request",
    "WorkingGroup": ".working_group",
    "WorkingGroupRequest": ".working_group_request",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name], __name__), name)
