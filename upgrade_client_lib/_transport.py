"""The only module that touches httpx: pools of sockets, sending, and what broke on the way.

Requests go through httpx's transports rather than its client, which takes about two thirds of
the time; a user's own httpx clients are used whole, with the settings they have.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import urllib.request
import weakref
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Union
from urllib.parse import urlsplit

import attrs
import httpx

from ._deadline import ending_at, keep_blocking, keep_in_event_loop
from ._fork import in_each_child
from ._wire import Answer, Attempt, WireRequest
from .exceptions import (
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
    UpgradeApiError,
)

BlockingHttpClient = httpx.Client
AsyncHttpClient = httpx.AsyncClient
HttpTransport = Union[httpx.BaseTransport, httpx.AsyncBaseTransport]

# The server drops a socket that was idle for 5 s; one second less, and no request meets that.
KEEPALIVE_EXPIRY = 4.0


@attrs.frozen(kw_only=True)
class TransportSettings:
    """What a user may set about how requests travel; see ``UpgradeConnection``."""

    host_url: str
    headers: Mapping[str, str]
    max_connections: int
    proxy: str | None
    trust_env: bool
    ssl_context: ssl.SSLContext | None
    http_client: BlockingHttpClient | None
    async_http_client: AsyncHttpClient | None
    transport: HttpTransport | None


class Transport:
    """The sockets to one server: one blocking pool, and one pool for each event loop.

    Pools are made when they are first needed. A child process starts without any and leaves its
    parent's alone.
    """

    def __init__(self, settings: TransportSettings) -> None:
        try:
            self._base_url = httpx.URL(settings.host_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"host_url is not a URL ({error}): {settings.host_url!r}") from error
        self._settings = settings
        self._headers = _encoded({**_OUR_HEADERS, **settings.headers})
        self._urls: dict[str, httpx.URL] = {}
        self._lock = threading.Lock()
        self._ssl_context: ssl.SSLContext | None = settings.ssl_context
        self._blocking: httpx.BaseTransport | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopPool] = {}
        _transports.add(self)

    def send(self, request: WireRequest, attempt: Attempt) -> Answer:
        """Send once and read the whole answer, blocking."""
        with _failures_of(request):
            client = self._settings.http_client
            if client is not None:
                response = client.send(
                    client.build_request(**self._client_parts(request, attempt)),
                    follow_redirects=False,
                )
                return _answer(response)
            pool = self._blocking or self._made_blocking()
            with ending_at(attempt.deadline):
                response = pool.handle_request(self._request(request, attempt))
                try:
                    response.read()
                finally:
                    response.close()
            return _answer(response)

    async def send_async(self, request: WireRequest, attempt: Attempt) -> Answer:
        """Send once and read the whole answer, in the running event loop."""
        with _failures_of(request):
            client = self._settings.async_http_client
            if client is not None:
                response = await client.send(
                    client.build_request(**self._client_parts(request, attempt)),
                    follow_redirects=False,
                )
                return _answer(response)
            pool = self._pool_of(asyncio.get_running_loop())
            async with pool.slot(attempt.pool):
                with ending_at(attempt.deadline):
                    transport = pool.transport
                    response = await transport.handle_async_request(self._request(request, attempt))
                    try:
                        await response.aread()
                    finally:
                        await response.aclose()
            return _answer(response)

    def close(self) -> None:
        """Close the blocking pool, and have the event loops close theirs; waits for no loop."""
        with self._lock:
            blocking, self._blocking = self._blocking, None
            pools = list(self._by_loop.items())
            self._by_loop.clear()
        if blocking is not None and blocking is not self._settings.transport:
            blocking.close()
        for loop, pool in pools:
            if not loop.is_closed():
                loop.call_soon_threadsafe(pool.close_soon)

    async def aclose(self) -> None:
        """Close the running loop's pool, and all that :meth:`close` closes."""
        with self._lock:
            own = self._by_loop.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.aclose()
        self.close()

    def forget_parent(self) -> None:
        """In a child process: start afresh. What the parent uses is kept, so never closed."""
        _inherited.append((self._blocking, self._by_loop))
        self._lock = threading.Lock()
        self._blocking = None
        self._by_loop = {}

    def _url(self, path: str) -> httpx.URL:
        url = self._urls.get(path)
        if url is None:
            base = self._base_url
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode("ascii"))
            self._urls[path] = url
        return url

    def _request(self, request: WireRequest, attempt: Attempt) -> httpx.Request:
        return httpx.Request(
            request.method,
            self._url(request.path),
            headers=[*self._headers, *_encoded(request.headers)],
            content=request.content,
            extensions={"timeout": _timeouts(attempt)},
        )

    def _client_parts(self, request: WireRequest, attempt: Attempt) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": self._url(request.path),
            "headers": [*_encoded(self._settings.headers), *_encoded(request.headers)],
            "content": request.content,
            "timeout": httpx.Timeout(**_timeouts(attempt)),
        }

    def _made_blocking(self) -> httpx.BaseTransport:
        with self._lock:
            if self._blocking is None:
                given = self._settings.transport
                if given is None:
                    made = httpx.HTTPTransport(**self._pool_options())
                    keep_blocking(made)
                    self._blocking = made
                elif isinstance(given, httpx.BaseTransport):
                    self._blocking = given
                else:
                    raise TypeError(
                        "transport= was given an httpx transport for async calls alone; give one"
                        " that is an httpx.BaseTransport too, or use the async methods"
                    )
            return self._blocking

    def _pool_of(self, loop: asyncio.AbstractEventLoop) -> _LoopPool:
        pool = self._by_loop.get(loop)
        if pool is not None:
            return pool
        with self._lock:
            self._by_loop = {loop: pool for loop, pool in self._by_loop.items() if pool.is_open}
            given = self._settings.transport
            if given is None:
                transport = httpx.AsyncHTTPTransport(**self._pool_options())
                keep_in_event_loop(transport)
                pool = _LoopPool(loop, transport, self._settings.max_connections, owned=True)
            elif isinstance(given, httpx.AsyncBaseTransport):
                pool = _LoopPool(loop, given, self._settings.max_connections, owned=False)
            else:
                raise TypeError(
                    "transport= was given an httpx transport for blocking calls alone; give one"
                    " that is an httpx.AsyncBaseTransport too, or use the _sync methods"
                )
            self._by_loop[loop] = pool
        return pool

    def _pool_options(self) -> dict[str, Any]:
        settings = self._settings
        proxy = settings.proxy
        if proxy is None and settings.trust_env:
            proxy = _proxy_from_environment(settings.host_url)
        if self._ssl_context is None:
            self._ssl_context = _ssl_context(settings.host_url, proxy)
        return {
            "verify": self._ssl_context,
            "proxy": None if proxy is None else httpx.Proxy(proxy),
            "limits": httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=KEEPALIVE_EXPIRY,
            ),
        }


