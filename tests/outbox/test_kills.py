"""However often the processes that deliver are killed, no event is lost and none counts twice."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.outbox.support_kills import LocalServer, Nursery, Settings, play
from tests.support_children import needs_fork
from tests.support_redis import RedisServer, want_redis

pytestmark = needs_fork


@pytest.fixture(scope="module")
def nursery() -> Generator[Nursery, None, None]:
    with Nursery() as nursery:
        yield nursery


@pytest.mark.parametrize("seed", range(4))
def test_over_sqlite(seed: int, nursery: Nursery, tmp_path: Path) -> None:
    with LocalServer.serving() as server:
        play(seed, server, nursery, Settings(("sqlite", str(tmp_path / "outbox.db"), ""), tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_over_redis(seed: int, nursery: Nursery, tmp_path: Path, redis_server: RedisServer) -> None:
    store = ("redis", redis_server.url, f"{tmp_path}:")
    with LocalServer.serving() as server:
        play(seed, server, nursery, Settings(store, tmp_path))


@pytest.mark.parametrize("seed", range(2))
def test_while_a_file_cannot_grow(seed: int, nursery: Nursery, tmp_path: Path) -> None:
    store = ("sqlite", str(tmp_path / "outbox.db"), "")
    with LocalServer.serving() as server:
        play(seed, server, nursery, Settings(store, tmp_path, fills_disk=True))


@pytest.mark.parametrize("seed", range(2))
def test_while_redis_is_killed_and_restarts(seed: int, nursery: Nursery, tmp_path: Path) -> None:
    want_redis()
    with RedisServer(tmp_path, keeps_data=True) as redis, LocalServer.serving() as server:
        store = ("redis", redis.url, "outbox:")
        play(seed, server, nursery, Settings(store, tmp_path, restart_store=redis.crash))


@pytest.mark.parametrize("seed", range(3))
def test_while_processes_are_stopped_past_their_leases(
    seed: int, nursery: Nursery, tmp_path: Path
) -> None:
    """What such a process was sending may arrive late, after later events of the user.

    It is then one that counts only once, or it is undecided.
    """
    store = ("sqlite", str(tmp_path / "outbox.db"), "")
    with LocalServer.serving() as server:
        play(seed, server, nursery, Settings(store, tmp_path, stops=True))
