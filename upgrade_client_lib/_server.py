"""What all clients of one server share in a process: sending, reachability, default options."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Callable, TypeVar

import attrs

from ._api import Identity
from ._fork import call_after_fork
from ._http import (
    DEFAULT_OPTIONS,
    Breaker,
    CallOptions,
    HttpTransport,
    Operation,
    Reachability,
    Request,
    Response,
    Transport,
    TransportSettings,
    send_with_retries,
)
from ._locks import held
from ._rules import arguments
from ._rules.environment import STORE
from ._rules.scrubbing import Secrets
from ._store_access import StoreAccess
from ._sync import Backend, check_asyncio
from .exceptions import CircuitOpenError, UpgradeApiError
from .hooks import NO_HOOKS, Call, HookList

if TYPE_CHECKING:
    from ._outbox import EventQueue
    from .stores import Store

T = TypeVar("T")

MAX_AGE = 300.0
"""For how many seconds an answer is used without asking again, by default."""

STALE_IF_ERROR = 3600.0
"""For how many seconds more it is served where the server cannot be asked, by default."""

MAX_EVENTS = 100_000
"""How many events an outbox holds, by default."""

MAX_EVENT_AGE = 7 * 24 * 3600.0
"""For how many seconds they wait for delivery, by default."""

FLUSH_AT_EXIT = 2.0
"""For how many seconds their delivery is waited for at the end, by default."""

FULL_TIME = 0.9
"""Which share of the connection's time limit a failed read must have had to count as a failure."""


class Server:
    """One UpGrade server, as its clients use it."""

    __slots__ = (
        "__weakref__",
        "_breaker",
        "_reachability",
        "_secrets",
        "_transport",
        "hooks",
        "host_url",
        "max_age",
        "options",
        "outbox",
        "stale_if_error",
        "store_access",
        "token",
    )

    def __init__(
        self,
        settings: TransportSettings,
        token: str = "",
        options: CallOptions = DEFAULT_OPTIONS,
        *,
        breaker: bool = True,
        hooks: HookList = NO_HOOKS,
        store: Store | None = None,
        hash_key: bytes | None = None,
        max_age: float = MAX_AGE,
        stale_if_error: float = STALE_IF_ERROR,
    ) -> None:
        self.host_url = settings.host_url
        self.token = token
        self.options = options
        self._transport = Transport(settings)
        self._reachability = Reachability(settings.host_url)
        self._breaker = Breaker(settings.host_url, options.timeout.total) if breaker else None
        self.hooks = hooks
        self.outbox: EventQueue | None = None
        self.max_age = max_age
        self.stale_if_error = stale_if_error
        self.store_access = None
        if store is not None:
            ttl = max_age + stale_if_error
            self.store_access = StoreAccess(store, settings.host_url, hash_key, hooks, ttl)
        self._secrets = Secrets.in_headers(settings.headers)

    async def call(
        self,
        backend: Backend,
        operation: Operation[T],
        options: CallOptions,
        identity: Identity,
    ) -> T:
        """Send an operation's request, and return its response as it was read."""
        if not self.hooks:
            value, _ = await self._send(backend, operation, options)
            return value
        call = Call(
            endpoint=operation.request.endpoint,
            user_id=identity.user_id,
            context=identity.context,
            host_url=self.host_url,
        )
        self.hooks.call("before", call)
        started = time.monotonic()
        try:
            value, attempts = await self._send(backend, operation, options)
        except UpgradeApiError as error:
            seconds = time.monotonic() - started
            call = attrs.evolve(call, attempts=error.attempts, seconds=seconds, error=error)
            self.hooks.call("failed", call)
            raise
        except BaseException:
            call = attrs.evolve(call, seconds=time.monotonic() - started)
            self.hooks.call("abandoned", call)
            raise
        call = attrs.evolve(call, attempts=attempts, seconds=time.monotonic() - started)
        self.hooks.call("after", call)
        return value

    @property
    def circuit_open(self) -> bool:
        """Whether the last reads found no server, and none was answered since."""
        return self._breaker is not None and self._breaker.is_open

    def send_once(self, request: Request) -> Response:
        """Send a request once, blocking, and return the response, whatever its status."""
        deadline = time.monotonic() + self.options.timeout.total
        return self._transport.send(request, self.options.attempt_limits(deadline))

    def circuit_error(self) -> CircuitOpenError | None:
        """Return the error with which a read would fail at once now, if it would."""
        if self._breaker is None or not self._breaker.is_open:
            return None
        return self._breaker.error()

    async def _send(
        self, backend: Backend, operation: Operation[T], options: CallOptions
    ) -> tuple[T, int]:
        """Send a request, unless it is a read and the circuit is open."""
        breaker = self._breaker
        if breaker is None or not operation.is_read:
            return await self._send_with_retries(backend, operation, options)
        probe = breaker.check()
        try:
            result = await self._send_with_retries(backend, operation, options)
        except UpgradeApiError as error:
            if self._transport.is_server_failure(error):
                breaker.failed(error, probe, had_full_time=self._is_full_time(options))
            else:
                breaker.abandoned(probe)
            raise
        except BaseException:
            breaker.abandoned(probe)
            raise
        breaker.succeeded()
        return result

    async def _send_with_retries(
        self, backend: Backend, operation: Operation[T], options: CallOptions
    ) -> tuple[T, int]:
        return await send_with_retries(
            backend, self._transport, self._reachability, operation, options, self._secrets
        )

    def _is_full_time(self, options: CallOptions) -> bool:
        """Whether a call had the connection's time, apart from what it waited for others."""
        own, full = attrs.astuple(options.timeout), attrs.astuple(self.options.timeout)
        return all(seconds >= FULL_TIME * most for seconds, most in zip(own, full))

    def close(self) -> None:
        self._breaker = None  # so that a later read is the error that it is
        self._transport.close()

    def close_when_dropped(self) -> None:
        """Close once nobody has the server any more, where its user is not who connects."""
        finalizer = weakref.finalize(self, self._transport.close)
        finalizer.atexit = False  # all are closed then

    def close_idle(self) -> None:
        """Close the connections that no blocking call uses."""
        self._transport.close_idle()

    async def aclose(self) -> None:
        check_asyncio()
        self._breaker = None
        await self._transport.aclose()


