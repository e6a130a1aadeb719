"""A request: what a test sees of it, and what its endpoint works with."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


@attrs.frozen
class Call:
    """A valid request: ``user_id`` is what was sent, ``user`` the root user behind it."""

    user_id: str
    user: User
    body: dict[str, Any]
