"""Connections with an outbox, on a server that a test steers; no test waits for real pauses."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from tests.support_server import HOST, PATIENCE, SteeredServer, local_upgrade
from upgrade_client_lib import Decision, UpgradeClient, UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib._rules import delivery
from upgrade_client_lib.hooks import Hook
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import LogInput, LogMetrics, OutboxEvent

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS
LOG = [LogInput("2026-11-20T08:00:00.000Z", LogMetrics({"seconds": 95}))]
UPGRADE_SAYS: dict[str, object] = {"name": "Error", "endPoint": "/api/v6/mark"}


def said(status: int, error_type: str | None = None, message: str = "no") -> dict[str, object]:
    """An error as UpGrade writes it."""
    answer = {**UPGRADE_SAYS, "errorCode": status, "message": message}
    return answer if error_type is None else {**answer, "type": error_type}


class Heard(Hook):
    """Keeps what hooks are told."""

    def __init__(self) -> None:
        self.delivered: list[OutboxEvent] = []
        self.set_aside: list[OutboxEvent] = []
        self.errors: list[Exception] = []

    def event_delivered(self, event: OutboxEvent) -> None:
        self.delivered.append(event)

    def event_set_aside(self, event: OutboxEvent) -> None:
        self.set_aside.append(event)

    def handover_failed(self, error: Exception) -> None:
        self.errors.append(error)

    def store_failed(self, error: Exception) -> None:
        self.errors.append(error)


class Served:
    """A school's server, and connections to it that share an outbox."""

    def __init__(self, store: Any = None) -> None:
        self.local: LocalUpgrade = local_upgrade()
        self.server = SteeredServer(self.local.transport)
        self.store = MemoryStore() if store is None else store
        self.heard = Heard()
        self._opened: list[UpgradeConnection] = []

    def connect(self, **options: Any) -> UpgradeConnection:
        given: dict[str, Any] = {
            "outbox": self.store,
            "hooks": [self.heard],
            "retries": 0,
            **options,
        }
        connection = UpgradeConnection(HOST, transport=self.server, **given)
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        self.server.forget_answers()
        for connection in self._opened:
            connection.close()

    def marks(self) -> list[Any]:
        return self.server.bodies("mark")

    def conditions(self) -> list[Any]:
        """The codes that were marked, in the order of their arrival."""
        return [mark["data"]["assignedCondition"]["conditionCode"] for mark in self.marks()]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Generator[Served, None, None]:
    hurry(monkeypatch)
    serving = Served()
    yield serving
    serving.close()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pauses and waits be short."""
    monkeypatch.setattr(delivery, "PAUSES", (0.01,))
    monkeypatch.setattr(delivery, "LINE_DELAYS", (0.01,) * 7)
    monkeypatch.setattr(delivery, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(deliverer, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(deliverer, "STORE_PAUSE_SECONDS", 0.01)


def known_user(
    connection: UpgradeConnection, user_id: str = "user", **options: Any
) -> UpgradeClient:
    client = connection.client(user_id, "my-app", **options)
    client.init_sync()
    return client


def decided(client: UpgradeClient, site: str = "home", target: str = "banner") -> Decision:
    return client.decide_sync(site, target, default="the default")


def counts_when(connection: UpgradeConnection, *states: str) -> Mapping[str, int]:
    """The counts, once there are events in these states and nothing is being sent."""
    internals: Any = connection
    delivering = internals._server.outbox._deliverer
    deadline = time.monotonic() + PATIENCE
    while True:
        connection.outbox.flush_sync(0.01)
        counts = connection.outbox.counts_sync()
        is_so = set(counts) == set(states) and not delivering._busy
        if is_so or time.monotonic() >= deadline:
            return counts
        time.sleep(0.001)
