"""Requests as httpx sends them, and its responses as they are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from .messages import AttemptLimits, Request, Response
from .settings import TransportSettings

_OUR_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


class RequestBuilder:
    """Makes requests to one server."""

    def __init__(self, settings: TransportSettings) -> None:
        try:
            self._base_url = httpx.URL(settings.host_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"host_url is not a URL ({error}): {settings.host_url!r}") from error
        self._extra_headers = settings.headers
        host = {"Host": self._base_url.netloc.decode("ascii")}
        self._headers = _by_name(host, _OUR_HEADERS, settings.headers)
        self._urls: dict[str, httpx.URL] = {}

    def for_transport(self, request: Request, limits: AttemptLimits) -> httpx.Request:
        """Return what transports take, faster than httpx does when it is given ``content=``."""
        length = {"Content-Length": str(len(request.content))}
        built = httpx.Request(
            request.method,
            self._url(request.path),
            headers=list({**self._headers, **_by_name(request.headers, length)}.values()),
            stream=httpx.ByteStream(request.content),
            extensions={"timeout": _timeouts(limits)},
        )
        built.read()  # so that a user's own transport finds its content
        return built

    def for_client(
        self, request: Request, limits: AttemptLimits, client_timeout: httpx.Timeout
    ) -> dict[str, Any]:
        """Return the arguments of ``build_request``; of two time limits, the shorter holds."""
        steps = _timeouts(limits)
        for step, seconds in client_timeout.as_dict().items():
            if seconds is not None:
                steps[step] = min(steps[step], seconds)
        return {
            "method": request.method,
            "url": self._url(request.path),
            "headers": list(_by_name(self._extra_headers, request.headers).values()),
            "content": request.content,
            "timeout": httpx.Timeout(**steps),
        }

    def _url(self, path: str) -> httpx.URL:
        url = self._urls.get(path)
        if url is None:
            base = self._base_url
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode("ascii"))
            self._urls[path] = url
        return url


def read_response(response: httpx.Response) -> Response:
    """Return a response whose content was read."""
    return Response(response.status_code, response.headers, response.content)


def read_until(deadline: float, response: httpx.Response) -> Response:
    """Read a response that is still arriving, close it, and return it."""
    try:
        parts: list[bytes] = []
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer did not end in time")
    finally:
        response.close()
    return Response(response.status_code, response.headers, b"".join(parts))


async def read_and_close(response: httpx.Response) -> Response:
    """Read a response of an async transport, close it, and return it."""
    try:
        await response.aread()
    finally:
        await response.aclose()
    return read_response(response)


def read_rejected_by_hook(response: httpx.Response) -> Response:
    """Return a response at which an event hook of a user's own client raised, perhaps unread."""
    try:
        return read_response(response)
    except httpx.ResponseNotRead:
        return Response(response.status_code, response.headers, b"")


def _by_name(*several: Mapping[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Return headers as they are sent; of two with the same name, the later one."""
    return {
        name.lower(): (name.encode("ascii"), value.encode("latin-1"))
        for headers in several
        for name, value in headers.items()
    }


def _timeouts(limits: AttemptLimits) -> dict[str, float]:
    """Return the limits of an attempt's steps; it may have waited for a slot before."""
    left = max(limits.deadline - time.monotonic(), 1e-3)
    return {
        "connect": min(limits.connect, left),
        "read": min(limits.read, left),
        "write": min(limits.write, left),
        "pool": min(limits.pool, left),
    }
