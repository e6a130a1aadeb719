"""A WSGI application that gunicorn loads before it forks, and whose workers hand metrics over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Callable

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore

preload_app = True
workers = 2
accesslog = None

LOG: list[Any] = [{"timestamp": "2026-11-20", "metrics": {"attributes": {"seconds": 95}}}]

connection = UpgradeConnection(os.environ["UPGRADE_HOST_URL"], outbox=MemoryStore())


def hand_over(user_id: str) -> None:
    connection.client(user_id, "my-app", group={}).enqueue_log_sync(LOG)


def when_ready(server: object) -> None:
    """The master has loaded the application, and no worker has started."""
    hand_over("master")


def post_worker_init(worker: Any) -> None:
    """A worker is about to take requests."""
    hand_over(f"worker-{os.getpid()}")


def application(environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
    hand_over("page")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"handed over"]
