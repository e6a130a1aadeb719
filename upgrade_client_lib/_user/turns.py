"""One flag request at a time for each user of a server, in this process.

Two overlapping first flag requests of one user end the process of an UpGrade 6.5.0 server.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Callable, TypeVar

from .._fork import call_after_fork
from .._http import CallOptions
from .._locks import held
from .._sync import Backend
from ..exceptions import RequestTimeoutError

T = TypeVar("T")

RECHECK_SECONDS = 0.5
"""How soon a waiter notices that a turn was dropped by an interrupt, without having ended."""


class _Turn:
    """The right of one request to be sent.

    It ends when its future is done, when it is dropped, or when its call's time is over: an event
    loop may have stopped on the way.
    """

    __slots__ = ("__weakref__", "deadline", "ended")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # so that no waiter can cancel it


_lock = threading.RLock()
_turns: weakref.WeakValueDictionary[tuple[str, str], _Turn] = weakref.WeakValueDictionary()


def _reset_after_fork() -> None:
    """In a child process: the parent's requests do not end here."""
    global _lock, _turns
    _lock = threading.RLock()
    _turns = weakref.WeakValueDictionary()


call_after_fork(_reset_after_fork)


async def in_turn(
    backend: Backend,
    host_url: str,
    user_id: str,
    options: CallOptions,
    send: Callable[[CallOptions], Awaitable[T]],
) -> T:
    """Send a request once no other of this user is on its way, within the call's time."""
    deadline = time.monotonic() + options.timeout.total
    key = host_url, user_id
    own = _Turn(deadline)
    while True:
        with held(_lock):
            running = _turns.get(key)
            if running is None or time.monotonic() >= running.deadline:
                _turns[key] = own
                break
        ended = running.ended
        del running
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeoutError(
                f"no answer within {options.timeout.total:g} s: another request for this user's"
                " flags is still under way"
            )
        try:
            await backend.wait(ended, min(left, RECHECK_SECONDS))
        except TimeoutError:
            continue
    try:
        return await send(options.within(deadline - time.monotonic()))
    finally:
        with held(_lock):
            if _turns.get(key) is own:
                del _turns[key]
        own.ended.set_result(None)
