"""Sending requests: pools, deadlines, retries. The only subpackage that uses httpx at run time.

Importing this package does not load httpx, since ``Timeout`` is public; what sends is
loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr
from .breaker import Breaker
from .messages import AttemptLimits, Request, Response
from .operation import PARSE_ERRORS, Operation
from .options import (
    DEFAULT_OPTIONS,
    CallOptions,
    Timeout,
    TimeoutOption,
    retries_option,
    timeout_option,
)
from .reachability import Reachability
from .settings import DEFAULT_MAX_RESPONSE_BYTES, TransportSettings

if TYPE_CHECKING:
    from .call import send_with_retries
    from .transport import HttpTransport, Transport

__all__ = [
    "DEFAULT_MAX_RESPONSE_BYTES",
    "DEFAULT_OPTIONS",
    "PARSE_ERRORS",
    "AttemptLimits",
    "Breaker",
    "CallOptions",
    "HttpTransport",
    "Operation",
    "Reachability",
    "Request",
    "Response",
    "Timeout",
    "TimeoutOption",
    "Transport",
    "TransportSettings",
    "retries_option",
    "send_with_retries",
    "timeout_option",
]


_LAZY_MODULES = {
    "HttpTransport": "transport",
    "Transport": "transport",
    "send_with_retries": "call",
}


if not TYPE_CHECKING:
    __getattr__ = lazy_getattr(__name__, _LAZY_MODULES)
