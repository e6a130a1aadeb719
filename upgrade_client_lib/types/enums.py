"""The closed sets of values that UpGrade names.

Every member is a string and prints as the value on the wire. In answers the sets are open: a
value that a newer server adds arrives as a plain ``str`` instead of a member.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

__all__ = [
    "BinaryRewardValue",
    "BinaryRewardValueText",
    "DecisionReason",
    "DecisionSource",
    "ExperimentType",
    "MarkedDecisionPointStatus",
    "MarkedDecisionPointStatusText",
    "OutboxEventKind",
    "OutboxEventState",
    "PayloadType",
]


class _WireString(str, Enum):
    """A string enum that prints as its value on every supported Python."""

    def __str__(self) -> str:
        return str.__str__(self.value)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self.value, format_spec)


class MarkedDecisionPointStatus(_WireString):
    """What became of the condition when the user reached the decision point.

    ``CONDITION_FAILED_TO_APPLY`` excludes the user from the experiment; the other two enrol the
    user. A server 6.5 does not exclude whom it has enrolled before in a within-subjects
    experiment, or in one of groups with consistency "group" or "experiment".
    """

    CONDITION_APPLIED = "condition applied"
    CONDITION_FAILED_TO_APPLY = "condition not applied"
    NO_CONDITION_ASSIGNED = "no condition assigned"


MarkedDecisionPointStatusText = Literal[
    "condition applied", "condition not applied", "no condition assigned"
]
"""A :class:`MarkedDecisionPointStatus` as text; calls take either."""


class BinaryRewardValue(_WireString):
    """The outcome that a reward reports to an adaptive experiment."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


BinaryRewardValueText = Literal["SUCCESS", "FAILURE"]
"""A :class:`BinaryRewardValue` as text; calls take either."""


class ExperimentType(_WireString):
    """Whether an experiment varies one thing (simple) or several factors at once."""

    SIMPLE = "Simple"
    FACTORIAL = "Factorial"


class PayloadType(_WireString):
    """How the text of a payload is meant to be read; see :meth:`Payload.parse`."""

    STRING = "string"
    JSON = "json"
    CSV = "csv"


class DecisionReason(_WireString):
    """Why a decision is what it is."""

    ASSIGNED = "assigned"
    NOT_ASSIGNED = "not assigned"
    ERROR = "error"


class DecisionSource(_WireString):
    """Where a decision's answer comes from: this call, an earlier one, or one that is outdated."""

    SERVER = "server"
    CACHE = "cache"
    STALE = "stale"


class OutboxEventKind(_WireString):
    """What was handed over to the outbox."""

    MARK = "mark"
    LOG = "log"
    REWARD = "reward"


class OutboxEventState(_WireString):
    """Where an event of the outbox stands. One that the server accepted is no longer there.

    ``WAITING`` and ``SENDING`` events are delivered by themselves. The others were set aside: the
    server ``REFUSED`` it; nobody knows whether it was applied (``UNDECIDED``), and sending it again
    might count it twice; or it waited for longer than ``max_event_age`` (``EXPIRED``).
    """

    WAITING = "waiting"
    SENDING = "sending"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    EXPIRED = "expired"
