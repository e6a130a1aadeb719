"""Load a value on first use. Concurrent callers share one load.

Waiting is done by a backend (see ``_sync``), so the same code serves threads, tasks, and both at
once.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Callable, Generic, TypeVar

from .._fork import call_after_fork
from .._http import CallOptions
from .._locks import held
from .._rules.queues import Mark
from .._sync import Backend
from ..exceptions import RequestTimeoutError, UpgradeApiError

T = TypeVar("T")

lock = threading.RLock()
"""Guards every cache of the process; held for dictionary operations alone, never while waiting.

Reentrant, since a finalizer may close a client while this thread holds it.
"""

_process = object()


def _reset_after_fork() -> None:
    """In a child process: a thread of the parent may have held the lock, or run a load."""
    global lock, _process
    lock = threading.RLock()
    _process = object()


call_after_fork(_reset_after_fork)


def process_token() -> object:
    """Return what differs between this process, its parent and its children, at no cost."""
    return _process


class _LoaderStopped(Exception):
    """The loading caller was cancelled, or its event loop cannot go on; a waiting one loads."""


def without_traceback(error: UpgradeApiError) -> UpgradeApiError:
    """Return a copy for another caller, without the frames (and so the load) it came through."""
    duplicate = copy.copy(error)
    duplicate.__cause__ = error.__cause__
    return duplicate


class Load(Generic[T]):
    """One load in progress, and the marks sent meanwhile, in unknown order."""

    __slots__ = ("_deadline", "_process", "_thread", "concurrent_marks", "future", "options")

    def __init__(self, options: CallOptions, seconds: float) -> None:
        self.concurrent_marks: set[Mark] = set()
        self.options = options
        self._deadline = time.monotonic() + seconds
        self.future: Future[T] = Future()
        self.future.set_running_or_notify_cancel()  # so that no waiter can cancel it
        self._thread = threading.get_ident()
        self._process = _process

    @property
    def seconds_left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def can_be_awaited(self, backend: Backend) -> bool:
        """Whether waiting for it can end.

        Not in a child process that inherited it; not when it is overdue (its event loop may have
        stopped); and not when a blocking call would stop the event loop that the load needs.
        """
        if self._process is not _process or not self.seconds_left:
            return False
        return not (backend.blocks and self._thread == threading.get_ident())


class SingleFlight(Generic[T]):
    """A value, ``None`` until it was loaded, and the loads of it that are in progress."""

    __slots__ = ("_loads", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self._loads: tuple[Load[T], ...] = ()

    def clear(self) -> None:
        """Drop the value. Loads in progress still serve their callers, and nobody else."""
        with held(lock):
            self._discard()

    async def get_or_load(
        self,
        backend: Backend,
        load: Callable[[float], Awaitable[T]],
        options: CallOptions,
        *,
        is_usable: Callable[[T], bool] = lambda value: True,
        serves: Callable[[T], bool] = lambda value: True,
        force: bool = False,
    ) -> T:
        """Return the cached value if ``is_usable`` accepts it, else what a load returns.

        A load in progress serves this caller too if no mark was sent meanwhile and ``serves``
        accepts its value, unless it fails where the caller's own options would go on. ``force``
        skips what is cached or in progress. ``load`` gets what is left of the call's time.
        """
        deadline = time.monotonic() + options.timeout.total
        while True:
            left = deadline - time.monotonic()
            with held(lock):
                if not force and self.value is not None and is_usable(self.value):
                    return self.value
                running = self._loads[-1] if self._loads else None
                if (
                    force
                    or running is None
                    or not running.can_be_awaited(backend)
                    or running.concurrent_marks
                ):
                    own_load: Load[T] = Load(options, left)
                    self._loads += (own_load,)
                    break
            try:
                value = await backend.wait(running.future, min(left, running.seconds_left))
            except _LoaderStopped:
                continue
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue  # that load is overdue
                raise RequestTimeoutError(
                    f"no answer within {options.timeout.total:g} s: another caller's request for"
                    " the same is still under way"
                ) from None
            except UpgradeApiError as error:
                if running.options.is_stricter_than(options) and time.monotonic() < deadline:
                    continue
                raise without_traceback(error) from error.__cause__
            if serves(value):
                return value
        return await self._run(own_load, load, left)

    async def _run(
        self, own_load: Load[T], load: Callable[[float], Awaitable[T]], seconds: float
    ) -> T:
        try:
            value = await load(seconds)
        except UpgradeApiError as error:
            self._end(own_load)
            own_load.future.set_exception(without_traceback(error))
            raise
        except BaseException:
            self._end(own_load)
            own_load.future.set_exception(_LoaderStopped())
            raise
        with held(lock):
            if own_load in self._loads:
                self._loads = self._loads[self._loads.index(own_load) + 1 :]
                self._apply_concurrent_marks(own_load, value)
                self._set(value)
        own_load.future.set_result(value)
        return value

    def _end(self, ended: Load[T]) -> None:
        with held(lock):
            self._loads = tuple(load for load in self._loads if load is not ended)

    def _set(self, value: T | None) -> None:
        self.value = value

    def _discard(self) -> None:
        """Drop value and loads; called under the lock."""
        self._loads = ()
        self._set(None)

    def _apply_concurrent_marks(self, ended: Load[T], value: T) -> None:
        """Invalidate the points of a new value that were marked meanwhile; under the lock."""
