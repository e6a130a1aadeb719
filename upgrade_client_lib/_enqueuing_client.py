"""What a client hands over to the connection's outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._base_client import BaseClient
from ._sync import ASYNC, SYNC, run_sync
from .types import (
    BinaryRewardValue,
    BinaryRewardValueText,
    DecisionPoint,
    LogInput,
    OutboxEvent,
)


class EnqueuingClient(BaseClient):
    """The operations of ``UpgradeClient`` that the outbox delivers."""

    __slots__ = ()

    async def enqueue_log(self, metrics: Sequence[LogInput | Mapping[str, object]]) -> OutboxEvent:
        """Hand metrics of the user over to the connection's outbox, which delivers them.

        Arguments are those of :meth:`UpgradeClient.log`, and checked at once; at least one entry is
        needed. The server dates them by their timestamps. An ``OutboxFullError`` where the outbox
        is full, an ``OutboxError`` where its store fails; a ``RuntimeError`` without an outbox; a
        ``ValueError`` if this client has a token of its own, since none is kept.

        >>> await client.enqueue_log([LogInput(datetime.now(), LogMetrics({"seconds": 95}))])
        """
        return await self._user.enqueue_log(ASYNC, metrics)

    def enqueue_log_sync(self, metrics: Sequence[LogInput | Mapping[str, object]]) -> OutboxEvent:
        """Hand metrics of the user over to the outbox, blocking for its store alone.

        Arguments, answer and errors are those of :meth:`enqueue_log`.
        """
        return run_sync(self._user.enqueue_log(SYNC, metrics))

    async def enqueue_reward(
        self,
        reward_value: BinaryRewardValue | BinaryRewardValueText,
        experiment_id: str | None = None,
        context: str | None = None,
        decision_point: DecisionPoint | Mapping[str, str] | None = None,
    ) -> OutboxEvent:
        """Hand a reward over to the connection's outbox, which delivers it.

        Arguments are those of :meth:`UpgradeClient.send_reward`, and checked at once; errors are
        those of :meth:`enqueue_log`.

        >>> await client.enqueue_reward("SUCCESS", decision_point=DecisionPoint("home", "hint"))
        """
        return await self._user.enqueue_reward(
            ASYNC, reward_value, experiment_id, context, decision_point
        )

    def enqueue_reward_sync(
        self,
        reward_value: BinaryRewardValue | BinaryRewardValueText,
        experiment_id: str | None = None,
        context: str | None = None,
        decision_point: DecisionPoint | Mapping[str, str] | None = None,
    ) -> OutboxEvent:
        """Hand a reward over to the outbox, blocking for its store alone.

        Arguments, answer and errors are those of :meth:`enqueue_reward`.
        """
        return run_sync(
            self._user.enqueue_reward(SYNC, reward_value, experiment_id, context, decision_point)
        )
