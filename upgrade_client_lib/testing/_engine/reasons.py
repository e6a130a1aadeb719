"""Why the server refuses a call. What a client receives for it is decided by the HTTP side."""

from __future__ import annotations

from enum import Enum

import attrs


class Reason(Enum):
    """The kinds of refusal that a client can tell apart."""

    UNKNOWN_CONTEXT = "unknown context"
    ALIAS_TAKEN = "an alias belongs to another user"
    AMBIGUOUS_POINT = "a shared decision point was marked without a valid experiment"
    CONDITION_NOT_FOUND = "the experiment has no such condition"
    NUL_CHARACTER = "a text holds a NUL character"
    METRIC_NUL_CHARACTER = "the value of a metric holds a NUL character"
    UNREADABLE_TIMESTAMP = "a timestamp cannot be read"
    REWARDS_DISABLED = "adaptive experiments are switched off"
    REWARD_FAILED = "a reward has no experiment or no enrolment to go to"


@attrs.frozen
class Refused(Exception):
    """The server refuses a call; ``message`` is the server's own text."""

    reason: Reason
    message: str
