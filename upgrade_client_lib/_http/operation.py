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

    ``read`` takes the JSON of a response with a status from 200 to 299. ``read_error`` makes an
    error of any other response, with the server's texts as they are.
    ``is_read`` says that the circuit breaker may reject it, since it changes nothing or comes
    before such a request.
    """

    request: Request
    read: Callable[[Any], T]
    read_error: Callable[[Request, Response], UpgradeApiError]
    is_read: bool = False
