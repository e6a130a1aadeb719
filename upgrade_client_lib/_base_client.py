"""Who a client speaks for, through which connection, and until when."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, TypeVar

from . import _validation
from ._cache import AssignmentCache, Rotation
from ._endpoints import Identity
from ._options import CallOptions, TimeoutOption, retries_option, timeout_option
from ._user import User
from .connection import UpgradeConnection, shared_connection
from .types import BinaryRewardValue, MarkedDecisionPointStatus

if TYPE_CHECKING:
    from ._transport import HttpTransport

Self = TypeVar("Self", bound="BaseClient")


_NEVER_WARM = AssignmentCache()
"""Where the warm reads of a view look: in vain, so that its assignments get its own options."""

_ROTATIONS = ("auto", "decision_point", "experiment")


class BaseClient:
    """A user in a context: what ``UpgradeClient`` is, apart from what it can do."""

    __slots__ = (
        "__weakref__",
        "_assignments",
        "_flags",
        "_options",
        "_user",
        "_warm",
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
        groups_for_session: Mapping[str, Sequence[str]] | None = None,
        include_stored_user_groups: bool | None = None,
    ) -> None:
        _validation.nonempty("user_id", user_id)
        _validation.nonempty("context", context)
        _validation.nonempty("host_url", host_url)
        if rotation not in _ROTATIONS:
            raise ValueError(f"rotation must be one of {_ROTATIONS}, not {rotation!r}")
        session_id = "" if client_session_id is None else client_session_id
        owns_connection = connection is None and transport is not None
        server = _connection(host_url, connection, transport)._server  # pyright: ignore[reportPrivateUsage]
        identity = Identity(
            _validation.header("user_id", user_id),
            _validation.header("client_session_id", session_id) or str(uuid.uuid4()),
            context,
            _validation.header("token", token, secret=True) or server.token,
        )
        self._assignments = AssignmentCache()
        self._user = User(
            server,
            identity,
            self._assignments,
            rotation,
            _validation.session_groups(groups_for_session, include_stored_user_groups),
            owns_connection,
        )
        self._options: CallOptions = server.options
        self._flags = self._user.flags
        self._warm = self._assignments

    @property
    def user_id(self) -> str:
        """The user that this client speaks for."""
        return self._user.identity.user_id

    @property
    def context(self) -> str:
        """The application's context that it asks in."""
        return self._user.identity.context

    @property
    def client_session_id(self) -> str:
        """What ties this client's requests together in the server's log."""
        return self._user.identity.session_id

    def with_options(
        self: Self, *, timeout: TimeoutOption | None = None, retries: int | None = None
    ) -> Self:
        """Give a light view on this client that calls with other options.

        The same user with the same caches: what one learns or marks, the other knows.
        ``timeout`` is a ``Timeout``, or the seconds that a whole call may take; ``retries`` is how
        often a call may be sent again where that is safe. What is left out stays as it is here.
        Closing a view closes its client.

        >>> client.with_options(timeout=0.5, retries=0).has_feature_flag_sync("new-dashboard")
        """
        view = copy.copy(self)
        view._warm = _NEVER_WARM
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
        self._user.session_groups = _validation.session_groups(
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

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(user_id={self.user_id!r}, context={self.context!r},"
            f" host_url={self._user.server.host_url!r})"
        )


def _connection(
    host_url: str, connection: UpgradeConnection | None, transport: HttpTransport | None
) -> UpgradeConnection:
    """The connection a client was given, one of its own for a transport, or the shared one."""
    if connection is None:
        if transport is None:
            return shared_connection(host_url)
        return UpgradeConnection(host_url, transport=transport)
    connection = _validation.instance("connection", connection, UpgradeConnection)
    if transport is not None:
        raise ValueError("a transport belongs to its connection: give one of the two")
    if host_url != connection.host_url and _validation.host_url(host_url) != connection.host_url:
        raise ValueError(
            f"host_url is {host_url!r}, but the connection is one to {connection.host_url!r}"
        )
    return connection
