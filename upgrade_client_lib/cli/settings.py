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
}


@attrs.frozen
class Settings:
    """What the options and the environment say, validated."""

    server: EnvironmentSettings
    context: str

    def without_store(self) -> Settings:
        """Return the same settings, without the store."""
        return attrs.evolve(self, server=attrs.evolve(self.server, store_url=""))

    def connection(self, **options: Any) -> UpgradeConnection:
        """Return a connection to the server, with these options of ``UpgradeConnection``."""
        if self.server.timeout is not None:
            options["timeout"] = self.server.timeout
        store = store_of_environment(self.server.store_url)
        return UpgradeConnection(
            self.server.host_url, token=self.server.token, store=store, **options
        )


def settings_options(command: F) -> F:
    """Give a command the options, and ``settings`` as an argument in their place."""

    @functools.wraps(command)
    def with_settings(*arguments: Any, **options: Any) -> Any:
        given = {
            variable: options.pop(name.lstrip("-").replace("-", "_")) or ""
            for name, (variable, _, _) in _OPTIONS.items()
        }
        return command(*arguments, settings=read(given), **options)

    for name, (variable, metavar, text) in reversed(_OPTIONS.items()):
        with_settings = click.option(
            name, envvar=variable, show_envvar=True, metavar=metavar, help=text
        )(with_settings)
    return with_settings  # type: ignore[return-value]


def read(given: dict[str, str]) -> Settings:
    """Return the settings; a ``UsageError`` names the option and the variable."""
    try:
        return Settings(read_settings(given), required(given, environment.CONTEXT))
    except ValueError as error:
        message = str(error)
        for name, (variable, _, _) in _OPTIONS.items():
            message = message.replace(
                f"the environment variable {variable}", f"{name} ({variable})"
            )
        raise click.UsageError(message) from None
