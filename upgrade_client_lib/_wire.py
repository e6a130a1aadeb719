"""One request as it leaves and one answer as it arrives, before anybody reads them."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class WireRequest:
    """What goes out. ``repeatable`` says whether sending it twice does no harm.

    ``token`` is the one among the headers, or empty; no error may show it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes
    repeatable: bool
    token: str = attrs.field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.path}"


@attrs.frozen
class Attempt:
    """How long one attempt may take: each wait in seconds, and the moment it must be over.

    ``deadline`` is on the clock of ``time.monotonic()``.
    """

    connect: float
    read: float
    write: float
    pool: float
    deadline: float


@attrs.frozen
class Answer:
    """What came back, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
