"""A request: what a test sees of it, and what its endpoint works with."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from .._engine import User


@attrs.frozen
class Request:
    """A request that reached the server, and the status it was answered with.

    ``endpoint`` is the last part of the path, such as ``assign``. ``user`` is the ``User-Id``
    that was sent, which may be an alias. ``headers`` have lower-case names.
    """

    endpoint: str
    method: str
    path: str
    user: str | None
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)

    @property
    def json(self) -> Any:
        """Return the body parsed, or None where it is empty or not JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


class RequestLog:
    """The last requests: at most so many, and with bodies of at most so many bytes in all."""

    def __init__(self, requests: int, content: int) -> None:
        self._most, self._most_content = requests, content
        self._requests: deque[Request] = deque()
        self._content = 0

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def append(self, request: Request) -> None:
        self._requests.append(request)
        self._content += len(request.content)
        while len(self._requests) > self._most or self._content > self._most_content:
            self._content -= len(self._requests.popleft().content)

    def clear(self) -> None:
        self._requests.clear()
        self._content = 0


@attrs.frozen
class Call:
    """A valid request: ``user_id`` is what was sent, ``user`` the root user behind it."""

    user_id: str
    user: User
    body: dict[str, Any]
