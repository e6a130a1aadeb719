"""What a test makes the server do wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Union

import attrs

ENDPOINTS = (
    "init",
    "assign",
    "mark",
    "log",
    "featureflag",
    "reward",
    "groupmembership",
    "workinggroup",
    "useraliases",
)

Body = Union[str, bytes, Mapping[str, object], list[object], None]


@attrs.frozen
class Fault:
    """An answer to give instead of the real one."""

    status: int
    headers: Mapping[str, str]
    body: Body

    def answer(self, endpoint: str) -> tuple[list[tuple[str, str]], bytes]:
        """Give headers and body."""
        content = self._content(endpoint)
        headers = list(self.headers.items())
        if not any(name.lower() == "content-type" for name, _ in headers):
            html = content.startswith(b"<")
            kind = "text/html" if html else "application/json; charset=utf-8"
            headers.append(("Content-Type", kind))
        return headers, content

    def _content(self, endpoint: str) -> bytes:
        """Give the body; without one, what a proxy (502 to 504) or the server would say."""
        if self.body is None and self.status in (502, 503, 504):
            return f"<html><body><h1>{self.status}</h1></body></html>".encode()
        if self.body is None:
            error = {
                "name": "Error",
                "message": "This answer was asked for by a test.",
                "endPoint": f"/api/v6/{endpoint}",
                "errorCode": self.status,
            }
            return json.dumps(error).encode()
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class Faults:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Fault]] = {}

    def add(self, endpoint: str, fault: Fault, times: int) -> None:
        if endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint {endpoint!r} is not one of {', '.join(ENDPOINTS)}")
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        if not 100 <= fault.status <= 999:
            raise ValueError(f"status must be a status code, not {fault.status}")
        self.waiting.setdefault(endpoint, []).extend([fault] * times)

    def next(self, endpoint: str) -> Fault | None:
        waiting = self.waiting.get(endpoint)
        return waiting.pop(0) if waiting else None
