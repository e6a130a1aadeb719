"""FastAPI and Starlette: the client of a request's user as a dependency.

>>> from upgrade_client_lib.integrations.fastapi import Upgrade
>>> upgrade = Upgrade("my-app", user=lambda request: request.cookies.get("student"))
>>> app = FastAPI(lifespan=upgrade.lifespan)
>>> @app.get("/")
... async def home(client: Annotated[UpgradeClient, Depends(upgrade.client)]) -> str:
...     return (await client.decide("home", "banner", default="control")).condition
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any, Callable, TypeVar, Union

from .._rules import arguments
from ..client import UpgradeClient
from ..connection import UpgradeConnection
from ._health import health_of

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection
    from starlette.responses import JSONResponse
except ImportError as error:
    raise ImportError(
        'this module needs the package starlette: pip install "upgrade-client-lib[fastapi]"'
    ) from error

__all__ = ["Upgrade"]

T = TypeVar("T")

OfRequest = Callable[[HTTPConnection], Union[T, Awaitable[T]]]
"""Reads something from a request, plain or async."""

_CLIENTS = "upgrade_client_lib.clients"
"""Where the scope of a request keeps its clients."""


class Upgrade:
    """UpGrade in an application of FastAPI or Starlette.

    Give :attr:`lifespan` to the application: it makes one connection when a process begins to
    serve, and closes it when it stops. ``Depends(upgrade.client)`` is the client of the user whom a
    request or a websocket comes from, made once for each, and anew for another user, after a
    sign-in; with Starlette alone, it is ``await upgrade.client(request)``.

    Args:
        context: the application's context, exactly as UpGrade has it.
        user: gives the id of a request's user; ``None`` where nobody has signed in.
        group: gives the user's groups, ``{}`` for none, with which they are made known when that is
            needed. Without it, or where it gives ``None``, they never are.
        working_group: gives the groups that the user works in.
        connect: makes the connection; by default from the environment, as
            :meth:`UpgradeConnection.from_env` says.

    All of them but ``connect`` take the request, and may be async.
    """

    def __init__(
        self,
        context: str,
        *,
        user: OfRequest[str | None],
        group: OfRequest[Mapping[str, Sequence[str]] | None] | None = None,
        working_group: OfRequest[Mapping[str, str] | None] | None = None,
        connect: Callable[[], UpgradeConnection] = UpgradeConnection.from_env,
    ) -> None:
        self._context = arguments.nonempty("context", context)
        self._user = user
        self._group = group
        self._working_group = working_group
        self._connect = connect
        self._connections: list[UpgradeConnection] = []

    @property
    def connection(self) -> UpgradeConnection:
        """The connection of this process; a ``RuntimeError`` outside the application's lifespan."""
        if not self._connections:
            raise RuntimeError(
                "UpGrade's connection is open during the application's lifespan alone: give it to"
                " the application, as in FastAPI(lifespan=upgrade.lifespan), or enter it in yours"
            )
        return self._connections[-1]

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncGenerator[None, None]:
        """Hold the connection open while the application runs.

        In a lifespan of your own: ``async with upgrade.lifespan(app): yield``. Several may overlap:
        each holds a connection of its own, and the newest is used.
        """
        async with self._connect() as connection:
            self._connections.append(connection)
            try:
                yield
            finally:
                self._connections.remove(connection)

    async def client(self, request: HTTPConnection) -> UpgradeClient:
        """Return the client of the user, or respond with status 401 where nobody has signed in."""
        client = await self.client_or_none(request)
        if client is None:
            raise HTTPException(401)
        return client

    async def client_or_none(self, request: HTTPConnection) -> UpgradeClient | None:
        """Return the client of the user; ``None`` where nobody has signed in."""
        connection = self.connection
        user_id = await _read(self._user, request)
        if user_id is None:
            return None
        clients: dict[tuple[Upgrade, str], UpgradeClient]
        clients = request.scope.setdefault(_CLIENTS, {})
        key = self, arguments.text("user_id", user_id)
        if key not in clients:
            client = connection.client(
                user_id,
                self._context,
                group=None if self._group is None else await _read(self._group, request),
                working_group=(
                    None
                    if self._working_group is None
                    else await _read(self._working_group, request)
                ),
            )
            clients.setdefault(key, client)  # another may have been made meanwhile
        return clients[key]

    async def health(self, request: HTTPConnection) -> JSONResponse:
        """Respond with ``{"upgrade": "ok"}``, or ``"unreachable"`` while the server is away.

        The status is 200 in either case, since pages come without UpGrade too. It sends nothing: it
        tells what the last calls of this process saw.
        """
        return JSONResponse(health_of(self.connection))


async def _read(reader: OfRequest[T], request: HTTPConnection) -> T:
    value: Any = reader(request)
    if isawaitable(value):
        value = await value
    read: T = value
    return read
