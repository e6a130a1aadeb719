"""Why the server refuses a call. What a client receives for it is decided by the HTTP side."""

from __future__ import annotations

from enum import Enum

import attrs

NUL_MESSAGE = 'invalid byte sequence for encoding "UTF8": 0x00'


class Reason(Enum):
    """The kinds of refusal that a client can tell apart."""

    STRICT = "a strict server does not know a name"
    UNKNOWN_CONTEXT = "unknown context"
    ALIAS_TAKEN = "an alias belongs to another user"
    AMBIGUOUS_POINT = "a shared decision point was marked without a valid experiment"
    CONDITION_NOT_FOUND = "the experiment has no such condition"
    NO_VERSION = "the adaptive engine knows no such condition"
    NO_WORKING_GROUP = "a user excluded by group has no working group"
    NO_GROUP_TO_EXCLUDE = "a user excluded by group has no working group of the experiment's type"
    NUL_CHARACTER = "a text holds a NUL character"
    NUL_CHARACTER_IN_QUERY = "the value of a metric, or a context, holds a NUL character"
    APOSTROPHE = "a text with an apostrophe breaks the query for logged metrics"
    UNREADABLE_TIMESTAMP = "a timestamp cannot be read"
    REWARDS_DISABLED = "adaptive experiments are switched off"
    REWARD_FAILED = "a reward has no experiment or no enrolment to go to"


@attrs.frozen
class Refused(Exception):
    """The server refuses a call; ``message`` is the server's own text."""

    reason: Reason
    message: str
