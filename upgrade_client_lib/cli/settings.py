"""Which server, which context: by option or, as for ``from_env``, by environment."""

from __future__ import annotations

import functools
from typing import Any, Callable, TypeVar

import attrs
import click

from .._rules import environment
from .._rules.environment import EnvironmentSettings, read_settings, required
from .._server import store_of_environment
from ..connection import UpgradeConnection

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "--host-url": (environment.HOST_URL, "URL", "The server's address."),
    "--context": (environment.CONTEXT, "NAME", "The application's context."),
    "--token": (environment.TOKEN, "TOKEN", "The token, better set in the environment."),
    "--timeout": (environment.TIMEOUT, "SECONDS", "How long a call may take."),
    "--store": (environment.STORE, "URL", "The address of a store."),
    "--outbox": (environment.OUTBOX, "URL", "The address of what an outbox keeps its events in."),
}


@attrs.frozen
class Settings:
    """What the options and the environment say, validated.

    ``context`` is ``""`` for a command that needs none.
    """

    server: EnvironmentSettings
    context: str

    def connection(self, **options: Any) -> UpgradeConnection:
        """Return a connection to the server, with these options of ``UpgradeConnection``."""
        if self.server.timeout is not None:
            options["timeout"] = self.server.timeout
        for name, variable, url in [
            ("store", environment.STORE, self.server.store_url),
            ("outbox", environment.OUTBOX, self.server.outbox_url),
        ]:
            if name not in options:
                options[name] = store_of_environment(url, variable)
        return UpgradeConnection(self.server.host_url, token=self.server.token, **options)


def settings_options(command: F) -> F:
    """Give a command the options, and ``settings`` as an argument in their place."""
    return _with_options(command, list(_OPTIONS))


def server_options(command: F) -> F:
    """Give a command the options that a server's outbox needs, and ``settings`` likewise."""
    return _with_options(command, ["--host-url", "--token", "--timeout", "--outbox"])


def _with_options(command: F, names: list[str]) -> F:
    @functools.wraps(command)
    def with_settings(*arguments: Any, **options: Any) -> Any:
        given = {
            _OPTIONS[name][0]: options.pop(name.lstrip("-").replace("-", "_")) or ""
            for name in names
        }
        return command(*arguments, settings=_read(given), **options)

    for name in reversed(names):
        variable, metavar, text = _OPTIONS[name]
        with_settings = click.option(
            name, envvar=variable, show_envvar=True, metavar=metavar, help=text
        )(with_settings)
    return with_settings  # type: ignore[return-value]


def _read(given: dict[str, str]) -> Settings:
    """Return the settings; a ``UsageError`` names the option and the variable."""
    try:
        server = read_settings(given)
        is_asked_for = environment.CONTEXT in given
        return Settings(server, required(given, environment.CONTEXT) if is_asked_for else "")
    except ValueError as error:
        message = str(error)
        for name, (variable, _, _) in _OPTIONS.items():
            message = message.replace(
                f"the environment variable {variable}", f"{name} ({variable})"
            )
        raise click.UsageError(message) from None
