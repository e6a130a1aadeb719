"""Answers on standard output, for people or as JSON; everything else on standard error."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._delivering import outbox_problem
from ..exceptions import (
    CircuitOpenError,
    NoConnectionError,
    NotAuthorizedError,
    RequestTimeoutError,
    UpgradeApiError,
    UserNotInitializedError,
)

FAILED = 1
SOME_FAILED = 3

EXIT_STATUSES = """\b
Exit status: 0 all is well; 1 the server, the outbox, a file or a check failed;
2 wrong arguments or settings; 3 some users of a file failed; 130 stopped by
Ctrl-C."""

_WIDE = 10_000

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; as wide as it needs to be where standard output is no terminal.

    On a terminal that is not wide enough, cells go on in the next line: nothing is cut off.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    console.print(table)


def shown(value: object) -> str:
    """Return a value as one line of printable text, which no terminal takes for a command."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in str(value)
    )


@contextmanager
def errors_reported() -> Generator[None, None, None]:
    """End with a line on standard error, and status 1 where the server fails, 2 where we do.

    So do we where something is not installed.
    """
    try:
        yield
    except UpgradeApiError as error:
        raise click.ClickException(f"{error}\n{advice(error)}".strip()) from None
    except (ImportError, TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def outbox_failures_reported(address: str) -> Generator[None, None, None]:
    """End with status 1 and a line that says what failed where an outbox is asked for something.

    A ``ValueError`` is about what it was asked for.
    """
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # a store may raise anything
        raise click.ClickException(outbox_problem(address, error)) from None


def advice(error: BaseException) -> str:
    """Return what to do about an error; empty where it says so itself."""
    if isinstance(error, NotAuthorizedError):
        return "Ask whoever runs the server for a valid token, and set UPGRADE_TOKEN to it."
    if isinstance(error, UserNotInitializedError):
        return "Nobody was made known by this: a client does so, by init or with groups."
    if isinstance(error, (NoConnectionError, RequestTimeoutError)) and not isinstance(
        error, CircuitOpenError
    ):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "Have SSL_CERT_FILE name the certificate of the authority that signed it."
        return "Check the address, the network and any proxy, and whether the server runs."
    return ""
