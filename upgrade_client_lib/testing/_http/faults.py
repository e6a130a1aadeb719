"""Faults that a test asks for."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Union

import attrs

from .._definitions import check_text

WITHOUT_BODY = (204, 304)

Body = Union[str, bytes, Mapping[str, object], list[object], None]


@attrs.frozen
class Fault:
    """A response to send instead of the real one."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes


class Faults:
    """The faults of these endpoints that are still to come, in the order they were asked for."""

    def __init__(self, endpoints: Collection[str]) -> None:
        self._endpoints = endpoints
        self.waiting: dict[str, list[Fault]] = {}

    def add(
        self, endpoint: str, *, status: int, times: int, headers: Mapping[str, str], body: Body
    ) -> None:
        if endpoint not in self._endpoints:
            raise ValueError(f"endpoint {endpoint!r} is not one of {', '.join(self._endpoints)}")
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        if not 200 <= status <= 999:
            raise ValueError(f"status must be that of an answer, 200 to 999, not {status}")
        if body and status in WITHOUT_BODY:
            raise ValueError(f"an answer with status {status} has no body")
        content = _content(endpoint, status, body)
        fault = Fault(status, _headers(status, headers, content), content)
        self.waiting.setdefault(endpoint, []).extend([fault] * times)

    def next(self, endpoint: str) -> Fault | None:
        waiting = self.waiting.get(endpoint)
        return waiting.pop(0) if waiting else None


def _content(endpoint: str, status: int, body: Body) -> bytes:
    """Return the body; without one, what a proxy (502 to 504) or the server would send."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if status in WITHOUT_BODY:
        return b""
    if body is None and status in (502, 503, 504):
        return f"<html><body><h1>{status}</h1></body></html>".encode()
    error = {
        "name": "Error",
        "message": "This answer was asked for by a test.",
        "endPoint": f"/api/v6/{endpoint}",
        "errorCode": status,
    }
    return json.dumps(error if body is None else body).encode()


def _headers(status: int, headers: Mapping[str, str], content: bytes) -> list[tuple[str, str]]:
    checked = [(name, check_text(f"header {name}", value)) for name, value in headers.items()]
    if status in WITHOUT_BODY or any(name.lower() == "content-type" for name, _ in checked):
        return checked
    html = content.startswith(b"<")
    return [*checked, ("Content-Type", "text/html" if html else "application/json; charset=utf-8")]
