"""The only module that touches httpx: pools of sockets, sending, and what broke on the way.

Requests go through httpx's transports rather than its client, which takes about two thirds of
the time; a user's own httpx clients are used whole, with the settings they have.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, Union

import anyio
import httpx

from ._causes import being_handled, causes
from ._deadline import ending_at, keep_blocking, keep_in_event_loop
from ._fork import in_each_child
from ._pools import BlockingPool, LoopPool, PoolIsFullError
from ._settings import TransportSettings
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

K = TypeVar("K", httpx.BaseTransport, httpx.AsyncBaseTransport)

# The server drops a socket that was idle for 5 s; one second less, and no request meets that.
KEEPALIVE_EXPIRY = 4.0


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
        _check(settings)
        self._settings = settings
        host = {"Host": self._base_url.netloc.decode("ascii")}
        self._headers = _by_name(host, _OUR_HEADERS, settings.headers)
        self._urls: dict[str, httpx.URL] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._ssl_context: ssl.SSLContext | None = settings.ssl_context
        self._blocking: BlockingPool | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopPool] = {}
        _transports.add(self)

    def send(self, request: WireRequest, attempt: Attempt) -> Answer:
        """Send once and read the whole answer, blocking."""
        with self._failures_of(request):
            client = self._settings.http_client
            if client is not None:
                self._check_open()
                own = client.build_request(**self._client_parts(request, attempt, client.timeout))
                try:
                    response = client.send(own, stream=True, follow_redirects=False)
                except httpx.HTTPStatusError as error:
                    return _answer_refused_by_a_hook(error.response)
                return _answer_until(attempt.deadline, response)
            pool = self._blocking or self._made_blocking()
            pool.acquire(attempt.pool)
            try:
                self._check_open()  # it may have been closed while this call waited
                with ending_at(attempt.deadline):
                    response = pool.transport.handle_request(self._request(request, attempt))
                    return _answer_until(attempt.deadline, response)
            finally:
                pool.release()
                if self._closed:
                    pool.close()  # closed meanwhile; this call may have opened it again

    async def send_async(self, request: WireRequest, attempt: Attempt) -> Answer:
        """Send once and read the whole answer, in the running event loop."""
        with self._failures_of(request):
            client = self._settings.async_http_client
            if client is not None:
                self._check_open()
                own = client.build_request(**self._client_parts(request, attempt, client.timeout))
                with anyio.fail_after(attempt.deadline - time.monotonic()):
                    try:
                        return _answer(await client.send(own, follow_redirects=False))
                    except httpx.HTTPStatusError as error:
                        return _answer_refused_by_a_hook(error.response)
            pool = self._pool_of(asyncio.get_running_loop())
            await pool.acquire(attempt.pool)
            try:
                self._check_open()  # it may have been closed while this call waited
                with ending_at(attempt.deadline):
                    if pool.owned:
                        return await _sent(pool.transport, self._request(request, attempt))
                    with anyio.fail_after(attempt.deadline - time.monotonic()):
                        return await _sent(pool.transport, self._request(request, attempt))
            finally:
                pool.release()

    def blames_server(self, error: UpgradeApiError) -> bool:
        """Whether the server had a chance: it was tried, and not closed meanwhile."""
        return not self._closed and not isinstance(error.__cause__, _NO_PLACE)

    def close(self) -> None:
        """Close the blocking pool, and have the event loops close theirs; waits for no loop."""
        for pool in self._shut():
            pool.close_soon()

    async def aclose(self) -> None:
        """Close the running loop's pool, and all that :meth:`close` closes."""
        running = asyncio.get_running_loop()
        for pool in self._shut():
            if pool.loop is running:
                await pool.aclose()
            else:
                pool.close_soon()

    def forget_parent(self) -> None:
        """In a child process: start afresh. What the parent uses is kept, so never closed."""
        _inherited.append((self._blocking, self._by_loop))
        self._lock = threading.RLock()
        self._blocking = None
        self._by_loop = {}

    def _forget(self, pool: LoopPool) -> None:
        """The pool's event loop has shut down."""
        with self._lock:
            if self._by_loop.get(pool.loop) is pool:
                del self._by_loop[pool.loop]

    def _shut(self) -> list[LoopPool]:
        """Let no more requests out, close the blocking pool, and give the others."""
        with self._lock:
            self._closed = True
            blocking, self._blocking = self._blocking, None
            pools, self._by_loop = list(self._by_loop.values()), {}
        if blocking is not None:
            blocking.close()
        return pools

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the connection to {self._settings.host_url} is closed")

    @contextmanager
    def _failures_of(self, request: WireRequest) -> Generator[None, None, None]:
        """Have everything that breaks on the way leave as an ``UpgradeApiError``."""
        before = being_handled()
        try:
            yield
        except (httpx.HTTPError, OSError) as error:  # some of what TLS says reaches us bare
            kind, message = _broken(error, before, self._settings.host_url)
            if self._closed:
                message = f"the connection to {self._settings.host_url} was closed meanwhile"
            raise kind(
                message,
                endpoint=request.endpoint,
                may_have_been_applied=not isinstance(error, _SENT_NOTHING),
            ) from error

    def _url(self, path: str) -> httpx.URL:
        url = self._urls.get(path)
        if url is None:
            base = self._base_url
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode("ascii"))
            self._urls[path] = url
        return url

    def _request(self, request: WireRequest, attempt: Attempt) -> httpx.Request:
        """Make what the transports take, faster than httpx does when it is given ``content=``."""
        length = {"Content-Length": str(len(request.content))}
        made = httpx.Request(
            request.method,
            self._url(request.path),
            headers=list({**self._headers, **_by_name(request.headers, length)}.values()),
            stream=httpx.ByteStream(request.content),
            extensions={"timeout": _timeouts(attempt)},
        )
        made.read()  # so that a user's own transport finds its content
        return made

    def _client_parts(
        self, request: WireRequest, attempt: Attempt, own: httpx.Timeout
    ) -> dict[str, Any]:
        """What a user's own client makes a request of; of two time limits, the shorter holds."""
        limits = {step: seconds for step, seconds in own.as_dict().items() if seconds is not None}
        ours = _timeouts(attempt)
        return {
            "method": request.method,
            "url": self._url(request.path),
            "headers": list(_by_name(self._settings.headers, request.headers).values()),
            "content": request.content,
            "timeout": httpx.Timeout(
                **{step: min(limits.get(step, seconds), seconds) for step, seconds in ours.items()}
            ),
        }

    def _made_blocking(self) -> BlockingPool:
        with self._lock:
            self._check_open()
            if self._blocking is None:
                given = self._settings.transport
                if given is None:
                    made: httpx.BaseTransport = httpx.HTTPTransport(**self._pool_options())
                    keep_blocking(made)
                else:
                    made = _usable(given, httpx.BaseTransport)
                self._blocking = BlockingPool(
                    made, self._settings.max_connections, owned=given is None
                )
            return self._blocking

    def _pool_of(self, loop: asyncio.AbstractEventLoop) -> LoopPool:
        pool = self._by_loop.get(loop)
        if pool is not None:
            return pool
        with self._lock:
            self._check_open()
            self._by_loop = {
                loop: pool for loop, pool in self._by_loop.items() if not loop.is_closed()
            }
            given = self._settings.transport
            if given is None:
                made: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(**self._pool_options())
                keep_in_event_loop(made)
            else:
                made = _usable(given, httpx.AsyncBaseTransport)
            pool = LoopPool(
                made, self._settings.max_connections, owned=given is None, on_close=self._forget
            )
            self._by_loop[loop] = pool
        return pool

    def _pool_options(self) -> dict[str, Any]:
        settings = self._settings
        proxy = settings.proxy_address()
        if proxy is not None and settings.proxy is None:
            _check_proxy("the environment's proxy", proxy)
        if self._ssl_context is None:
            self._ssl_context = _ssl_context(settings, proxy)
        tls_proxy = self._ssl_context if _is_https(proxy) else None
        return {
            "verify": self._ssl_context,
            "proxy": None if proxy is None else httpx.Proxy(proxy, ssl_context=tls_proxy),
            "limits": httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=KEEPALIVE_EXPIRY,
            ),
        }


