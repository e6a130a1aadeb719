"""What sending needs to know of one call: its request, and how its response is read."""

from __future__ import annotations

from typing import Any, Callable, Generic, TypeVar

import attrs

from ..exceptions import UpgradeApiError
from .messages import Request, Response

T = TypeVar("T")

PARSE_ERRORS = (TypeError, ValueError, KeyError)
"""What ``Operation.read`` raises where it cannot read a response."""


@attrs.frozen
class Operation(Generic[T]):
    """One request, and the readers of its responses.

    ``read`` takes the JSON of a response with status 200. ``read_error`` makes an error of any
    other response; it also gets the seconds that a ``Retry-After`` header asks for, or ``None``.
    """

    request: Request
    read: Callable[[Any], T]
    read_error: Callable[[Request, Response, float | None], UpgradeApiError]
