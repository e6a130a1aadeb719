"""Slowness, silence and dropped connections that a test asks for."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Real
from threading import Event, Lock
from typing import Any

import attrs

from .faults import Matching, check_endpoint, check_times, check_user, take_matching


@attrs.define(kw_only=True)
class Disruption(Matching):
    """What happens to the calls that it matches.

    ``delay`` is in seconds, and infinite where no response is ever sent. ``applied`` says whether
    the server carries the call out, ``responds`` whether its response is sent.
    """

    delay: float
    applied: bool
    responds: bool


@attrs.frozen
class Delivery:
    """When a response is sent, and whether: ``delay`` ends early when ``ended`` is set."""

    delay: float = 0.0
    responds: bool = True
    applied: bool = True
    ended: Event = attrs.field(factory=Event, eq=False, repr=False)


AT_ONCE = Delivery()


class Disruptions:
    """The disruptions of these endpoints, in the order they were asked for."""

    def __init__(self, endpoints: Collection[str]) -> None:
        self._endpoints = endpoints
        self._lock = Lock()
        self._waiting: list[Disruption] = []
        self._ended = Event()

    def add(
        self,
        *,
        delay: float,
        applied: bool,
        responds: bool,
        endpoint: str | None,
        user: str | None,
        times: int | None,
    ) -> None:
        """Disrupt calls from now on; a ValueError says what cannot be."""
        check_endpoint(endpoint, self._endpoints)
        check_user(user)
        check_times(times)
        _check_seconds(delay)
        disruption = Disruption(
            delay=delay,
            applied=applied,
            responds=responds,
            endpoint=endpoint,
            user=user,
            left=times,
        )
        with self._lock:
            self._waiting.append(disruption)

    def any(self) -> bool:
        """Return whether any call is to be disrupted."""
        return bool(self._waiting)

    def waiting(self) -> list[Disruption]:
        """Return the disruptions that are still to come."""
        with self._lock:
            return list(self._waiting)

    def next(self, endpoint: str, user: str | None) -> Delivery:
        """Return what happens to a call, and count it."""
        with self._lock:
            disruption = take_matching(self._waiting, endpoint, user)
            if disruption is None:
                return AT_ONCE
            return Delivery(disruption.delay, disruption.responds, disruption.applied, self._ended)

    def clear(self) -> None:
        """Disrupt no further call, and end the waits of those that are disrupted now."""
        with self._lock:
            self._waiting.clear()
        self.release()

    def release(self) -> None:
        """End the waits of the calls that are disrupted now: they are answered or dropped."""
        with self._lock:
            ended, self._ended = self._ended, Event()
        ended.set()


def _check_seconds(seconds: Any) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise TypeError(f"seconds must be a number, not {seconds!r}")
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"seconds must not be negative: {seconds}")
