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

from tests.support_storms import (
    CONNECTIONS,
    LATER,
    Aftermath,
    connected,
    leases_and_waiters,
    stretched,
)
from upgrade_client_lib import UpgradeClient


class Interrupt(BaseException):
    """What the signal handler raises."""


def storm_of_interrupts(calls: int, seed: int, way: str) -> Aftermath:
    """Raise an exception in blocking calls from a signal handler."""
    longest = stretched(2e-3, way)
    with (
        connected(way) as (server, connection),
        connection,
        _interrupts(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # an interrupt may strike while closing, or before a start
        client = connection.client("user", "my-app")
        client.init_sync()
        chance = random.Random(seed)
        interrupted = sum(_interrupted(client, chance.uniform(1e-5, longest)) for _ in range(calls))
        gc.collect()
        with ThreadPoolExecutor(2 * CONNECTIONS) as threads:
            later = [threads.submit(client.init_sync) for _ in range(LATER)]
            failed = sum(call.exception() is not None for call in later)
        leases, waiters = leases_and_waiters()
        return Aftermath(
            stopped=interrupted,
            finished=calls - interrupted,
            failed=failed,
            sockets=max(server.open_connections(CONNECTIONS) - CONNECTIONS, 0),
            leases=leases,
            waiters=waiters,
        )


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
    calls, seed, way = sys.argv[1:]
    print(json.dumps(attrs.asdict(storm_of_interrupts(int(calls), int(seed), way))))
