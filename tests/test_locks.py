"""A lock is free after its block, wherever an exception of a signal handler strikes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from upgrade_client_lib import _locks
from upgrade_client_lib._locks import Hold, held


class Interrupt(BaseException):
    """What the signal handler raises."""


class InterruptedLock:
    """A lock; a signal handler raises just before it is first acquired, or released."""

    def __init__(self, before: str) -> None:
        self._before = before
        self.is_locked = False

    def acquire(self, blocking: bool) -> bool:
        self._interrupt("acquire")
        self.is_locked = True
        return True

    def release(self) -> None:
        self._interrupt("release")
        self.is_locked = False

    def _interrupt(self, step: str) -> None:
        if self._before == step:
            self._before = ""
            raise Interrupt


def is_free(lock: threading.RLock) -> bool:
    """Whether another thread can have the lock."""

    def acquire() -> bool:
        acquired = lock.acquire(blocking=False)
        if acquired:
            lock.release()
        return acquired

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(acquire).result()


@pytest.mark.parametrize("interruptible", [True, False])
def test_a_lock_is_held_in_the_block_alone(
    interruptible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locks, "IS_INTERRUPTIBLE", interruptible)
    lock = threading.RLock()

    with held(lock):
        with held(lock):
            assert not is_free(lock)
        assert not is_free(lock)

    assert is_free(lock)


def test_a_block_that_is_left_without_its_end_frees_the_lock() -> None:
    lock = threading.RLock()
    hold = Hold(lock)
    hold.__enter__()
    assert not is_free(lock)

    del hold

    assert is_free(lock)


@pytest.mark.parametrize("before", ["acquire", "release"])
def test_an_interrupt_comes_through_and_leaves_nothing_locked(before: str) -> None:
    lock = InterruptedLock(before)

    with pytest.raises(Interrupt), Hold(lock):
        assert lock.is_locked

    assert not lock.is_locked
