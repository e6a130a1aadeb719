"""Exceptions of httpx and the operating system, as the library's own; and what caused them."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator

import httpx

from .._rules.scrubbing import NAME_LENGTH, Secrets, excerpt, line
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

# How TLS tells whoever reads for it that more must arrive: nothing went wrong.
_TLS_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)

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


def scrub(error: UpgradeApiError, secrets: Secrets, outer_exception: BaseException | None) -> None:
    """Leave in an error what may be shown of what the server said.

    Where the error or one of its causes says more, the causes and the traceback so far go: whoever
    prints them would show it.
    """
    chain = [*causes(error, outer_exception)]
    says_a_secret = any(secrets.hide(text) != text for cause in chain for text in _texts_of(cause))
    if says_a_secret or any(line(str(cause)) != str(cause) for cause in chain[1:]):
        error.__cause__ = error.__context__ = error.__traceback__ = None
    error.message = line(secrets.hide(error.message))
    error.args = (error.message,)
    error.error_type = _name(error.error_type, secrets)
    error.request_id = _name(error.request_id, secrets)
    if error.response_body is not None:
        error.response_body = excerpt(secrets.hide(error.response_body))


def _name(text: str | None, secrets: Secrets) -> str | None:
    return None if text is None else line(secrets.hide(text), NAME_LENGTH)


def _texts_of(error: BaseException) -> Iterator[str]:
    """Yield all texts that a traceback or a log might show of an exception."""
    yield str(error)
    for value in (*error.args, *vars(error).values()):
        if value is not None:
            yield value if isinstance(value, str) else repr(value)


def classify(
    error: Exception, outer_exception: BaseException | None, route: str
) -> tuple[type[UpgradeApiError], str]:
    """Return the class and the message of the error that an exception below httpx becomes.

    ``route`` names the server, and the proxy on the way to it.
    """
    detail = _detail(error, outer_exception)
    if isinstance(error, POOL_TIMEOUTS):
        return RequestTimeoutError, f"no free connection to {route}: {detail}"
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        what = "connection to" if isinstance(error, httpx.ConnectTimeout) else "answer from"
        more = "" if detail in ("timed out", type(error).__name__) else f": {detail}"
        return RequestTimeoutError, f"no {what} {route} in time{more}"
    if isinstance(error, (httpx.DecodingError, httpx.RemoteProtocolError)):
        if any(ended in str(error) for ended in _ENDED_EARLY):
            return NoConnectionError, f"the connection to {route} broke: {detail}"
        return UnreadableAnswerError, f"the answer of {route} makes no sense: {detail}"
    if isinstance(error, (httpx.ReadError, httpx.WriteError)):
        return NoConnectionError, f"the connection to {route} broke: {detail}"
    if isinstance(error, (httpx.TransportError, OSError)):
        return NoConnectionError, f"no connection to {route}: {detail}"
    return UnreadableAnswerError, f"the request to {route} failed: {detail}"


def _detail(error: BaseException, outer_exception: BaseException | None) -> str:
    """The operating system's words for what went wrong, where there are any; else httpx's."""
    for cause in causes(error, outer_exception):
        if isinstance(cause, _TLS_WAITS):
            continue
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause)
    return str(error) or type(error).__name__
