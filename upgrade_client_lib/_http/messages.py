"""One request as it is sent, and one response as it was received, before anybody reads it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Request:
    """One HTTP request. ``idempotent`` says that sending it twice does no harm.

    ``token`` is the bearer token among the headers, or empty; no error may show it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes
    idempotent: bool
    token: str = attrs.field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.path}"

    def redact(self, text: str) -> str:
        """Return the text without the token."""
        return text.replace(self.token, "***") if self.token else text


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
    """One HTTP response, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", errors="replace")

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")
