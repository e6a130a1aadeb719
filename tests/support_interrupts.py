"""Interrupts of many blocking calls at random moments, and what they leave behind.

Run as a program by ``tests.support_storms``; prints an ``Aftermath`` as JSON.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
import warnings
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

import attrs

from tests.support_faulty_server import FaultyServer
from tests.support_storms import CONNECTIONS, LATER, Aftermath
from upgrade_client_lib import UpgradeClient, UpgradeConnection


class Interrupt(BaseException):
    """What the signal handler raises."""


def storm_of_interrupts(calls: int, seed: int) -> Aftermath:
    """Raise an exception in blocking calls from a signal handler, up to 2 ms after each began."""
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, max_connections=CONNECTIONS) as connection,
        _interrupts(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # an interrupt may strike while closing, or before a start
        client = connection.client("user", "my-app")
        client.init_sync()
        chance = random.Random(seed)
        interrupted = sum(_interrupted(client, chance.uniform(1e-5, 2e-3)) for _ in range(calls))
        gc.collect()
        with ThreadPoolExecutor(2 * CONNECTIONS) as threads:
            later = [threads.submit(client.init_sync) for _ in range(LATER)]
            succeeded = [call.result().id for call in later]
        gc.collect()
        left = max(server.open_connections(CONNECTIONS) - CONNECTIONS, 0)
        return Aftermath(interrupted, calls - interrupted, len(succeeded), left)


def _interrupted(client: UpgradeClient, delay: float) -> bool:
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        try:
            client.init_sync()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupt:
        return True
    return False


@contextmanager
def _interrupts() -> Generator[None, None, None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    def ignore_interrupts(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not Interrupt:
            reported(unraisable)

    reported = sys.unraisablehook
    handler = signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = ignore_interrupts
    try:
        yield
    finally:
        sys.unraisablehook = reported
        signal.signal(signal.SIGALRM, handler)


if __name__ == "__main__":
    print(json.dumps(attrs.asdict(storm_of_interrupts(*map(int, sys.argv[1:])))))
