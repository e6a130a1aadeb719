"""The commands."""

from __future__ import annotations

import click

from .. import __version__
from ..testing import __main__ as local_upgrade
from .assign import assign
from .doctor import doctor
from .output import EXIT_STATUSES, errors_reported, json_option, print_json, print_table
from .settings import Settings, settings_options


@click.group(epilog=EXIT_STATUSES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def upgrade_client() -> None:
    """Ask an UpGrade server what it decides, for one user or for whole schools.

    Only what is asked for goes to standard output. The token is never shown.
    """


upgrade_client.add_command(assign)
upgrade_client.add_command(doctor)


@upgrade_client.command()
@click.argument("user")
@settings_options
@json_option
def flags(user: str, settings: Settings, as_json: bool) -> None:
    """Print the feature flags that are on for USER, whom the server must know."""
    with errors_reported(), settings.connection() as connection:
        on = connection.client(user, settings.context).get_all_feature_flags_sync()
    keys = sorted(flag.key for flag in on)
    if as_json:
        print_json(keys)
    else:
        print_table(["flag"], [[key] for key in keys])


@upgrade_client.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Serve a LocalUpgrade: a sample school, or what UpGrade exported."""
    context.exit(local_upgrade.main(arguments, name=context.command_path))
