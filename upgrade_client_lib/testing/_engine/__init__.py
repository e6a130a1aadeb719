"""What the real server decides and keeps, without HTTP: values in, values or a reason out."""

from __future__ import annotations

from .assignments import AssignedPoint, assign, check_context
from .draw import draw_condition
from .explanation import Explanation, explain
from .flags import flags_on
from .logs import LogEntry, LogGroup, log
from .marks import mark
from .reasons import Reason, Refused
from .records import LoggedMetric, Mark, Reward
from .rewards import RewardTarget, reward
from .seedrandom import fraction
from .state import ServerState
from .store import LogRow, Store, User, sorted_groups
from .timestamps import write_timestamp
from .users import leave_working_groups, link_aliases

__all__ = [
    "AssignedPoint",
    "Explanation",
    "LogEntry",
    "LogGroup",
    "LogRow",
    "LoggedMetric",
    "Mark",
    "Reason",
    "Refused",
    "Reward",
    "RewardTarget",
    "ServerState",
    "Store",
    "User",
    "assign",
    "check_context",
    "draw_condition",
    "explain",
    "flags_on",
    "fraction",
    "leave_working_groups",
    "link_aliases",
    "log",
    "mark",
    "reward",
    "sorted_groups",
    "write_timestamp",
]
