"""When a request may be sent again, and how long to wait before that.

What may be sent twice is a fact about the server: marks in within-subjects experiments and rewards
count each time, so they are sent again only when the first one provably was not applied.
"""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import attrs

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
LONGEST_DELAYS = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)


@attrs.frozen
class Failure:
    """How an attempt failed.

    ``status`` is that of an error response, ``None`` where there was none: the server could not be
    reached, or did not answer in time (``timed_out``: it may still be working on the request).
    ``is_permanent`` says that another attempt would fail in the same way, as with a certificate
    that cannot be verified.
    """

    status: int | None
    may_have_been_applied: bool
    is_permanent: bool = False
    timed_out: bool = False


def may_be_sent_again(failure: Failure, *, idempotent: bool, may_overlap: bool) -> bool:
    """Whether another attempt is safe, and could have another outcome.

    ``may_overlap`` says that the server bears another attempt while it works on the first one.
    """
    if failure.timed_out and failure.may_have_been_applied and not may_overlap:
        return False
    if failure.may_have_been_applied and not idempotent:
        return False
    if failure.status is None:
        return not failure.is_permanent
    return failure.status in RETRIED_STATUSES


def longest_delay(retries_made: int) -> float:
    """Return the limit, in seconds, below which the delay before the next retry is drawn.

    It about doubles with each retry: exponential backoff with full jitter.
    """
    return LONGEST_DELAYS[min(retries_made, len(LONGEST_DELAYS) - 1)]


def proves_not_applied(status: int, *, by_upgrade: bool) -> bool:
    """Whether an error response proves that the server did not apply the request.

    ``by_upgrade`` says that UpGrade itself wrote it. A proxy may answer 429 or 503, with or without
    ``Retry-After``, after it passed the request on; UpGrade refuses before it applies anything.
    """
    return 400 <= status < 500 and (status != 429 or by_upgrade)


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number of them, or a date.

    ``None`` if it is neither. ``now`` is an aware datetime.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max((moment - now).total_seconds(), 0.0)