class _LoopPool:
    """One event loop's sockets; they are closed when the loop shuts down."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: httpx.AsyncBaseTransport,
        in_flight: int,
        *,
        owned: bool,
    ) -> None:
        self.transport = transport
        self._loop = loop
        self._owned = owned
        # httpx searches its pool for each request, so more in flight makes each one slower.
        self._slots = asyncio.Semaphore(in_flight)
        self._guard: AsyncIterator[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return not self._loop.is_closed()

    def slot(self, seconds: float) -> _Slot:
        return _Slot(self, seconds)

    async def acquire(self, seconds: float) -> None:
        if self._guard is None and self._owned:
            # An event loop that shuts down closes its asynchronous generators: our signal.
            self._guard = self._closed_with_the_loop()
            await self._guard.__anext__()
        if self._slots.locked():
            try:
                await asyncio.wait_for(self._slots.acquire(), seconds)
            except asyncio.TimeoutError:
                raise httpx.PoolTimeout("no free connection") from None
        else:
            await self._slots.acquire()

    def release(self) -> None:
        self._slots.release()

    async def _closed_with_the_loop(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if self._owned:
            await self.transport.aclose()

    def close_soon(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self.aclose())


class _Slot:
    """The right to have one request in flight."""

    __slots__ = ("_pool", "_seconds")

    def __init__(self, pool: _LoopPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    async def __aenter__(self) -> None:
        await self._pool.acquire(self._seconds)

    async def __aexit__(self, *_: object) -> None:
        self._pool.release()


_OUR_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _timeouts(attempt: Attempt) -> dict[str, float]:
    return {
        "connect": attempt.connect,
        "read": attempt.read,
        "write": attempt.write,
        "pool": attempt.pool,
    }


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


def _proxy_from_environment(host_url: str) -> str | None:
    parts = urlsplit(host_url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or "://" in proxy:
        return proxy
    return f"http://{proxy}"


def _ssl_context(host_url: str, proxy: str | None) -> ssl.SSLContext:
    if host_url.startswith("https:") or (proxy or "").startswith("https:"):
        return httpx.create_ssl_context()
    # Loading certificates takes longer than the request; this one verifies, and trusts nobody.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


# ---- What broke ----

_SENT_NOTHING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@contextmanager
def _failures_of(request: WireRequest) -> Generator[None, None, None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _failure(RequestTimeoutError, "no answer in time", error, request) from error
    except (httpx.DecodingError, httpx.RemoteProtocolError) as error:
        kind: type[UpgradeApiError] = UnreadableAnswerError
        if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
            kind = NoConnectionError
        raise _failure(kind, "the answer broke off or makes no sense", error, request) from error
    except httpx.TransportError as error:
        raise _failure(NoConnectionError, "no connection", error, request) from error
    except httpx.HTTPError as error:  # raised by a hook of the user's own client
        raise _failure(UnreadableAnswerError, "the request failed", error, request) from error


def _failure(
    kind: type[UpgradeApiError], what: str, error: httpx.HTTPError, request: WireRequest
) -> UpgradeApiError:
    detail = str(error) or type(error).__name__
    return kind(
        f"{what}: {detail}",
        endpoint=request.endpoint,
        may_have_been_applied=not isinstance(error, _SENT_NOTHING),
    )


# ---- Child processes ----

_transports: weakref.WeakSet[Transport] = weakref.WeakSet()
_inherited: list[Any] = []


def _forget_parent() -> None:
    for transport in list(_transports):
        transport.forget_parent()


in_each_child(_forget_parent)
