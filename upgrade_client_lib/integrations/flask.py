"""Flask: the client of a request's user, and decisions in templates.

>>> from upgrade_client_lib.integrations.flask import Upgrade
>>> upgrade = Upgrade("my-app", user=lambda: session.get("student"))
>>> upgrade.init_app(app)
>>> @app.get("/")
... def home() -> str:
...     return upgrade.client.decide_sync("home", "banner", default="control").condition
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._rules import arguments
from ..client import UpgradeClient
from ..connection import UpgradeConnection
from ..decision import Decision, FlagDecision
from ._decisions import undecided, undecided_flag
from ._health import health_of

try:
    from flask import Flask, abort, current_app, has_request_context, request
except ImportError as error:
    raise ImportError(
        'this module needs the package flask: pip install "upgrade-client-lib[flask]"'
    ) from error

__all__ = ["Upgrade"]

_EXTENSION = "upgrade"

_CLIENT = "_upgrade_client"
"""The attribute of a request that keeps its client."""


class Upgrade:
    """UpGrade in applications of Flask.

    Each application has one ``Upgrade``, and one connection in a process, which is made by
    :meth:`init_app` and closed at the end of the process. Making it opens nothing, so that a server
    may load the application before it forks its workers.

    In templates, ``decision(site, target, default="")`` and ``flag(key, default=False)`` decide for
    the request's user; they are the defaults where nobody has signed in.

    Args:
        context: the application's context, exactly as UpGrade has it.
        app: the application, or none, to call :meth:`init_app` later.
        user: gives the id of the current request's user; ``None`` where nobody has signed in.
        group: gives the user's groups, ``{}`` for none, with which they are made known when that is
            needed. Without it, or where it gives ``None``, they never are.
        working_group: gives the groups that the user works in.
        connect: makes the connection; by default from the environment, as
            :meth:`UpgradeConnection.from_env` says.
    """

    def __init__(
        self,
        context: str,
        app: Flask | None = None,
        *,
        user: Callable[[], str | None],
        group: Callable[[], Mapping[str, Sequence[str]] | None] | None = None,
        working_group: Callable[[], Mapping[str, str] | None] | None = None,
        connect: Callable[[], UpgradeConnection] = UpgradeConnection.from_env,
    ) -> None:
        self._context = arguments.nonempty("context", context)
        self._user = user
        self._group = group
        self._working_group = working_group
        self._connect = connect
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make the connection of an application, and add ``decision`` and ``flag`` to Jinja.

        For the same application, a second call does nothing; a second ``Upgrade`` is a
        ``RuntimeError``.
        """
        connections: dict[Upgrade, UpgradeConnection] = app.extensions.setdefault(_EXTENSION, {})
        if self in connections:
            return
        if connections:  # its templates have one decision() and one flag()
            raise RuntimeError(
                "this application has an Upgrade already, and one serves all of its users: use that"
                " one. For another context, make clients by upgrade.connection.client(user_id,"
                " context)"
            )
        connection = connections[self] = self._connect()
        weakref.finalize(app, connection.close)  # at exit too
        in_templates: dict[str, Any] = {"decision": self._decision, "flag": self._flag}
        app.jinja_env.globals.update(in_templates)

    @property
    def connection(self) -> UpgradeConnection:
        """The connection of the current application in this process."""
        connections: dict[Upgrade, UpgradeConnection] = current_app.extensions.get(_EXTENSION, {})
        connection = connections.get(self)
        if connection is None:
            raise RuntimeError("this application has no UpGrade: call upgrade.init_app(app)")
        return connection

    @property
    def client(self) -> UpgradeClient:
        """The client of the current request's user; status 401 where nobody has signed in."""
        client = self.client_or_none
        return abort(401) if client is None else client

    @property
    def client_or_none(self) -> UpgradeClient | None:
        """The client of the current request's user; ``None`` where nobody has signed in.

        It is made once for each request, and anew for another user, after a sign-in in a view;
        outside of a request, each time.
        """
        connection, user_id = self.connection, self._user()
        if user_id is None:
            return None
        # Not on g, which requests share where a test or a command holds an application context.
        kept: dict[str, Any] = vars(request) if has_request_context() else {}
        client: UpgradeClient | None = kept.get(_CLIENT)
        if client is None or client.user_id != user_id:
            client = kept[_CLIENT] = connection.client(
                user_id,
                self._context,
                group=None if self._group is None else self._group(),
                working_group=None if self._working_group is None else self._working_group(),
            )
        return client

    def health(self) -> dict[str, Any]:
        """Respond with ``{"upgrade": "ok"}``, or ``"unreachable"`` while the server is away.

        A view for ``app.add_url_rule("/health", view_func=upgrade.health)``. The status is 200 in
        either case, since pages come without UpGrade too. It sends nothing: it tells what the last
        calls of this process saw.
        """
        return health_of(self.connection)

    def _decision(self, site: str, target: str | None = "", default: str = "") -> Decision:
        client = self.client_or_none
        if client is None:
            return undecided(self._context, site, target, default)
        return client.decide_sync(site, target, default=default)

    def _flag(self, key: str, default: bool = False) -> FlagDecision:
        client = self.client_or_none
        if client is None:
            return undecided_flag(self._context, key, default)
        return client.decide_flag_sync(key, default=default)
