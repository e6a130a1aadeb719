"""Running the command, in this process or as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import attrs
from click.testing import CliRunner

from tests.support_server import PATIENCE
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.cli.commands import upgrade_client
from upgrade_client_lib.stores import store_from_url
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import LogInput, LogMetrics

VARIABLES = ("HOST_URL", "CONTEXT", "TOKEN", "TIMEOUT", "STORE", "OUTBOX")
STREAMS: dict[str, Any] = {"mix_stderr": False} if version("click").startswith("8.1.") else {}


@attrs.frozen
class Ended:
    """What a command printed, and the status it ended with."""

    status: int
    out: str
    err: str


@attrs.frozen
class Command:
    """The command, for a server."""

    host_url: str
    context: str = "my-app"

    def __call__(self, *arguments: str | Path, **environment: str) -> Ended:
        """Run it in this process."""
        result = CliRunner(**STREAMS).invoke(
            upgrade_client, list(map(str, arguments)), env=self.environment(environment)
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ended(result.exit_code, result.stdout, result.stderr)

    def process(
        self,
        *arguments: str | Path,
        stdout: int | IO[str] = subprocess.PIPE,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Run it as a process of its own."""
        given = {name: value for name, value in self.environment(environment).items() if value}
        return subprocess.Popen(
            [sys.executable, "-m", "upgrade_client_lib", *map(str, arguments)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **given},
            encoding="utf-8",
        )

    def environment(self, more: Mapping[str, str]) -> Mapping[str, str | None]:
        given: dict[str, str | None] = {f"UPGRADE_{name}": None for name in VARIABLES}
        given.update(UPGRADE_HOST_URL=self.host_url, UPGRADE_CONTEXT=self.context)
        return {**given, **more}


LOG = [LogInput("2026-11-20T08:00:00.000Z", LogMetrics({"totalTimeSeconds": 95}))]


def hand_over(url: str, outbox: str, *users: str, token: str = "", delivers: bool = False) -> None:
    """Hand a log over for each user; it waits, unless it is delivered at once."""
    away = LocalUpgrade()
    away.down()
    store: Any = store_from_url(outbox)
    options: dict[str, Any] = {"flush_at_exit": 0.0, "transport": away.transport}
    if delivers:
        options = {"flush_at_exit": PATIENCE}
    with UpgradeConnection(url, outbox=store, token=token, **options) as connection:
        for user in users:
            connection.client(user, "my-app").enqueue_log_sync(LOG)
