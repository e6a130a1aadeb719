"""Clients of a LocalUpgrade."""

from __future__ import annotations

from typing import Any

from tests.support_exchanges import HOST
from tests.support_forms import Form
from upgrade_client_lib import UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade


def client_at(
    local: LocalUpgrade, user_id: str = "u1", context: str = "my-app", **options: Any
) -> UpgradeClient:
    """A user's client, with options of ``UpgradeClient``."""
    return UpgradeClient(user_id, HOST, context, transport=local.transport, **options)


def initialised_at(call: Form, local: LocalUpgrade, user_id: str = "u1") -> UpgradeClient:
    client = client_at(local, user_id)
    call(client.init)
    return client


def connected_to(local: LocalUpgrade, **options: Any) -> UpgradeClient:
    """The client of a connection of its own, with options of ``UpgradeConnection``."""
    connection = UpgradeConnection("http://upgrade", transport=local.transport, **options)
    return connection.client("user", "my-app")
