"""Requests as httpx sends them, and its responses as they are kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import httpx

from .._version import __version__
from .body import ENCODINGS, Body
from .messages import AttemptLimits, Request, Response
from .settings import TransportSettings


def user_agent(engine: str) -> str:
    """Return what the library calls itself, with the name and version of what it sends by."""
    python = f"python/{sys.version_info.major}.{sys.version_info.minor}"
    return f"upgrade-client-lib/{__version__} ({python} {engine})"


_USER_AGENT = {"User-Agent": user_agent(f"httpx/{httpx.__version__}")}
_ENCODINGS = {"Accept-Encoding": ENCODINGS}
_OUR_HEADERS = {"Accept": "application/json", **_ENCODINGS, **_USER_AGENT}


class RequestBuilder:
    """Makes requests to one server."""

    def __init__(self, settings: TransportSettings) -> None:
        try:
            self._base_url = httpx.URL(settings.host_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"host_url is not a URL ({error}): {settings.host_url!r}") from error
        self.is_https = self._base_url.scheme == "https"
        self._extra_headers = settings.headers
        self._host = {"Host": self._base_url.netloc.decode("ascii")}
        self._headers = _by_name(self._host, _OUR_HEADERS, settings.headers)
        self._urls: dict[str, httpx.URL] = {}

    def common_headers(self, user_agent: str) -> dict[str, str]:
        """Return what every request has, unless it has another header of that name."""
        ours = {**self._host, **_OUR_HEADERS, "User-Agent": user_agent}
        both = (*ours.items(), *self._extra_headers.items())
        return dict({name.lower(): (name, value) for name, value in both}.values())

    def for_transport(self, request: Request, limits: AttemptLimits) -> httpx.Request:
        """Return what transports take, faster than httpx does when it is given ``content=``."""
        length = {"Content-Length": str(len(request.content))}
        built = httpx.Request(
            request.method,
            self.url(request.path),
            headers=list({**self._headers, **_by_name(request.headers, length)}.values()),
            stream=httpx.ByteStream(request.content),
            extensions={"timeout": _timeouts(limits)},
        )
        built.read()  # so that a user's own transport finds its content
        return built

    def for_client(
        self, client: httpx.Client | httpx.AsyncClient, request: Request, limits: AttemptLimits
    ) -> httpx.Request:
        """Return what a user's own client sends; of two time limits, the shorter holds."""
        steps = _timeouts(limits)
        for step, seconds in client.timeout.as_dict().items():
            if seconds is not None:
                steps[step] = min(steps[step], seconds)
        has_own_name = not client.headers.get("User-Agent", "").startswith("python-httpx/")
        ours = _ENCODINGS if has_own_name else {**_ENCODINGS, **_USER_AGENT}
        return client.build_request(
            request.method,
            self.url(request.path),
            headers=list(_by_name(ours, self._extra_headers, request.headers).values()),
            content=request.content,
            timeout=httpx.Timeout(**steps),
        )

    def url(self, path: str) -> httpx.URL:
        """Return the address of a path of the API."""
        url = self._urls.get(path)
        if url is None:
            base = self._base_url
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode("ascii"))
            self._urls[path] = url
        return url


def read_until(deadline: float, response: httpx.Response, max_bytes: int) -> Response:
    """Read a response that is still arriving, close it, and return it."""
    try:
        body, is_read = _body(response, max_bytes)
        if not is_read:
            for received in response.iter_raw():
                body.add(received)
                if body.is_too_large:
                    break
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer did not end in time")
    finally:
        response.close()
    return _response(response, body)


async def read_and_close(response: httpx.Response, max_bytes: int) -> Response:
    """Read a response that is still arriving in an event loop, close it, and return it."""
    try:
        body, is_read = _body(response, max_bytes)
        if not is_read:
            async for received in response.aiter_raw():
                body.add(received)
                if body.is_too_large:
                    break
    finally:
        await response.aclose()
    return _response(response, body)


def read_rejected_by_hook(response: httpx.Response, max_bytes: int) -> Response:
    """Return a response at which an event hook of a user's own client raised, perhaps unread."""
    return _response(response, _body(response, max_bytes)[0])


def _body(response: httpx.Response, max_bytes: int) -> tuple[Body, bool]:
    """Return the body as far as it was read, and whether that is all of it.

    A transport or a hook of the user's own may have read it, and then decoded it too.
    """
    try:
        content = response.content
    except httpx.ResponseNotRead:
        return Body(response, max_bytes), False
    body = Body(None, max_bytes)
    body.add(content)
    return body, True


def _response(response: httpx.Response, body: Body) -> Response:
    content = body.end()
    return Response(response.status_code, response.headers, content, body.is_too_large)


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
