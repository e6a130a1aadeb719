"""Exceptions of httpx and the operating system, as the library's own; and what caused them."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator

import httpx

from ..exceptions import (
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
    UpgradeApiError,
)
from .slots import PoolIsFullError

POOL_TIMEOUTS = (httpx.PoolTimeout, PoolIsFullError)

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    socket.gaierror,
    *POOL_TIMEOUTS,
)

# httpx has one class for responses that break off and responses that are not HTTP.
_ENDED_EARLY = ("disconnected", "peer closed connection")


def current_exception() -> BaseException | None:
    """Return the exception whose handler this is called in; Python chains later ones to it."""
    return sys.exc_info()[1]


def causes(error: BaseException, outer_exception: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, up to what the caller was handling before."""
    cause: BaseException | None = error
    while cause is not None and cause is not outer_exception:
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_permanent(error: UpgradeApiError, outer_exception: BaseException | None) -> bool:
    """Whether another attempt would fail in the same way.

    Network failures are transient, apart from certificates that cannot be verified.
    """
    if not isinstance(error, (NoConnectionError, RequestTimeoutError)):
        return True
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error, outer_exception)
    )


def may_have_been_sent(error: Exception) -> bool:
    """Whether the server may have received the request before this error."""
    return not isinstance(error, _NOT_SENT)


def classify(
    error: Exception, outer_exception: BaseException | None, host_url: str
) -> tuple[type[UpgradeApiError], str]:
    """Return the class and the message of the error that an exception below httpx becomes."""
    detail = _detail(error, outer_exception)
    if isinstance(error, POOL_TIMEOUTS):
        return RequestTimeoutError, f"no free connection to {host_url}: {detail}"
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        what = "connection to" if isinstance(error, httpx.ConnectTimeout) else "answer from"
        more = "" if detail in ("timed out", type(error).__name__) else f": {detail}"
        return RequestTimeoutError, f"no {what} {host_url} in time{more}"
    if isinstance(error, (httpx.DecodingError, httpx.RemoteProtocolError)):
        if any(ended in str(error) for ended in _ENDED_EARLY):
            return NoConnectionError, f"the connection to {host_url} broke: {detail}"
        return UnreadableAnswerError, f"the answer of {host_url} makes no sense: {detail}"
    if isinstance(error, (httpx.TransportError, OSError)):
        return NoConnectionError, f"no connection to {host_url}: {detail}"
    return UnreadableAnswerError, f"the request to {host_url} failed: {detail}"


def _detail(error: BaseException, outer_exception: BaseException | None) -> str:
    """The operating system's words for what went wrong, where there are any; else httpx's."""
    for cause in causes(error, outer_exception):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause)
    return str(error) or type(error).__name__
