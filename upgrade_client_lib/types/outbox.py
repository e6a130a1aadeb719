"""What an outbox tells of the events that were handed over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from .enums import OutboxEventKind, OutboxEventState

__all__ = ["OutboxEvent"]


@attrs.frozen(kw_only=True)
class OutboxEvent:
    """A mark, log or reward that was handed over, as the outbox had it when it was asked.

    ``id`` is known here alone: it is never sent. ``problem`` is what went wrong when it was last
    tried. ``site`` and ``target`` are ``""`` for a log, and for a reward by experiment.

    >>> event = client.enqueue_reward_sync("SUCCESS", experiment_id="2b1f...")
    >>> event.state
    <OutboxEventState.WAITING: 'waiting'>
    """

    id: str
    kind: OutboxEventKind
    state: OutboxEventState
    user_id: str
    context: str
    site: str
    target: str
    created_at: datetime
    attempts: int = 0
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a new ``dict`` of text and numbers, for JSON."""
        return {
            **attrs.asdict(self),
            "kind": str(self.kind),
            "state": str(self.state),
            "created_at": self.created_at.isoformat(),
        }