_OUR_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


def _by_name(*several: Mapping[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Headers as they are sent; of two with the same name, the later one."""
    return {
        name.lower(): (name.encode("ascii"), value.encode("latin-1"))
        for headers in several
        for name, value in headers.items()
    }


def _timeouts(attempt: Attempt) -> dict[str, float]:
    """The limits of an attempt's steps, now that it may have waited for a place."""
    left = max(attempt.deadline - time.monotonic(), 1e-3)
    return {
        "connect": min(attempt.connect, left),
        "read": min(attempt.read, left),
        "write": min(attempt.write, left),
        "pool": min(attempt.pool, left),
    }


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


async def _sent(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Answer:
    response = await transport.handle_async_request(request)
    try:
        await response.aread()
    finally:
        await response.aclose()
    return _answer(response)


def _answer_until(deadline: float, response: httpx.Response) -> Answer:
    """Read an answer that is still arriving."""
    try:
        parts: list[bytes] = []
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer did not end in time")
    finally:
        response.close()
    return Answer(response.status_code, response.headers, b"".join(parts))


def _answer_refused_by_a_hook(response: httpx.Response) -> Answer:
    """An answer at whose status an event hook of a user's own client raised, perhaps unread."""
    try:
        return _answer(response)
    except httpx.ResponseNotRead:
        return Answer(response.status_code, response.headers, b"")


def _usable(given: object, kind: type[K]) -> K:
    if isinstance(given, kind):
        return given
    raise TypeError(
        f"this method needs a transport that is an httpx.{kind.__name__}, and"
        f" {type(given).__name__} is none; its twin with or without _sync can use it"
    )


def _check(settings: TransportSettings) -> None:
    """Refuse what httpx would refuse too late, or would not understand."""
    arguments: list[tuple[str, object, tuple[type, ...]]] = [
        ("http_client", settings.http_client, (httpx.Client,)),
        ("async_http_client", settings.async_http_client, (httpx.AsyncClient,)),
        ("transport", settings.transport, (httpx.BaseTransport, httpx.AsyncBaseTransport)),
        ("ssl_context", settings.ssl_context, (ssl.SSLContext,)),
        ("proxy", settings.proxy, (str,)),
    ]
    for name, given, kinds in arguments:
        if given is None:
            continue
        if not isinstance(given, kinds):
            expected = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
            raise TypeError(f"{name} must be an {expected}, not {type(given).__name__}")
        if settings.transport not in (None, given):
            raise ValueError(f"a transport stands in for the sockets: give it without {name}")
    if settings.proxy is not None:
        _check_proxy("proxy", settings.proxy)


def _check_proxy(name: str, address: str) -> None:
    try:
        host = httpx.Proxy(address).url.host
        host.encode("idna")
    except (ValueError, httpx.InvalidURL) as error:
        detail = "it cannot be read" if "@" in address else error  # no password in messages
        raise ValueError(f"{name} is not the address of one: {detail}") from None
    if not host:
        raise ValueError(f"{name} must name a host, as in 'http://proxy.example.org:3128'")


def _is_https(address: str | None) -> bool:
    return address is not None and httpx.URL(address).scheme == "https"


def _ssl_context(settings: TransportSettings, proxy: str | None) -> ssl.SSLContext:
    if _is_https(settings.host_url) or _is_https(proxy):
        try:
            return httpx.create_ssl_context(trust_env=settings.trust_env)
        except OSError as error:
            raise ValueError(f"the certificates to trust cannot be loaded: {error}") from error
    # Loading certificates takes longer than the request; this one verifies, and trusts nobody.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


# ---- What broke ----

_NO_PLACE = (httpx.PoolTimeout, PoolIsFullError)
_SENT_NOTHING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    socket.gaierror,
    *_NO_PLACE,
)


# httpx gives one class to answers that break off and answers that are not HTTP.
_ENDED_EARLY = ("disconnected", "peer closed connection")


def _broken(
    error: Exception, before: BaseException | None, host_url: str
) -> tuple[type[UpgradeApiError], str]:
    """Say what an exception of httpx's amounts to: the class of the error, and its message."""
    detail = _detail(error, before)
    if isinstance(error, _NO_PLACE):
        return RequestTimeoutError, f"no free connection to {host_url}: {detail}"
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        what = "connection to" if isinstance(error, httpx.ConnectTimeout) else "answer from"
        more = "" if detail in ("timed out", type(error).__name__) else f": {detail}"
        return RequestTimeoutError, f"no {what} {host_url} in time{more}"
    if isinstance(error, (httpx.DecodingError, httpx.RemoteProtocolError)):
        if any(ended in str(error) for ended in _ENDED_EARLY):
            return NoConnectionError, f"the connection to {host_url} broke: {detail}"
        return UnreadableAnswerError, f"the answer of {host_url} makes no sense: {detail}"
    if isinstance(error, (httpx.TransportError, OSError)):
        return NoConnectionError, f"no connection to {host_url}: {detail}"
    return UnreadableAnswerError, f"the request to {host_url} failed: {detail}"


def _detail(error: BaseException, before: BaseException | None) -> str:
    """The operating system's words for what went wrong, where it was asked; else httpx's."""
    for cause in causes(error, before):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause)
    return str(error) or type(error).__name__


# ---- Child processes ----

_transports: weakref.WeakSet[Transport] = weakref.WeakSet()
_inherited: list[Any] = []


def _forget_parent() -> None:
    for transport in list(_transports):
        transport.forget_parent()


in_each_child(_forget_parent)
