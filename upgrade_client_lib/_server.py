"""One server as the rest of the package knows it: its sockets, its health, its defaults."""

from __future__ import annotations

from typing import TypeVar

from ._endpoints import Operation
from ._exchange import Health, exchange
from ._faces import Face
from ._options import CallOptions
from ._settings import TransportSettings
from ._transport import Transport

T = TypeVar("T")


class Server:
    """What an ``UpgradeConnection`` is, behind its public face."""

    __slots__ = ("_health", "_transport", "host_url", "options", "token")

    def __init__(self, settings: TransportSettings, token: str, options: CallOptions) -> None:
        self.host_url = settings.host_url
        self.token = token
        self.options = options
        self._transport = Transport(settings)
        self._health = Health(settings.host_url)

    async def call(self, face: Face, operation: Operation[T], options: CallOptions) -> T:
        """Carry out an operation, and give its answer as it was read."""
        return await exchange(face, self._transport, self._health, operation, options)

    def close(self) -> None:
        self._transport.close()

    async def aclose(self) -> None:
        await self._transport.aclose()
