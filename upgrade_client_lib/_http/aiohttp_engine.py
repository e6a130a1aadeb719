"""A connection of an event loop by means of aiohttp, with the promises of httpx's engine.

Failures leave here as httpx's exceptions. aiohttp's own do not tell a connection that was not made
from one that broke; whether a request may have been sent is known by whether it had a connection.
"""

from __future__ import annotations

import asyncio
import base64
import math
import socket
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from yarl import URL

from . import resolver
from .body import Body
from .conversion import RequestBuilder, user_agent
from .deadline import SLOW_LOOK_UP, WRITTEN_AT_ONCE
from .httpx_engine import HttpxConnection
from .messages import AttemptLimits, Request, Response
from .sockets import SocketOptions

_USER_AGENT = user_agent(f"aiohttp/{aiohttp.__version__}")
_LONGEST_HEADER = 100 * 1024  # as httpx's engine has it
_FOLLOWED = frozenset({"connection", "expect"})
_NEVER_ROUNDED = math.inf  # aiohttp rounds longer limits up to whole seconds


class AiohttpConnection:
    """Sends one request at a time, over a connection that it opens and keeps.

    aiohttp sends headers as UTF-8, where servers expect latin-1; what is not plain ASCII goes
    through httpx. So does what has a header that aiohttp follows in a way of its own: after
    ``Expect``, it would wait for a consent that many servers never give.
    """

    def __init__(self, requests: RequestBuilder, options: SocketOptions, max_bytes: int) -> None:
        self._requests = requests
        self._options = options
        self._max_bytes = max_bytes
        self._httpx: HttpxConnection | None = None
        arguments = options.arguments()
        proxy: httpx.Proxy | None = arguments["proxy"]
        self._proxy = None if proxy is None else str(proxy.url)
        self._proxy_headers = _proxy_headers(proxy)
        headers = requests.common_headers(_USER_AGENT)
        if not requests.is_https:  # where there is no tunnel to ask for
            headers.update(self._proxy_headers)
        self._sends_headers = _is_ascii(headers) and _FOLLOWED.isdisjoint(map(str.lower, headers))
        self._connector = _Connector(
            ssl=arguments["verify"],
            use_dns_cache=False,
            keepalive_timeout=arguments["limits"].keepalive_expiry + 1,  # the pool closes it before
            timeout_ceil_threshold=_NEVER_ROUNDED,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Content-Type",),
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )

    async def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send a request and read the response until the deadline."""
        if not (self._sends_headers and _is_ascii(request.headers)):
            return await self._send_through_httpx(request, limits)
        content = _Content(request.content, limits.write, self._connector)
        try:
            try:
                await self._connector.notice_its_end()
                return await self._send(request, limits, content)
            except BaseException:
                self._connector.abort()  # aiohttp would first write what is left of the request
                self._session.detach()
                raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            # aiohttp's frames hold headers, which what prints a traceback might show.
            raise self._as_of_httpx(error, content) from _frameless(error.__cause__ or error)
        except httpx.DecodingError as error:
            raise _frameless(error) from None
        finally:
            content.stop()

    def abort(self) -> None:
        """End the request that another task has in flight, once this is closed too."""
        if self._httpx is not None:
            self._httpx.abort()

    def is_open(self) -> bool:
        """Whether a request that failed left something to close."""
        return self._connector.is_looking_up or (self._httpx is not None and self._httpx.is_open())

    def is_out_of_step(self) -> bool:
        """Whether the server sent more than a response; aiohttp itself closes such connections."""
        return self._httpx is not None and self._httpx.is_out_of_step()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._httpx is not None:
            await self._httpx.aclose()
        await self._connector.close()
        self._session.detach()
        self._connector.abort()  # older ones of aiohttp do not wait until TLS has ended
        await asyncio.sleep(0)

    def __del__(self) -> None:
        self._session.detach()  # of one that was dropped, aiohttp would complain

    async def _send(self, request: Request, limits: AttemptLimits, content: _Content) -> Response:
        self._connector.begin()
        if self._session.closed:
            raise aiohttp.ClientConnectionError("closed before the request was sent")
        response = await self._session.request(
            request.method,
            URL(str(self._requests.url(request.path)), encoded=True),
            headers={**request.headers, "Content-Length": content.length},
            data=content.data,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=max(limits.deadline - time.monotonic(), 1e-3),
                connect=limits.connect,
                sock_read=limits.read,
                ceil_threshold=_NEVER_ROUNDED,
            ),
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        )
        try:
            answered = httpx.Response(response.status, headers=list(response.raw_headers))
            body = Body(answered, self._max_bytes)
            async for received in response.content.iter_any():
                body.add(received)
                if body.is_too_large:
                    break
        finally:
            response.close()  # which keeps the connection, if the response was read to its end
        return Response(response.status, answered.headers, body.end(), body.is_too_large)

    async def _send_through_httpx(self, request: Request, limits: AttemptLimits) -> Response:
        if self._httpx is None:
            self._httpx = HttpxConnection(self._requests, self._options, self._max_bytes)
        return await self._httpx.send(request, limits)

    def _as_of_httpx(self, error: Exception, content: _Content) -> Exception:
        """Return what httpx's engine would raise here."""
        detail = str(error)
        if not self._connector.is_connected:
            if isinstance(error, asyncio.TimeoutError):
                is_slow = self._connector.is_looking_up
                return httpx.ConnectTimeout(SLOW_LOOK_UP if is_slow else "timed out")
            if isinstance(error, aiohttp.ClientHttpProxyError):
                return httpx.ProxyError(f"{error.status} {error.message}")
            return httpx.ConnectError(detail)
        if content.is_late:
            return httpx.WriteTimeout("timed out")
        if isinstance(error, asyncio.TimeoutError):
            return httpx.ReadTimeout("timed out")
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return httpx.ReadError("the server disconnected without a response")
        if isinstance(error, aiohttp.ClientPayloadError) and "not completed" in detail:
            return httpx.ReadError("the server disconnected within its response")
        if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
            return httpx.RemoteProtocolError(detail)
        return httpx.ReadError(detail)


