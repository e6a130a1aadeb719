"""Eight processes mark one user at the same time, and none of them loses or doubles a mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from tests.stores.support_stores import redis, sqlite
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_server import local_upgrade
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import Store

PROCESSES, MARKS = 8, 50
QUEUE = ("single", "queue")


def marks_of(host_url: str, store: Store) -> Callable[[], str]:
    """Return a worker that marks the next condition over and over again."""

    def work() -> str:
        with UpgradeConnection(host_url, store=store, timeout=30.0) as connection:
            for _ in range(MARKS):
                client = connection.client("user", "my-app")
                decision = client.decide_sync(*QUEUE)
                assert decision.mark_sync() is not None
        return "done"

    return work


def what_is_next(host_url: str, store: Store) -> Callable[[], str]:
    def work() -> str:
        with UpgradeConnection(host_url, store=store, timeout=30.0) as connection:
            return connection.client("user", "my-app").decide_sync(*QUEUE).condition

    return work


@needs_fork
@pytest.mark.filterwarnings(FORK_WARNING)
@pytest.mark.parametrize("name", ["sqlite", "redis"])
def test_after_many_marks_each_worker_reads_what_the_server_would_assign(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if name == "sqlite":
        kind: Any = sqlite(tmp_path)
    else:
        kind = redis(request.getfixturevalue("redis_server").url, f"{tmp_path}:")
    with local_upgrade().serve() as host_url:
        with UpgradeConnection(host_url) as connection:
            connection.client("user", "my-app").init_sync()
        marking: list[Callable[[], object]] = [
            marks_of(host_url, kind.open()) for _ in range(PROCESSES)
        ]
        assert in_children(marking) == ["done"] * PROCESSES
        with UpgradeConnection(host_url) as connection:
            truth = connection.client("user", "my-app").decide_sync(*QUEUE).condition
        assert truth == ["first", "second", "third"][PROCESSES * MARKS % 3]
        reading: list[Callable[[], object]] = [
            what_is_next(host_url, kind.open()) for _ in range(PROCESSES)
        ]
        assert in_children(reading) == [truth] * PROCESSES
