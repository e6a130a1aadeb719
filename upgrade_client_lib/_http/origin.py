"""The server that requests go to, as blocking calls and those of event loops have it in common."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import httpx

from ..exceptions import NoConnectionError
from .conversion import RequestBuilder
from .errors import classify, current_exception, may_have_been_sent
from .messages import Request
from .settings import TransportSettings
from .sockets import SocketOptions, check_settings

MAX_IDLE_BEFORE_MARK = 1.0
"""For how many seconds a connection may have been idle that a mark or a reward goes out on."""

K = TypeVar("K", httpx.BaseTransport, httpx.AsyncBaseTransport)


class Origin:
    """Settings, what requests and sockets are made of, and whether it is closed."""

    def __init__(self, settings: TransportSettings) -> None:
        self.requests = RequestBuilder(settings)
        check_settings(settings)
        self.settings = settings
        self.socket_options = SocketOptions(settings)
        self.closed = False

    def max_idle(self, request: Request) -> float:
        """Return how long the connection of a request may have been idle, in seconds.

        A server that closes one just then leaves open whether it applied the request. That
        matters where it cannot be sent again.
        """
        expiry = self.settings.keepalive_expiry
        return expiry if request.idempotent else min(expiry, MAX_IDLE_BEFORE_MARK)

    def check_open(self) -> None:
        """Raise a ``RuntimeError`` once closed."""
        if self.closed:
            raise RuntimeError(f"the connection to {self.settings.host_url} is closed")

    @contextmanager
    def translated_errors(self, request: Request) -> Generator[None, None, None]:
        """Raise every failure to send or receive as an ``UpgradeApiError``."""
        outer_exception = current_exception()
        try:
            yield
        except (httpx.HTTPError, OSError) as error:  # httpx does not wrap all ssl errors
            error_class, message = classify(error, outer_exception, self.socket_options.route)
            if self.closed:
                error_class = NoConnectionError
                message = f"the connection to {self.settings.host_url} was closed meanwhile"
            raise error_class(
                message,
                endpoint=request.endpoint,
                may_have_been_applied=may_have_been_sent(error),
            ) from error


def usable(transport: object, base: type[K]) -> K:
    """Return a user's own transport; a ``TypeError`` if it is of the other kind."""
    if isinstance(transport, base):
        return transport
    raise TypeError(
        f"this method needs a transport that is an httpx.{base.__name__}, and"
        f" {type(transport).__name__} is none; its twin with or without _sync can use it"
    )
