"""Faults that a test asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TypeVar, Union

import attrs

from ..._narrow import mapping_or_none
from .._definitions import check_text

WITHOUT_BODY = (204, 304)
_OF_THE_CONNECTION = ("connection", "content-length", "keep-alive", "transfer-encoding")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")

Body = Union[str, bytes, Mapping[str, object], list[object], None]


@attrs.define(kw_only=True)
class Matching:
    """Which calls something happens to: those of an endpoint, of a user, the next so many.

    ``None`` stands for all; ``left`` counts the calls that are still to come.
    """

    endpoint: str | None
    user: str | None
    left: int | None


M = TypeVar("M", bound=Matching)


def take_matching(waiting: list[M], endpoint: str, user: str | None) -> M | None:
    """Return the first that matches a call, which is counted."""
    for one in waiting:
        if one.endpoint in (None, endpoint) and one.user in (None, user):
            if one.left is not None:
                one.left -= 1
                if not one.left:
                    waiting.remove(one)
            return one
    return None


@attrs.define(kw_only=True)
class Fault(Matching):
    """A response to send instead of the real one."""

    status: int
    headers: Mapping[str, str]
    body: Body

    def content(self, endpoint: str) -> bytes:
        """Return the body of a response to a call of this endpoint."""
        return _content(endpoint, self.status, self.body)

    def checked_headers(self, content: bytes) -> list[tuple[str, str]]:
        """Return the headers of a response with this content."""
        return _headers(self.status, self.headers, content)


def check_endpoint(endpoint: str | None, endpoints: Collection[str]) -> None:
    if endpoint is not None and endpoint not in endpoints:
        raise ValueError(f"endpoint {endpoint!r} is not one of {', '.join(endpoints)}")


def check_times(times: int | None) -> None:
    if times is not None and _whole("times", times) < 1:
        raise ValueError(f"times must be at least 1, not {times}")


def check_user(user: str | None) -> None:
    if user is not None:
        check_text("user", user)


def _whole(what: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    return value


class Faults:
    """The faults of these endpoints that are still to come, in the order they were asked for."""

    def __init__(self, endpoints: Collection[str]) -> None:
        self._endpoints = endpoints
        self.waiting: list[Fault] = []

    def add(
        self,
        endpoint: str | None,
        *,
        user: str | None = None,
        status: int,
        times: int | None,
        headers: Mapping[str, str],
        body: Body,
    ) -> None:
        """Have calls answered so; a ``ValueError`` says what cannot be."""
        check_endpoint(endpoint, self._endpoints)
        check_times(times)
        if not 200 <= _whole("status", status) <= 999:
            raise ValueError(f"status must be that of an answer, 200 to 999, not {status}")
        if body and status in WITHOUT_BODY:
            raise ValueError(f"an answer with status {status} has no body")
        if mapping_or_none(headers) is None:
            raise TypeError(f"headers must be a dictionary, not {headers!r}")
        fault = Fault(
            endpoint=endpoint, user=user, left=times, status=status, headers=headers, body=body
        )
        fault.checked_headers(fault.content(""))
        self.waiting.append(fault)

    def next(self, endpoint: str, user: str | None) -> Fault | None:
        """Return the fault of a call, and count it."""
        return take_matching(self.waiting, endpoint, user)


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
    try:
        return json.dumps(error if body is None else body).encode()
    except TypeError as wrong:
        raise TypeError(f"body: {wrong}") from None


def _headers(status: int, headers: Mapping[str, str], content: bytes) -> list[tuple[str, str]]:
    checked = [_header(*header) for header in headers.items()]
    if status in WITHOUT_BODY or any(name.lower() == "content-type" for name, _ in checked):
        return checked
    html = content.startswith(b"<")
    return [*checked, ("Content-Type", "text/html" if html else "application/json; charset=utf-8")]


def _header(name: str, value: str) -> tuple[str, str]:
    """Return a header; a ValueError or TypeError says why it cannot be sent."""
    if not _HEADER_NAME.fullmatch(check_text("the name of a header", name)):
        raise ValueError(f"headers: {name!r} is not the name of a header")
    if name.lower() in _OF_THE_CONNECTION:
        raise ValueError(f"headers: {name} is set by the server itself")
    if not _HEADER_VALUE.fullmatch(check_text(f"header {name}", value)):
        raise ValueError(f"header {name} must be of printable ASCII characters, not {value!r}")
    return name, value
