"""One request as it is sent, and one response as it was received, before anybody reads it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Request:
    """One HTTP request. ``idempotent`` says that sending it twice does no harm.

    ``token`` is the bearer token among the headers, or empty; nothing may show it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    idempotent: bool
    may_overlap: bool = attrs.field(default=True, kw_only=True)
    token: str = attrs.field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.path}"


@attrs.frozen
class AttemptLimits:
    """The time limits of one attempt: of each of its steps in seconds, and of all in one moment.

    ``deadline`` is on the clock of ``time.monotonic()``.
    """

    connect: float
    read: float
    write: float
    pool: float
    deadline: float


@attrs.frozen
class Response:
    """One HTTP response, whatever its status. Header names are in lower case.

    One that ``is_too_large`` has no content.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    is_too_large: bool = False

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", errors="replace")

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")
