"""Time in tests: a clock that they move, and how long something takes."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Callable, Literal

import attrs
import pytest

MARGIN = 3.0
"""What a busy machine may take longer, in seconds."""


def until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@attrs.define
class Clock:
    """What ``time.monotonic()`` says, in the library and in event loops; or ``time.time()``."""

    _passed: float = attrs.field(default=0.0, init=False)

    @classmethod
    def stopped(
        cls, monkeypatch: pytest.MonkeyPatch, which: Literal["monotonic", "time"] = "monotonic"
    ) -> Clock:
        """Have time stand still from now on, but for what the test lets pass."""
        clock, begun = cls(), getattr(time, which)()
        monkeypatch.setattr(time, which, lambda: begun + clock._passed)
        return clock

    @classmethod
    def running(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """Have time go on, and what the test lets pass besides."""
        clock, real = cls(), time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + clock._passed)
        return clock

    def let_pass(self, seconds: float) -> None:
        self._passed += seconds


@contextmanager
def taking(least: float, most: float) -> Generator[None, None, None]:
    """Check how long the block takes."""
    begun = time.monotonic()
    yield
    assert 0.8 * least <= time.monotonic() - begun < most
