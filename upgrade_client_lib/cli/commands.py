"""The commands."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import attrs
import click

from .. import __version__
from .._delivering import main as deliver_events
from .._signals import STOPPED
from ..testing import __main__ as local_upgrade
from ..types import MarkedDecisionPointStatus
from .assign import assign
from .doctor import doctor
from .outbox import outbox
from .output import EXIT_STATUSES, FAILED, errors_reported, json_option, print_json, print_table
from .settings import Settings, settings_options

APPLIED = MarkedDecisionPointStatus.CONDITION_APPLIED
NONE_ASSIGNED = MarkedDecisionPointStatus.NO_CONDITION_ASSIGNED


class _Commands(click.Group):
    """Commands that end with status 130 on Ctrl-C, where click has 1.

    They end with 1 where a file or standard output fails, and say so, unless it is that nobody
    reads on, as after ``| head``.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(STOPPED)
        except OSError as error:
            _drop_what_cannot_be_written()
            if error.errno == errno.EPIPE:
                ctx.exit(FAILED)
            raise click.ClickException(str(error)) from None


def _drop_what_cannot_be_written() -> None:
    """Else Python would try again at its end, and fail with a status and a message of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=_Commands,
    epilog=EXIT_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(version)s")
def upgrade_client() -> None:
    """Ask an UpGrade server what it decides, for one user or for whole schools.

    Only what is asked for goes to standard output. The token is never shown.
    """
    standard_output: Any = sys.stdout
    if standard_output is None:
        raise click.ClickException("standard output is closed: have it go to a file, or nowhere")
    standard_output.reconfigure(errors="backslashreplace")  # for what its encoding lacks


upgrade_client.add_command(assign)
upgrade_client.add_command(doctor)
upgrade_client.add_command(outbox)


@upgrade_client.command()
@click.argument("user")
@settings_options
@json_option
def flags(user: str, settings: Settings, as_json: bool) -> None:
    """Print the feature flags that are on for USER, whom the server must know."""
    with errors_reported(), settings.connection(outbox=None) as connection:
        on = connection.client(user, settings.context).get_all_feature_flags_sync()
    keys = sorted(flag.key for flag in on)
    if as_json:
        print_json(keys)
    else:
        print_table(["flag"], [[key] for key in keys])


@upgrade_client.command()
@click.argument("user")
@click.argument("site")
@click.argument("target", default="")
@click.option(
    "--status",
    type=click.Choice([str(status) for status in MarkedDecisionPointStatus]),
    help="What became of the condition; by default, that what is assigned was applied.",
)
@click.option("--uniquifier", default="", help="A text that is stored with the mark.")
@settings_options
@json_option
def mark(
    user: str,
    site: str,
    target: str,
    status: str | None,
    uniquifier: str,
    settings: Settings,
    as_json: bool,
) -> None:
    """Tell the server now that USER reached a decision point, with what is assigned there.

    What waits of the user in the --outbox is sent first.
    """
    with errors_reported(), settings.connection() as connection:
        client = connection.client(user, settings.context)
        assignment = client.get_decision_point_assignment_sync(site, target)
        if assignment is None:
            marked = client.mark_decision_point_sync(
                site, target, None, _status(status, NONE_ASSIGNED), uniquifier
            )
        else:
            marked = assignment.mark_decision_point_sync(_status(status, APPLIED), uniquifier)
    told = attrs.asdict(marked)
    if as_json:
        print_json(told)
    else:
        print_table(list(told), [[value or "" for value in told.values()]])


def _status(given: str | None, default: MarkedDecisionPointStatus) -> MarkedDecisionPointStatus:
    return default if given is None else MarkedDecisionPointStatus(given)


# The commands below have parsers of their own, since they work without click.

_as_they_are: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"ignore_unknown_options": True},
}


@upgrade_client.command(**_as_they_are)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def deliver(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Deliver what waits in the outbox, until Ctrl-C."""
    context.exit(deliver_events(arguments, str(context.find_root().info_name)))


@upgrade_client.command(**_as_they_are)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Serve a LocalUpgrade: a sample school, or what UpGrade exported."""
    context.exit(local_upgrade.main(arguments, name=context.command_path))
