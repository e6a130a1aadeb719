"""A value that is loaded when it is first asked for, once, however many ask at a time.

The waiting is done by a face (see ``_faces``), so one piece of code serves threads and tasks,
and both at once.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Awaitable, Hashable
from concurrent.futures import Future
from typing import Callable, Generic, TypeVar

from ._faces import Face
from ._fork import in_each_child
from ._options import CallOptions
from .exceptions import RequestTimeoutError, UpgradeApiError

T = TypeVar("T")

lock = threading.RLock()
"""Guards every cache of the process; held for dictionary work alone, never while waiting.

Reentrant, for a finalizer that closes a client while this thread is at that work.
"""

_process = object()


def _forget_parent() -> None:
    """In a child process: a thread of the parent may have held the lock, or led a load."""
    global lock, _process
    lock = threading.RLock()
    _process = object()


in_each_child(_forget_parent)


def this_process() -> object:
    """What tells this process from its parent and its children, at no cost."""
    return _process


class _Abandoned(Exception):
    """The caller that led the load was cancelled; somebody else must lead."""


def _untraced(error: Exception) -> Exception:
    """The same error for somebody else, without the frames (and so the load) it came through."""
    if not isinstance(error, UpgradeApiError):
        return error
    same = copy.copy(error)
    same.__cause__ = error.__cause__
    return same


class Load(Generic[T]):
    """One load under way, and what has crossed it: the server may have seen either one first."""

    __slots__ = ("_deadline", "_process", "_thread", "crossed_by", "future", "options")

    def __init__(self, options: CallOptions, seconds: float) -> None:
        self.crossed_by: set[Hashable] = set()
        self.options = options
        self._deadline = time.monotonic() + seconds
        self.future: Future[T] = Future()
        self.future.set_running_or_notify_cancel()  # so that no waiter can cancel it
        self._thread = threading.get_ident()
        self._process = _process

    @property
    def seconds_left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def can_be_awaited(self, face: Face) -> bool:
        """Whether waiting for it can end.

        Not in a child process that inherited it, not when it is overdue (its event loop may have
        stopped on the way), and not when a blocking call would stop the very event loop that the
        leading task needs.
        """
        if self._process is not _process or not self.seconds_left:
            return False
        return not (face.blocks and self._thread == threading.get_ident())


class SharedLoad(Generic[T]):
    """A value, ``None`` until it was loaded, and the loads of it that are under way."""

    __slots__ = ("_loads", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self._loads: tuple[Load[T], ...] = ()

    def clear(self) -> None:
        """Forget the value. Loads under way still serve their callers, and nobody else."""
        with lock:
            self._forget()

    async def loaded(
        self,
        face: Face,
        load: Callable[[float], Awaitable[T]],
        options: CallOptions,
        *,
        wants: Callable[[T], bool] = lambda value: True,
        fresh: bool = False,
    ) -> T:
        """Give the value that ``wants`` approves of, else what a load gives.

        A load that is under way serves this caller too if nothing crossed it, unless it fails
        where the caller's own options would have gone on. ``fresh`` asks the server in any case.
        ``load`` gets what is left of the call's time, in seconds.
        """
        deadline = time.monotonic() + options.timeout.total
        while True:
            left = deadline - time.monotonic()
            with lock:
                if not fresh and self.value is not None and wants(self.value):
                    return self.value
                running = self._loads[-1] if self._loads else None
                if (
                    fresh
                    or running is None
                    or not running.can_be_awaited(face)
                    or running.crossed_by
                ):
                    leading: Load[T] = Load(options, left)
                    self._loads += (leading,)
                    break
            try:
                return await face.wait(running.future, min(left, running.seconds_left))
            except _Abandoned:
                continue
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue  # that load is overdue
                raise RequestTimeoutError(
                    f"no answer within {options.timeout.total:g} s: another caller's request for"
                    " the same is still under way"
                ) from None
            except UpgradeApiError as error:
                if running.options.gives_up_before(options) and time.monotonic() < deadline:
                    continue
                raise _untraced(error) from error.__cause__
        return await self._lead(leading, load, left)

    async def _lead(
        self, leading: Load[T], load: Callable[[float], Awaitable[T]], seconds: float
    ) -> T:
        try:
            value = await load(seconds)
        except Exception as error:
            self._end(leading)
            leading.future.set_exception(_untraced(error))
            raise
        except BaseException:
            self._end(leading)
            leading.future.set_exception(_Abandoned())
            raise
        with lock:
            if leading in self._loads:
                self._loads = self._loads[self._loads.index(leading) + 1 :]
                self._settle(leading, value)
                self._set(value)
        leading.future.set_result(value)
        return value

    def _end(self, leading: Load[T]) -> None:
        with lock:
            self._loads = tuple(load for load in self._loads if load is not leading)

    def _set(self, value: T | None) -> None:
        self.value = value

    def _forget(self) -> None:
        """What ``clear`` does; called under the lock."""
        self._loads = ()
        self._set(None)

    def _settle(self, ended: Load[T], value: T) -> None:
        """Note in a new value what crossed its load; called under the lock."""
