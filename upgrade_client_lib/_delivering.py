"""``python -m upgrade_client_lib deliver``: a process that delivers what others hand over."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._rules import arguments as rules
from ._rules.environment import OUTBOX, read_settings
from ._signals import STOPPED, stopped_by_signals, wait_until_stopped
from .connection import UpgradeConnection
from .types import OutboxEventState

if TYPE_CHECKING:
    from ._outbox import Outbox

USAGE_ERROR = 2

LOOK_SECONDS = 0.1
"""How often ``--once`` looks whether something is left."""

_LEFT = {OutboxEventState.WAITING, OutboxEventState.SENDING}


def main(arguments: Sequence[str], program: str, stop: threading.Event | None = None) -> int:
    """Deliver until SIGTERM or Ctrl-C, or until nothing is left; return the exit status.

    0 when stopped, or nothing is left; 2 for a wrong setting. With ``--once``, 1 if something is
    left when the time is over, and 130 when stopped before.
    """
    parser = argparse.ArgumentParser(
        prog=f"{program} deliver",
        description="Deliver the events of the outbox that UPGRADE_OUTBOX names to the server that"
        " UPGRADE_HOST_URL names, until SIGTERM or Ctrl-C.",
    )
    parser.add_argument(
        "--once",
        type=_seconds,
        metavar="SECONDS",
        help="end when nothing is left, or after these seconds: with status 1 then; with status"
        f" {STOPPED} where it is stopped before",
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
    with stopped_by_signals(stop or threading.Event()) as stopped, connection:
        if options.once is None:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
            logging.getLogger("httpx").setLevel(logging.WARNING)
        with suppress(Exception):  # delivery warns of a store that is away, and waits for it
            connection.outbox.flush_sync(0)  # which begins
        if options.once is not None:
            return _wait_until_delivered(connection.outbox, address, options.once, stopped)
        wait_until_stopped(stopped)
    return 0


def outbox_problem(address: str, error: Exception) -> str:
    """Return what to do about an outbox whose store failed; no password is in it."""
    parts = urlsplit(address)
    if parts.scheme != "sqlite":
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    said = str(error).rstrip(".")
    return (
        f"the outbox {address} ({OUTBOX}) failed: {type(error).__name__}: {said}; check that this"
        " is its address, and that it is there and can be written"
    )


def _wait_until_delivered(
    outbox: Outbox, address: str, seconds: float, stopped: threading.Event
) -> int:
    """Return the exit status once nothing is left, the seconds are over, or it was stopped.

    A flush of so many seconds could not be stopped.
    """
    deadline = time.monotonic() + seconds
    while True:
        failure: Exception | None = None
        try:
            if not _LEFT & outbox.counts_sync().keys():
                return 0
        except Exception as error:  # the store may be back in time
            failure = error
        left = deadline - time.monotonic()
        if left <= 0:
            if failure is not None:
                print(f"error: {outbox_problem(address, failure)}", file=sys.stderr)
            return 1
        if stopped.wait(min(left, LOOK_SECONDS)):
            return STOPPED


def _seconds(text: str) -> float:
    try:
        return rules.seconds("it", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 0 or more seconds, not {text!r}") from None
