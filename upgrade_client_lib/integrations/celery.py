"""Celery: one connection in each worker process.

>>> from upgrade_client_lib.integrations.celery import Upgrade
>>> upgrade = Upgrade()
>>> @app.task
... def send_letter(student: str) -> None:
...     client = upgrade.connection.client(student, "my-app")
...     subject = client.decide_sync("letter", "subject", default="as usual")
"""

from __future__ import annotations

import atexit
import threading
from functools import partial
from typing import Any, Callable

from .._fork import call_after_fork_on
from ..connection import UpgradeConnection

try:
    from celery import signals
except ImportError as error:
    raise ImportError(
        'this module needs the package celery: pip install "upgrade-client-lib[celery]"'
    ) from error

__all__ = ["Upgrade"]


class Upgrade:
    """UpGrade in an application of Celery.

    Each worker process makes a connection of its own when it starts, after it was forked, and
    closes it when it stops. Elsewhere, where tasks are sent or run without a worker, the connection
    is made when it is first used, and closed at the end of the process.

    Make it where the tasks are, at import; it lives as long as the process.

    Args:
        connect: makes the connection; by default from the environment, as
            :meth:`UpgradeConnection.from_env` says.
    """

    def __init__(
        self, *, connect: Callable[[], UpgradeConnection] = UpgradeConnection.from_env
    ) -> None:
        self._connect = connect
        self._connection: UpgradeConnection | None = None
        self._lock = threading.RLock()
        call_after_fork_on(self, Upgrade._reset_after_fork)
        # Celery takes the methods of two instances for one; partial objects it tells apart.
        signals.worker_process_init.connect(partial(self._open), weak=False)
        signals.worker_process_shutdown.connect(partial(self._close), weak=False)
        signals.worker_shutdown.connect(partial(self._close), weak=False)
        atexit.register(self._close)

    @property
    def connection(self) -> UpgradeConnection:
        """The connection of this process."""
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection

    def _open(self, **about: Any) -> None:
        """When a worker process starts: wrong settings shall show now."""
        _ = self.connection

    def _close(self, **about: Any) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()
        self._connection = None