def server_with_transport(host_url: str, transport: HttpTransport) -> Server:
    """Return a new server that is reached through an httpx transport."""
    return Server(TransportSettings(host_url=arguments.host_url(host_url), transport=transport))


# ---- The servers of clients that are given neither connection nor transport ----

# Those that some client uses, and the most recently used ones, which keep their sockets for the
# clients to come. A server that falls out of both closes its sockets.

KEPT = 64

_Key = tuple[str, CallOptions, str, str]

_shared: weakref.WeakValueDictionary[_Key, Server] = weakref.WeakValueDictionary()
_recent: OrderedDict[_Key, Server] = OrderedDict()
_shared_lock = threading.RLock()

_address = lru_cache(maxsize=4 * KEPT)(arguments.host_url)


def shared_server(
    host_url: str,
    options: CallOptions = DEFAULT_OPTIONS,
    store_url: str = "",
    outbox_url: str = "",
    make_outbox: Callable[[Server, str], EventQueue] | None = None,
) -> Server:
    """Return this process's one server of a host, with these options, store and outbox."""
    key = _address(host_url), options, store_url, outbox_url
    with held(_shared_lock):
        server = _shared.get(key)
        if server is None:
            server = _new_shared(*key[:3])
            if outbox_url and make_outbox is not None:
                server.outbox = make_outbox(server, outbox_url)
            _shared[key] = server
        _recent[key] = server
        _recent.move_to_end(key)
        while len(_recent) > KEPT:
            _recent.popitem(last=False)
    return server


def store_of_environment(url: str, variable: str = STORE) -> Store | None:
    """Return the store that the environment names; a ``ValueError`` names the variable."""
    if not url:
        return None
    from .stores import store_from_url

    try:
        return store_from_url(url)
    except ValueError as error:
        raise ValueError(f"the environment variable {variable} is wrong: {error}") from None


def _new_shared(host_url: str, options: CallOptions, store_url: str) -> Server:
    store = store_of_environment(store_url)
    server = Server(TransportSettings(host_url=host_url), options=options, store=store)
    server.close_when_dropped()
    return server


def _close_idle_connections() -> None:
    """At exit; exit handlers that run later may still call."""
    for server in list(_shared.values()):
        server.close_idle()


def _reset_after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.RLock()


atexit.register(_close_idle_connections)
call_after_fork(_reset_after_fork)
