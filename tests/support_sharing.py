"""Workers that share a store: each has a connection of its own, and the same server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stores.support_stores import Kind, Time, memory, redis, sqlite
from tests.support_server import SteeredServer, local_upgrade
from upgrade_client_lib import UpgradeClient, UpgradeConnection
from upgrade_client_lib.stores import Store
from upgrade_client_lib.testing import LocalUpgrade

HOST = "https://upgrade.example.org"


class Workers:
    """A server that counts what it is sent, and a store; each client is another worker's."""

    def __init__(
        self,
        kind: Kind,
        upgrade: LocalUpgrade | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        **options: Any,
    ) -> None:
        self.upgrade = upgrade or local_upgrade()
        self.transport = transport or self.upgrade.transport
        self.server = SteeredServer(self.transport)
        self.kind = kind
        self.options = options

    def connection(self, store: Store | None = None, **options: Any) -> UpgradeConnection:
        options = {"retries": 0, "breaker": False, **self.options, **options}
        # A MemoryStore may be empty, and so false.
        shared = self.kind.open() if store is None else store
        return UpgradeConnection(HOST, transport=self.server, store=shared, **options)

    def client(
        self, user_id: str = "user", context: str = "my-app", **options: Any
    ) -> UpgradeClient:
        """A user's client in another worker."""
        return self.connection().client(user_id, context, **options)

    def known(self, user_id: str = "user", **options: Any) -> UpgradeClient:
        """The client of a user whom the server knows."""
        client = self.client(user_id, **options)
        client.init_sync()
        return client

    def truth(self, user_id: str = "user", context: str = "my-app") -> UpgradeClient:
        """A client that shares nothing."""
        return UpgradeClient(user_id, HOST, context, transport=self.transport)

    def sent(self) -> list[str]:
        return [sent.endpoint for sent in self.server.sent]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """A store of each kind."""
    if request.param == "memory":
        return memory()
    if request.param == "sqlite":
        return sqlite(tmp_path)
    server = request.getfixturevalue("redis_server")
    return redis(server.url, f"{tmp_path}:")


@pytest.fixture
def workers(kind: Kind) -> Workers:
    return Workers(kind)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)
