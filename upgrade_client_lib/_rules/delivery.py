"""What becomes of an event whose sending failed, and when it may be sent again.

An event is a mark, a log or a reward that was handed over. What follows is what a real server does:
it refuses before it applies anything, and while its database restarts it answers 500 and stores
nothing. A mark that is not one of a queue, and a log, are stored once however often they are sent
one after the other; a mark of a queue and a reward count each time.
"""

from __future__ import annotations

from typing import Literal

import attrs

Kind = Literal["mark", "log", "reward"]

Fate = Literal["refused", "again", "later", "initialize", "undecided"]
"""Set aside as refused; sent again as soon as the server can be used, or after a growing wait, or
once the user is initialised; or set aside, since nobody knows whether it was applied."""

LINE_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""How long, in seconds, a user's events wait after the server failed on one of them."""

MAX_ATTEMPTS = 1 + len(LINE_DELAYS)

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long all events wait while the server cannot be used, the last one again and again."""

QUIET_SECONDS = 30.0
"""How long a server may still be at work on a request that nobody waits for any more."""

_REFUSED_BY_ANYBODY = frozenset({413, 415, 431})
"""A refusal whoever says so: the request is too large, or not understood."""


@attrs.frozen
class Failure:
    """How sending an event failed.

    ``status`` is that of the response, ``None`` for none. ``from_upgrade`` says that UpGrade itself
    wrote it, and ``error_type`` is what it then calls the error.
    """

    status: int | None
    may_have_been_applied: bool
    from_upgrade: bool = False
    error_type: str | None = None
    is_uninitialized: bool = False


@attrs.frozen
class Verdict:
    """What becomes of the event, and whether all events wait since the server cannot be used.

    ``may_have_been_applied`` says that the server may have done what it was sent.
    """

    fate: Fate
    pauses: bool = False
    delay: float = 0.0
    may_have_been_applied: bool = False


_UNDECIDED = Verdict("undecided", may_have_been_applied=True)


def verdict(failure: Failure, *, attempts: int, is_repeatable: bool, has_queue: bool) -> Verdict:
    """Return what becomes of an event that was sent ``attempts`` times.

    ``is_repeatable`` says that the event is stored once, even if it is sent twice. ``has_queue``
    says that it is a mark in a within-subjects experiment.
    """
    status = failure.status
    if failure.is_uninitialized:
        return Verdict("initialize")
    if failure.from_upgrade and status is not None:
        if 500 <= status < 600 and not _is_bad_condition(failure.error_type):
            return _UNDECIDED if has_queue else after_failure(attempts)
        if status not in (401, 403, 408, 429) and (400 <= status < 500 or status == 500):
            return Verdict("refused")
    if status in _REFUSED_BY_ANYBODY:
        return Verdict("refused")
    if status is not None and 300 <= status < 400:
        return Verdict("again", pauses=True)
    if not failure.may_have_been_applied:
        is_of_this_event = status is not None and status not in (401, 403, 404, 408, 429)
        return after_failure(attempts) if is_of_this_event else Verdict("again", pauses=True)
    uncertain = after_uncertainty(attempts, is_repeatable=is_repeatable)
    return attrs.evolve(uncertain, pauses=True)


def after_failure(attempts: int) -> Verdict:
    """Return what becomes of an event on which the server failed, without applying it."""
    if attempts >= MAX_ATTEMPTS:
        return Verdict("refused")
    return Verdict("later", delay=LINE_DELAYS[attempts - 1])


def after_uncertainty(attempts: int, *, is_repeatable: bool) -> Verdict:
    """Return what becomes of an event that may have been applied."""
    if not is_repeatable or attempts >= MAX_ATTEMPTS:
        return _UNDECIDED
    return Verdict("later", delay=QUIET_SECONDS, may_have_been_applied=True)


def pause_after(failures: int) -> float:
    """Return for how many seconds all events wait after so many failures in a row."""
    return PAUSES[min(failures, len(PAUSES)) - 1]


def is_repeatable(kind: Kind, *, experiment_id: str | None, has_queue: bool) -> bool:
    """Whether the server stores an event once, however often it is sent, one after the other."""
    if kind == "mark":
        return experiment_id is not None and not has_queue
    return kind == "log"


def _is_bad_condition(error_type: str | None) -> bool:
    """Whether a 500 refuses the event, rather than telling that the server failed."""
    said = (error_type or "").lower()
    return said == "condition not found" or "mooclet" in said
