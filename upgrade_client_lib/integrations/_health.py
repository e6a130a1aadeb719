"""What a health check says of a connection."""

from __future__ import annotations

from typing import Any

from ..connection import UpgradeConnection


def health_of(connection: UpgradeConnection) -> dict[str, Any]:
    """Return what the last calls saw, as plain data; nothing is sent.

    ``upgrade`` is ``"ok"``, or ``"unreachable"`` while the circuit breaker is open.
    """
    return {"upgrade": "unreachable" if connection.circuit_open else "ok"}
