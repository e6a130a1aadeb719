"""One flag request at a time for each user of a server, in this process.

Two overlapping first flag requests of one user end the process of an UpGrade 6.5.0 server.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Callable, TypeVar

from .._fork import call_after_fork
from .._http import CallOptions
from .._locks import held
from .._sync import Backend, check_asyncio
from ..exceptions import RequestTimeoutError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")

RECHECK_SECONDS = 0.5
"""How soon a waiter notices that a turn was left by an interrupt, or by its event loop."""


class _Turn:
    """The right of one request to be sent.

    It ends when its future is done, when it is dropped, or when its call's time is over: an event
    loop may have stopped on the way. Where the loop was closed, it ends for those who waited a
    while, since the server may still be at work on the request.
    """

    __slots__ = ("__weakref__", "_loop", "deadline", "ended")

    def __init__(self, deadline: float, loop: weakref.ref[AbstractEventLoop] | None = None) -> None:
        self.deadline = deadline
        self._loop = loop
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # so that no waiter can cancel it

    def is_abandoned(self) -> bool:
        """Whether its event loop is closed, or was dropped."""
        if self._loop is None:
            return False
        loop = self._loop()
        return loop is None or loop.is_closed()


def _running_loop() -> weakref.ref[AbstractEventLoop]:
    import asyncio  # late, since blocking calls have no need of it

    check_asyncio()
    return weakref.ref(asyncio.get_running_loop())


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
    own = _Turn(deadline, None if backend.blocks else _running_loop())
    has_waited = False
    while True:
        with held(_lock):
            running = _turns.get(key)
            if (
                running is None
                or time.monotonic() >= running.deadline
                or (has_waited and running.is_abandoned())
            ):
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
            has_waited = True
    try:
        return await send(options.within(deadline - time.monotonic()))
    finally:
        with held(_lock):
            if _turns.get(key) is own:
                del _turns[key]
        own.ended.set_result(None)
