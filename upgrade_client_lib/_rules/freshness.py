"""Whether a response is still good for a decision point."""

from __future__ import annotations

from .queues import Mark, PointState, contradicts


def is_fresh(answered_at: float, now: float, max_age: float) -> bool:
    """Whether an answer may be used without asking again; times are those of ``time.time()``.

    An answer from the future, after the clock was set back, is not.
    """
    return 0 <= now - answered_at < max_age


def is_outdated_by(mark: Mark, state: PointState) -> bool:
    """Whether a mark that overlapped a request leaves open what the response says of its point.

    The server may have seen either one first, so the response may or may not include the mark.
    That matters where a mark advances a queue, or may have changed the condition.
    """
    return state.has_queue or contradicts(mark, state)
