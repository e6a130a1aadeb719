"""``upgrade-client deliver``: a process that delivers what others handed over; needs no extra."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

from ..connection import UpgradeConnection
from ..types import OutboxEventState

LONGEST_WAIT = 0.5  # not for ever, or Windows would not see Ctrl-C


def main(
    arguments: Sequence[str] | None = None,
    stopped: Event | None = None,
    *,
    name: str = "upgrade-client deliver",
) -> int:
    """Deliver until Ctrl-C, SIGTERM or ``stopped``, or until all is done; give the exit status."""
    options = _parser(name).parse_args(arguments)
    try:
        connection = UpgradeConnection.from_env()
        if not connection.has_outbox:
            raise ValueError("the environment variable UPGRADE_OUTBOX must be set")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with connection, _stopped_by_signals(Event() if stopped is None else stopped) as stop:
        print(f"delivering to {connection.host_url}, until Ctrl-C", file=sys.stderr, flush=True)
        if options.seconds is not None:
            connection.outbox.flush_sync(options.seconds)
        else:
            connection.outbox.flush_sync(0.0)  # which begins
            while not stop.wait(LONGEST_WAIT):
                pass
        counts = connection.outbox.counts_sync()
    told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    print(f"left: {told or 'nothing'}", file=sys.stderr)
    is_left = {OutboxEventState.WAITING, OutboxEventState.SENDING}.intersection(counts)
    return 1 if is_left and options.seconds is not None else 0


@contextmanager
def _stopped_by_signals(stop: Event) -> Generator[Event, None, None]:
    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Delivers the events of the outbox that UPGRADE_OUTBOX names to the server that"
        " UPGRADE_HOST_URL names, until it is stopped. UPGRADE_TOKEN and UPGRADE_TIMEOUT hold too.",
        epilog="Exit status: 0; 1 if events are left after --seconds; 2 for wrong settings.",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="stop when all is delivered, or after so many seconds",
    )
    return parser
