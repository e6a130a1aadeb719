"""The base of a client: its user, its server, its options, and when it is closed."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, cast

from . import _user
from ._api import Identity
from ._http import (
    DEFAULT_OPTIONS,
    CallOptions,
    TimeoutOption,
    retries_option,
    timeout_option,
)
from ._rules import arguments
from ._rules.environment import CONTEXT, OUTBOX, read_settings, required
from ._rules.queues import Rotation
from ._server import (
    FLUSH_AT_EXIT,
    MAX_EVENT_AGE,
    MAX_EVENTS,
    Server,
    server_with_transport,
    shared_server,
    store_of_environment,
)
from ._user import AssignmentCache, User
from .types import BinaryRewardValue, MarkedDecisionPointStatus

if TYPE_CHECKING:
    from ._http import HttpTransport
    from ._outbox import EventQueue
    from .connection import UpgradeConnection

Self = TypeVar("Self", bound="BaseClient")

_EMPTY_CACHE = AssignmentCache()
"""Where the warm reads of a view look; always empty, so that the view's options apply."""

_ROTATIONS = ("auto", "decision_point", "experiment")


class BaseClient:
    """One user in one context: all of ``UpgradeClient`` but its operations."""

    __slots__ = (
        "__weakref__",
        "_assignments",
        "_flags",
        "_options",
        "_read_cache",
        "_user",
    )

    MARKED_DECISION_POINT_STATUS: ClassVar[type[MarkedDecisionPointStatus]] = (
        MarkedDecisionPointStatus
    )
    BINARY_REWARD_VALUE: ClassVar[type[BinaryRewardValue]] = BinaryRewardValue

    def __init__(
        self,
        user_id: str,
        host_url: str,
        context: str,
        token: str = "",
        client_session_id: str | None = None,
        *,
        connection: UpgradeConnection | None = None,
        transport: HttpTransport | None = None,
        rotation: Rotation = "auto",
        group: Mapping[str, Sequence[str]] | None = None,
        working_group: Mapping[str, str] | None = None,
        groups_for_session: Mapping[str, Sequence[str]] | None = None,
        include_stored_user_groups: bool | None = None,
    ) -> None:
        arguments.nonempty("context", context)
        arguments.nonempty("host_url", host_url)
        if rotation not in _ROTATIONS:
            raise ValueError(f"rotation must be one of {_ROTATIONS}, not {rotation!r}")
        session_id = "" if client_session_id is None else client_session_id
        owns_server = connection is None and transport is not None
        server = _server(host_url, connection, transport)
        identity = Identity(
            arguments.header("user_id", arguments.nonempty("user_id", user_id)),
            arguments.header("client_session_id", session_id) or os.urandom(16),
            context,
            arguments.header("token", token, secret=True) or server.token,
        )
        self._assignments = AssignmentCache()
        self._user = User(
            server,
            identity,
            self._assignments,
            rotation,
            arguments.session_groups(groups_for_session, include_stored_user_groups),
            arguments.stated_groups(group, working_group),
            owns_server,
        )
        self._options: CallOptions = server.options
        self._flags = self._user.flags
        self._read_cache = self._assignments

    @classmethod
    def from_env(
        cls: type[Self],
        user_id: str,
        *,
        group: Mapping[str, Sequence[str]] | None = None,
        working_group: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the client of a user, with the settings of the environment.

        ``UPGRADE_CONTEXT`` is the application's context; the other variables are those of
        :meth:`UpgradeConnection.from_env`. Clients of the same settings share one connection in a
        process. A variable that is wrong or missing is a ``ValueError`` that names it.

        >>> client = UpgradeClient.from_env("user-1")
        """
        settings = read_settings(os.environ)
        options = DEFAULT_OPTIONS
        if settings.timeout is not None:
            options = CallOptions(timeout_option(settings.timeout), options.retries)
        return cls(
            user_id,
            settings.host_url,
            required(os.environ, CONTEXT),
            settings.token,
            # A server is what is behind a connection, and taken for one.
            connection=cast(
                "UpgradeConnection",
                shared_server(
                    settings.host_url,
                    options,
                    settings.store_url,
                    settings.outbox_url,
                    outbox_of_environment,
                ),
            ),
            group=group,
            working_group=working_group,
        )

    @property
    def user_id(self) -> str:
        """The id of the user."""
        return self._user.identity.user_id

    @property
    def context(self) -> str:
        """The application's context."""
        return self._user.identity.context

    @property
    def client_session_id(self) -> str:
        """The id by which the server's log relates this client's requests."""
        return self._user.identity.session_id

    def with_options(
        self: Self, *, timeout: TimeoutOption | None = None, retries: int | None = None
    ) -> Self:
        """Return a light view on this client that calls with other options.

        The same user with the same caches: what one learns or marks, the other knows.
        ``timeout`` is a ``Timeout``, or the seconds that a whole call may take; ``retries`` is how
        often a call may be sent again where that is safe. What is left out stays as it is here.
        Closing a view closes its client.

        >>> client.with_options(timeout=0.5, retries=0).has_feature_flag_sync("new-dashboard")
        """
        view = copy.copy(self)
        view._read_cache = _EMPTY_CACHE
        view._options = CallOptions(
            self._options.timeout if timeout is None else timeout_option(timeout),
            self._options.retries if retries is None else retries_option(retries),
        )
        return view

    def set_feature_flag_user_groups_for_session(
        self,
        groups_for_session: Mapping[str, Sequence[str]] | None,
        include_stored_user_groups: bool | None,
    ) -> None:
        """Set the groups that feature flags are decided by, for this client alone.

        Sends nothing and stores nothing on the server; it clears the cached flags, and the next
        question about flags carries the groups. With ``include_stored_user_groups=True`` the
        stored groups count too. With ``False``, only the given ones do, and the user need not be
        initialised. ``None`` for both goes back to the stored groups; one without the other is a
        ``ValueError``.

        >>> client.set_feature_flag_user_groups_for_session({"class": ["class-1"]}, False)
        """
        self._user.session_groups = arguments.session_groups(
            groups_for_session, include_stored_user_groups
        )
        self._user.flags.clear()

    def close(self) -> None:
        """Drop what is cached. Every later request is a ``RuntimeError``; may be called twice.

        A connection that was given, or that clients share, stays open.
        """
        self._user.close()

    async def aclose(self) -> None:
        """Drop what is cached: the async form of :meth:`close`."""
        await self._user.aclose()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __copy__(self: Self) -> Self:
        copied: Self = object.__new__(type(self))
        # What it has in a dictionary, or None, and in slots.
        state: tuple[dict[str, Any] | None, ...] = cast(Any, object.__reduce_ex__(self, 4)[2])
        for attributes in filter(None, state):
            for name, value in attributes.items():
                setattr(copied, name, value)
        return copied

    def __deepcopy__(self: Self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a client cannot be pickled, since it belongs to this process: pickle its connection,"
            " and make the client where it is used, with connection.client(user_id, context)"
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(user_id={self.user_id!r}, context={self.context!r},"
            f" host_url={self._user.server.host_url!r})"
        )


def outbox_of_environment(server: Server, url: str) -> EventQueue:
    """Return the outbox that the environment names; a ``ValueError`` names the variable."""
    store: Any = store_of_environment(url, OUTBOX)
    return _user.make_outbox(server, store, MAX_EVENTS, MAX_EVENT_AGE, FLUSH_AT_EXIT)


def _server(
    host_url: str, connection: UpgradeConnection | None, transport: HttpTransport | None
) -> Server:
    """Return the server of a connection, one of its own for a transport, or the shared one."""
    if connection is None:
        if transport is None:
            return shared_server(host_url)
        return server_with_transport(host_url, transport)
    server: object = getattr(connection, "_server", connection)
    if not isinstance(server, Server):
        raise TypeError(f"connection must be an UpgradeConnection, not {type(connection).__name__}")
    if transport is not None:
        raise ValueError("a transport belongs to its connection: give one of the two")
    if host_url != server.host_url and arguments.host_url(host_url) != server.host_url:
        raise ValueError(
            f"host_url is {host_url!r}, but the connection is one to {server.host_url!r}"
        )
    return server
