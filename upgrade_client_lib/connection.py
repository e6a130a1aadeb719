"""One server for any number of users."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _user
from ._http import (
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_OPTIONS,
    CallOptions,
    TimeoutOption,
    TransportSettings,
    retries_option,
    timeout_option,
)
from ._rules import arguments
from ._rules.environment import OUTBOX, read_settings
from ._rules.pickling import Settings, portable
from ._server import (
    FLUSH_AT_EXIT,
    MAX_AGE,
    MAX_EVENT_AGE,
    MAX_EVENTS,
    STALE_IF_ERROR,
    Server,
    store_of_environment,
)
from ._sync import ASYNC, SYNC, run_sync
from .client import UpgradeClient
from .hooks import Hook, hooks_option

if TYPE_CHECKING:
    import ssl

    import httpx

    from ._http import HttpTransport
    from ._outbox import Outbox
    from ._rules.queues import Rotation
    from .stores import EventStore, Store

__all__ = ["UpgradeConnection"]


class UpgradeConnection:
    """One UpGrade server, for any number of users, threads and event loops.

    Making one opens nothing; sockets are opened by the first calls, kept, and shared by all
    users. There is one pool for blocking calls, and one for each event loop that async calls
    run in. A child process that is forked off makes its own.

    >>> with UpgradeConnection("https://upgrade.example.org") as connection:
    ...     client = connection.client("user-1", "my-app")
    ...     client.init_sync()

    Args:
        host_url: the server's address, with http:// or https://; an ``/api`` or ``/api/v6`` at its
            end is cut off.
        token: sent as ``Authorization: Bearer`` by clients that have no token of their own.
        timeout: how long a call may take: the seconds for the whole of it, or a ``Timeout``.
        retries: how often a call may be sent again, where that is safe; 0 turns it off.
        max_connections: how many calls may be in flight at once, those of all threads together
            and those of each event loop; further ones wait for ``Timeout.pool`` seconds at most.
            Calls through an httpx client of your own are not counted.
        keepalive_expiry: for how many seconds an idle connection is kept. It must be less than
            what the server, or a proxy before it, keeps one (UpGrade: 5 s); 0 keeps none. Marks and
            rewards go out only on a connection that was idle for a second at most, since one that
            the server is just closing leaves open whether they were applied.
        store: where all workers find what one of them was answered: a store of
            ``upgrade_client_lib.stores``, or one of your own. Without one, each client knows what
            it was answered itself, until that is cleared.
        max_age: for how many seconds an answer in the store is used without asking again.
        stale_if_error: for how many seconds more decisions are served it where the server cannot
            be asked again. The documented methods never are.
        outbox: what keeps the events that are handed over until they are delivered, by
            ``decision.mark()``, ``enqueue_mark``, ``enqueue_log`` and ``enqueue_reward``: a store
            of ``upgrade_client_lib.stores``, ``store`` itself or another.
        max_events: how many events the outbox holds, those that were set aside too.
        max_event_age: for how many seconds an event waits for delivery; a week by default.
        flush_at_exit: for how many seconds :meth:`close` and the end of the process wait for the
            delivery of what was handed over.
        hash_key: a secret, with which the user ids in the store's keys are hashed, but not those of
            the outbox, which has to send them.
        breaker: whether reads (assignments and flags) fail at once, with a ``CircuitOpenError``,
            after five in a row found no server. They do for a second at first and for half a minute
            at the most, after which one read tries again. Marks, logs, rewards and ``init`` are
            always sent.
        hooks: what wants to hear of calls and decisions; see :class:`Hook`.
        max_response_bytes: how large an answer may be, decompressed; 32 MB by default. A larger
            one is not read to its end: an ``UnreadableAnswerError``.
        headers: sent with every request, beside those that UpGrade needs, which win. A
            ``User-Agent`` takes the place of the library's own. Their values are as secret as a
            token: no error and no log line shows them.
        proxy: the address of a proxy. Without it, the usual environment variables decide,
            unless ``trust_env`` is false; ``NO_PROXY`` may list ranges such as ``10.0.0.0/8``.
            A ``socks5://`` one needs ``pip install "upgrade-client-lib[socks]"``.
        trust_env: whether the environment may name a proxy and certificates.
        ssl_context: for certificates of your own; by default, TLS is verified against those
            that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names, or certifi's.
        http_client: your own httpx client for blocking calls; the other kind of call goes its
            usual way. Its settings are kept, a ``User-Agent`` of its own among them, but redirects
            are not followed, of two time limits the shorter one holds, and answers are asked
            for in gzip or deflate. Its sockets are not ours: a call may outlast its total time
            while a server sends the head of an answer piece by piece. What its hooks and its
            authentication read of an answer is not bounded by ``max_response_bytes``, and the
            secrets in its own headers are not known here. Closing it is yours, and so is making a
            new one in a child process.
        async_http_client: the same for async calls.
        async_engine: what async calls are sent by: ``"httpx"``, or ``"aiohttp"``, which takes a
            fraction of the processor's time and needs
            ``pip install "upgrade-client-lib[aiohttp]"``. All that is said here holds with both,
            but that aiohttp knows no SOCKS proxies, and on Python before 3.11 no https:// proxy
            for an https:// server.
        transport: an httpx transport to send through instead of sockets, such as
            ``LocalUpgrade().transport``; closing it is yours.
        pickle_secrets: whether ``token``, ``headers``, ``hash_key`` and a proxy's password go into
            a pickle of the connection. By default they are left out, and making a client of what
            was unpickled without them is a ``RuntimeError`` that names them; without the token
            alone, one may be given to the client.

    A connection pickles as its settings, without sockets and without what it knows: a worker on
    another machine gets one that makes its own. With a store, httpx parts or an SSL context of your
    own it does not pickle, a ``TypeError``. Copying it gives the same connection.

    Raises ``TypeError`` or ``ValueError``, which names the argument. Redirects are never
    followed. Use after :meth:`close` is a ``RuntimeError``.
    """

    def __init__(
        self,
        host_url: str,
        *,
        token: str = "",
        timeout: TimeoutOption = DEFAULT_OPTIONS.timeout,
        retries: int = DEFAULT_OPTIONS.retries,
        max_connections: int = 20,
        keepalive_expiry: float = 4.0,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        store: Store | None = None,
        max_age: float = MAX_AGE,
        stale_if_error: float = STALE_IF_ERROR,
        outbox: EventStore | None = None,
        max_events: int = MAX_EVENTS,
        max_event_age: float = MAX_EVENT_AGE,
        flush_at_exit: float = FLUSH_AT_EXIT,
        hash_key: str | bytes | None = None,
        breaker: bool = True,
        hooks: Sequence[Hook] = (),
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        http_client: httpx.Client | None = None,
        async_http_client: httpx.AsyncClient | None = None,
        async_engine: Literal["httpx", "aiohttp"] = "httpx",
        transport: HttpTransport | None = None,
        pickle_secrets: bool = False,
    ) -> None:
        self._settings = Settings(
            {name: value for name, value in locals().items() if name != "self"}
        )
        self._lacking: tuple[str, ...] = ()
        self._own_stores: tuple[Any, ...] = ()
        arguments.boolean("pickle_secrets", pickle_secrets)
        self._server = Server(
            TransportSettings(
                host_url=arguments.host_url(host_url),
                headers=arguments.headers(headers),
                max_connections=arguments.positive("max_connections", max_connections),
                keepalive_expiry=arguments.seconds("keepalive_expiry", keepalive_expiry),
                max_response_bytes=arguments.positive("max_response_bytes", max_response_bytes),
                proxy=proxy,
                trust_env=arguments.boolean("trust_env", trust_env),
                ssl_context=ssl_context,
                http_client=http_client,
                async_http_client=async_http_client,
                async_engine=async_engine,
                transport=transport,
            ),
            arguments.header("token", token, secret=True),
            CallOptions(timeout_option(timeout), retries_option(retries)),
            breaker=arguments.boolean("breaker", breaker),
            hooks=hooks_option(hooks),
            store=store,
            hash_key=arguments.key_bytes("hash_key", hash_key),
            max_age=arguments.seconds("max_age", max_age),
            stale_if_error=arguments.seconds("stale_if_error", stale_if_error),
        )
        limits = (
            arguments.positive("max_events", max_events),
            arguments.seconds("max_event_age", max_event_age),
            arguments.seconds("flush_at_exit", flush_at_exit),
        )
        if outbox is not None:
            self._server.outbox = _user.make_outbox(self._server, outbox, *limits)

    @classmethod
    def from_env(cls) -> UpgradeConnection:
        """Return a connection with the settings of the environment.

        ``UPGRADE_HOST_URL`` is the server's address, ``UPGRADE_TOKEN`` the token, if it wants one,
        ``UPGRADE_TIMEOUT`` the seconds that a call may take, if not the default, and
        ``UPGRADE_STORE`` and ``UPGRADE_OUTBOX`` the addresses of a store and of what the outbox
        keeps its events in, if there shall be one (``memory:``, ``sqlite:///path`` or
        ``redis://…``). A variable that is wrong or missing is a ``ValueError`` that names it.

        >>> connection = UpgradeConnection.from_env()
        """
        settings = read_settings(os.environ)
        store = store_of_environment(settings.store_url)
        outbox: Any = store_of_environment(settings.outbox_url, OUTBOX)
        connection = cls(
            settings.host_url,
            token=settings.token,
            timeout=DEFAULT_OPTIONS.timeout if settings.timeout is None else settings.timeout,
            store=store,
            outbox=outbox,
        )
        connection._own_stores = tuple(filter(None, (store, outbox)))
        return connection

    @property
    def host_url(self) -> str:
        """The server's address, as it is used."""
        return self._server.host_url

    @property
    def outbox(self) -> Outbox:
        """The outbox; a ``RuntimeError`` where the connection has none."""
        if self._server.outbox is None:
            raise RuntimeError("this connection has no outbox: it was made without outbox=")
        from ._outbox import Outbox

        return Outbox(self._server.outbox)

    @property
    def has_outbox(self) -> bool:
        """Whether marks, logs and rewards can be handed over."""
        return self._server.outbox is not None

    @property
    def circuit_open(self) -> bool:
        """Whether reads fail at once, since the last ones found no server; see ``breaker``.

        It stays so until a read was answered.
        """
        return self._server.circuit_open

    @property
    def has_store(self) -> bool:
        """Whether decisions may come from a store while the server is away."""
        return self._server.store_access is not None

    def client(
        self,
        user_id: str,
        context: str,
        *,
        token: str = "",
        client_session_id: str | None = None,
        rotation: Rotation = "auto",
        group: Mapping[str, Sequence[str]] | None = None,
        working_group: Mapping[str, str] | None = None,
        groups_for_session: Mapping[str, Sequence[str]] | None = None,
        include_stored_user_groups: bool | None = None,
    ) -> UpgradeClient:
        """Return the client of one user in one context, which opens nothing and sends nothing.

        The arguments are those of :class:`UpgradeClient`.
        """
        lacking = [name for name in self._lacking if name != "token" or not token]
        if lacking:
            raise RuntimeError(
                f"this connection was pickled without its {' and '.join(lacking)}: make it with"
                " pickle_secrets=True, or make one here, such as UpgradeConnection.from_env()"
            )
        return UpgradeClient(
            user_id,
            self.host_url,
            context,
            token,
            client_session_id,
            connection=self,
            rotation=rotation,
            group=group,
            working_group=working_group,
            groups_for_session=groups_for_session,
            include_stored_user_groups=include_stored_user_groups,
        )

    async def forget(self, user_id: str) -> None:
        """Remove what the connection's store knows of a user; nothing is sent to the server.

        The outbox keeps the user's events. Clients that live go on with what they were answered,
        for a second at most. A ``RuntimeError`` where the store fails, since it may still know the
        user then.
        """
        await _user.forget(self._server, ASYNC, user_id)

    def forget_sync(self, user_id: str) -> None:
        """Remove, blocking, what the connection's store knows of a user.

        Arguments, answer and errors are those of :meth:`forget`.
        """
        run_sync(_user.forget(self._server, SYNC, user_id))

    def close(self) -> None:
        """Close the sockets. Those of event loops are closed by their loops, without waiting.

        Before that, what was handed over is delivered, for ``flush_at_exit`` seconds at the most.
        May be called twice, and from any thread. Every later call that needs the server is a
        ``RuntimeError``.
        """
        if self._server.outbox is not None:
            self._server.outbox.close()
        self._server.close()
        self._close_own_stores()

    async def aclose(self) -> None:
        """Close the sockets, those of the running event loop before this returns.

        Before that, what was handed over is delivered, as by :meth:`close`.
        """
        if self._server.outbox is not None:
            import asyncio  # late, since many programs need none

            await asyncio.to_thread(self._server.outbox.close)
        await self._server.aclose()
        self._close_own_stores()

    def _close_own_stores(self) -> None:
        """Close the stores that the environment named."""
        for store in self._own_stores:
            getattr(store, "close", lambda: None)()

    def __enter__(self) -> UpgradeConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> UpgradeConnection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._unpickled, portable(self._settings)

    @classmethod
    def _unpickled(cls, settings: Mapping[str, Any], lacking: tuple[str, ...]) -> UpgradeConnection:
        connection = cls(**settings)
        connection._lacking = lacking
        return connection

    def __copy__(self) -> UpgradeConnection:
        return self

    def __deepcopy__(self, memo: object) -> UpgradeConnection:
        return self

    def __repr__(self) -> str:
        return f"UpgradeConnection({self.host_url!r})"
