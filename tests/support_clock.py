"""A clock that a test moves, for limits that are told apart by what is left of them."""

from __future__ import annotations

import time

import attrs
import pytest


@attrs.define
class Clock:
    """What ``time.monotonic()`` says, in the library and in event loops."""

    now: float

    @classmethod
    def stopped(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """Have time stand still from now on, but for what the test lets pass."""
        clock = cls(time.monotonic())
        monkeypatch.setattr(time, "monotonic", lambda: clock.now)
        return clock

    def let_pass(self, seconds: float) -> None:
        self.now += seconds
