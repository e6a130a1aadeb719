"""A WSGI application and its gunicorn settings: the master makes a call, then each worker does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Callable

from upgrade_client_lib import UpgradeClient

HOST_URL = os.environ.get("UPGRADE_HOST_URL", "")

preload_app = True
workers = 2
accesslog = None


def when_ready(server: object) -> None:
    """The master has loaded the application, and no worker has started."""
    UpgradeClient("master", HOST_URL, "my-app").init_sync()


def post_worker_init(worker: Any) -> None:
    """A worker is about to take requests."""
    UpgradeClient(f"worker-{os.getpid()}", HOST_URL, "my-app").init_sync()


def application(environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
    user = UpgradeClient(f"worker-{os.getpid()}", HOST_URL, "my-app").init_sync()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [user.id.encode()]
