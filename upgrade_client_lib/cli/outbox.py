"""``upgrade-client outbox``: what waits for delivery, and what was set aside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import click

from .._rules.environment import OUTBOX
from ..connection import UpgradeConnection
from ..types import OutboxEventState
from .output import (
    errors_reported,
    json_option,
    outbox_failures_reported,
    print_json,
    print_table,
)
from .settings import Settings, server_options

_STATES = click.Choice([str(state) for state in OutboxEventState])


@click.group()
def outbox() -> None:
    """See what waits for delivery and what was set aside; retry or discard it.

    Nothing is delivered meanwhile, but for `retry`: `deliver` does that, and so do the processes of
    the application.
    """


_RETRY_SECONDS = 30.0


@contextmanager
def _connected(settings: Settings) -> Generator[UpgradeConnection, None, None]:
    """Connect to an outbox, of which nothing is delivered unless that is asked for."""
    with errors_reported():
        address = settings.server.outbox_url
        if not address:
            raise ValueError(f"--outbox ({OUTBOX}) must be set")
        connection = settings.connection(store=None, flush_at_exit=0.0)
        with connection, outbox_failures_reported(address):
            yield connection


@outbox.command()
@server_options
@json_option
def counts(settings: Settings, as_json: bool) -> None:
    """Print how many events there are of each state."""
    with _connected(settings) as connection:
        found = connection.outbox.counts_sync()
    if as_json:
        print_json(found)
    else:
        print_table(["state", "events"], [[state, f"{found[state]:,}"] for state in found])


@outbox.command(name="list")
@click.option("--state", type=_STATES, help="Those of one state; all by default.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@server_options
@json_option
def list_events(settings: Settings, state: str | None, limit: int, as_json: bool) -> None:
    """Print events, those of each state from the oldest on."""
    states = [state] if state is not None else [str(one) for one in OutboxEventState]
    with _connected(settings) as connection:
        found = [
            event for one in states for event in connection.outbox.events_sync(one, limit=limit)
        ]
    if as_json:
        print_json([event.as_dict() for event in found])
        return
    columns = ["id", "state", "kind", "user", "site", "target", "created at", "attempts", "problem"]
    rows = [
        [
            event.id,
            event.state,
            event.kind,
            event.user_id,
            event.site,
            event.target,
            event.created_at.isoformat(timespec="seconds"),
            event.attempts,
            event.problem or "",
        ]
        for event in found
    ]
    print_table(columns, rows)


@outbox.command()
@click.argument("event")
@server_options
def retry(settings: Settings, event: str) -> None:
    """Have the EVENT with this id, which was set aside, delivered again, with all that waits.

    One that is undecided may be counted twice then. What is not delivered within half a minute
    waits on.
    """
    with _connected(settings) as connection:
        connection.outbox.retry_sync(event)
        connection.outbox.flush_sync(_RETRY_SECONDS)


@outbox.command()
@click.argument("event")
@server_options
def discard(settings: Settings, event: str) -> None:
    """Remove the EVENT with this id, which is not sent then."""
    with _connected(settings) as connection:
        connection.outbox.discard_sync(event)
