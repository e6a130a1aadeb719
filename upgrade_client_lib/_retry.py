"""When a request may be sent again, and how long to wait before that.

What may be repeated is a fact about the server: marks in within-subjects experiments and rewards
count each time, so they go out again only when the first one provably was not carried out.
"""

from __future__ import annotations

import random
import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from ._causes import causes
from .exceptions import NoConnectionError, RequestTimeoutError, UpgradeApiError

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
LONGEST_DELAYS = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)


def delay_before_retry(
    error: UpgradeApiError,
    *,
    repeatable: bool,
    retries_made: int,
    retry_after: float | None,
    before: BaseException | None,
) -> float | None:
    """Give the seconds to wait before the request is sent again, or ``None`` for not at all.

    ``retry_after`` is what the server asked for, in seconds, if it did. Otherwise the delay is
    drawn between nothing and a limit that about doubles with each retry (exponential backoff with
    full jitter). ``before`` is what the caller was handling when the call began.
    """
    if not _may_be_repeated(error, repeatable, before):
        return None
    if retry_after is not None:
        return retry_after
    longest = LONGEST_DELAYS[min(retries_made, len(LONGEST_DELAYS) - 1)]
    return random.uniform(0.0, longest)


def was_not_carried_out(status: int, retry_after: float | None) -> bool:
    """Whether an error status proves that the server did not carry out the request."""
    return 400 <= status < 500 or (status == 503 and retry_after is not None)


def seconds_of(retry_after: str | None) -> float | None:
    """Read a ``Retry-After`` header, which holds seconds or a date; ``None`` if it is neither."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max((moment - datetime.now(timezone.utc)).total_seconds(), 0.0)


def _may_be_repeated(
    error: UpgradeApiError, repeatable: bool, before: BaseException | None
) -> bool:
    if error.may_have_been_applied and not repeatable:
        return False
    if isinstance(error, (NoConnectionError, RequestTimeoutError)):
        # No second try mends a server's certificate.
        return not any(
            isinstance(one, ssl.SSLCertVerificationError) for one in causes(error, before)
        )
    return error.status_code in RETRIED_STATUSES