class _Connector(aiohttp.TCPConnector):
    """Makes the one connection, and knows how far it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=_Resolver(self), **options)  # pyright: ignore[reportUnknownMemberType]
        self.is_looking_up = False
        self._transport: asyncio.Transport | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the request at hand had a connection, so that it may have been sent."""
        return self._transport is not None

    def begin(self) -> None:
        """Begin a request."""
        self._transport = None

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        connection: Any = await super().connect(req, traces, timeout)
        if connection.protocol.should_close:  # the server sent what nobody had asked for
            connection.close()
            connection = await super().connect(req, traces, timeout)
        self._transport = connection.transport
        return connection

    async def notice_its_end(self) -> None:
        """Have the event loop see whether the server closed the connection meanwhile."""
        if self._transport is not None:
            await asyncio.sleep(0)  # it reads what is there,
            await asyncio.sleep(0)  # and acts on it

    def abort(self) -> None:
        """Break the connection of the request at hand."""
        if self._transport is not None:
            self._transport.abort()

    def __del__(self, _warnings: Any = None) -> None:
        """Say nothing: an event loop that is dropped takes its connections with it."""


class _Resolver(AbstractResolver):
    """Looks up names as all calls do: in threads of their own."""

    def __init__(self, connector: _Connector) -> None:
        self._connector = connector

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        self._connector.is_looking_up = True
        addresses = await asyncio.wrap_future(resolver.look_up(host, port))
        self._connector.is_looking_up = False
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        """Do nothing: look-ups end by themselves."""


class _Content:
    """The content of a request; a large one goes out in pieces, each within the limit of a write.

    aiohttp has no such limit. What is small is taken by the socket at once.
    """

    def __init__(self, content: bytes, seconds: float, connector: _Connector) -> None:
        self.length = str(len(content))
        self.data: Any = content if len(content) <= WRITTEN_AT_ONCE else self
        self.is_late = False
        self._content = content
        self._seconds = seconds
        self._connector = connector
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None

    def __aiter__(self) -> _Content:
        return self

    async def __anext__(self) -> bytes:
        self.stop()
        start = self._written
        if start >= len(self._content):
            raise StopAsyncIteration
        self._written += WRITTEN_AT_ONCE
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._give_up)
        return self._content[start : self._written]

    def stop(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.is_late = True
        self._connector.abort()


def _frameless(error: BaseException) -> BaseException:
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__context__
    return error


def _is_ascii(headers: Mapping[str, str]) -> bool:
    return all(value.isascii() for value in headers.values())


def _proxy_headers(proxy: httpx.Proxy | None) -> dict[str, str]:
    if proxy is None or proxy.raw_auth is None:
        return {}
    credentials = base64.b64encode(b":".join(proxy.raw_auth)).decode("ascii")
    return {"Proxy-Authorization": f"Basic {credentials}"}
