"""The questions whose answers are cached, asked through either form."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import attrs
import pytest

from tests.support_forms import Form
from upgrade_client_lib import UpgradeClient


@attrs.frozen
class Read:
    """A question whose answer is cached."""

    endpoint: str
    method: str
    arguments: tuple[str, ...] = ()

    def __call__(self, client: UpgradeClient) -> Coroutine[Any, Any, Any]:
        question: Coroutine[Any, Any, Any] = getattr(client, self.method)(*self.arguments)
        return question

    def sync(self, client: UpgradeClient) -> Any:
        return getattr(client, f"{self.method}_sync")(*self.arguments)

    def through(self, call: Form, client: UpgradeClient) -> Any:
        return call(getattr(client, self.method), *self.arguments)


READS = [
    Read("assign", "get_all_experiment_conditions"),
    Read("assign", "get_decision_point_assignment", ("home", "banner")),
    Read("featureflag", "get_all_feature_flags"),
    Read("featureflag", "has_feature_flag", ("new-dashboard",)),
]
every_read = pytest.mark.parametrize("read", READS, ids=lambda read: read.method)


async def until_waiting() -> None:
    """Let every task that was begun run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def begun(count: int, read: Read, client: UpgradeClient) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(read(client)) for _ in range(count)]
