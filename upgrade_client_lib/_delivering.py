"""``python -m upgrade_client_lib deliver``: a process that delivers what others hand over."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence

from ._rules.environment import OUTBOX, read_settings
from ._signals import stopped_by_signals, wait_until_stopped
from .connection import UpgradeConnection

USAGE_ERROR = 2


def main(arguments: Sequence[str], program: str, stop: threading.Event | None = None) -> int:
    """Deliver until SIGTERM or Ctrl-C, or until nothing is left; return the exit status.

    0 when stopped, or nothing is left; 1 if something is left; 2 for a wrong setting.
    """
    parser = argparse.ArgumentParser(
        prog=f"{program} deliver",
        description="Deliver the events of the outbox that UPGRADE_OUTBOX names to the server that"
        " UPGRADE_HOST_URL names, until SIGTERM or Ctrl-C.",
    )
    parser.add_argument(
        "--once",
        type=float,
        metavar="SECONDS",
        help="end when nothing is left, or after these seconds: with status 1 then",
    )
    options = parser.parse_args(arguments)
    try:
        address = read_settings(os.environ).outbox_url
        if not address or address == "memory:":
            raise ValueError(
                f"the environment variable {OUTBOX} must name what other processes share"
            )
        connection = UpgradeConnection.from_env()
    except (ImportError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    with connection:
        if options.once is not None:
            return 1 if connection.outbox.flush_sync(options.once) else 0
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)
        connection.outbox.flush_sync(0)  # which begins
        with stopped_by_signals(stop or threading.Event()) as stopped:
            wait_until_stopped(stopped)
    return 0
