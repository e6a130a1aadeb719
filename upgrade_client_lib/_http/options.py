"""How long a call may take, and how often it may be sent again."""

from __future__ import annotations

import time
from typing import Union

import attrs

from .._rules.arguments import A_DAY
from .messages import AttemptLimits


def _seconds(instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout {attribute.name} must be a number of seconds, not {value!r}")
    if not 0 < value <= A_DAY:
        raise ValueError(
            f"timeout {attribute.name} must be a positive, finite number of seconds, a day at the"
            f" most, not {value!r}"
        )


@attrs.frozen(kw_only=True)
class Timeout:
    """How long one call may take, in seconds.

    ``total`` bounds the whole call: every attempt, every wait between attempts, and however
    slowly the bytes arrive (a mark spends at most half of it on finding out its ids). The others
    bound one step of one attempt: ``connect`` making a connection to one of the host's addresses,
    ``read`` and ``write`` each wait for the socket, ``pool`` the wait for a free connection. The
    defaults suit a call made while a page is being built.

    Not bounded is what a blocking httpx client or transport of your own does: its steps add up, and
    its ``read`` starts afresh with every byte of the headers.

    >>> UpgradeConnection("https://upgrade.example.org", timeout=Timeout(total=2.0))
    """

    total: float = attrs.field(default=6.0, validator=_seconds)
    connect: float = attrs.field(default=2.0, validator=_seconds)
    read: float = attrs.field(default=5.0, validator=_seconds)
    write: float = attrs.field(default=5.0, validator=_seconds)
    pool: float = attrs.field(default=2.0, validator=_seconds)


TimeoutOption = Union[Timeout, float]


@attrs.frozen
class CallOptions:
    """What governs one call."""

    timeout: Timeout
    retries: int

    def within(self, seconds: float) -> CallOptions:
        """Return the same options for a part of the call that has these seconds."""
        return CallOptions(attrs.evolve(self.timeout, total=max(seconds, 1e-3)), self.retries)

    def is_stricter_than(self, other: CallOptions) -> bool:
        """Whether a call may fail with these options where it would go on with the others."""
        if self.retries < other.retries:
            return True
        own, others = (attrs.astuple(options.timeout) for options in (self, other))
        return any(seconds < longer for seconds, longer in zip(own, others))

    def attempt_limits(self, deadline: float) -> AttemptLimits:
        """Return the limits of one attempt, whose wait for a slot ends with the call's time."""
        left = max(deadline - time.monotonic(), 1e-3)
        return AttemptLimits(
            connect=self.timeout.connect,
            read=self.timeout.read,
            write=self.timeout.write,
            pool=min(self.timeout.pool, left),
            deadline=deadline,
        )


DEFAULT_OPTIONS = CallOptions(Timeout(), retries=2)


def timeout_option(value: object) -> Timeout:
    """A ``Timeout``, or the seconds that the whole call may take."""
    if isinstance(value, Timeout):
        return value
    return Timeout(total=value)  # type: ignore[arg-type]  # which checks what it is given


def retries_option(value: object) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"retries must be a whole number, not {value!r}")
    if value < 0:
        raise ValueError(f"retries must be 0 or more, not {value}")
    return value
