"""Settings from environment variables, each of which names itself when it is wrong or missing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from . import arguments

HOST_URL = "UPGRADE_HOST_URL"
TOKEN = "UPGRADE_TOKEN"
CONTEXT = "UPGRADE_CONTEXT"
TIMEOUT = "UPGRADE_TIMEOUT"
STORE = "UPGRADE_STORE"
OUTBOX = "UPGRADE_OUTBOX"


@attrs.frozen
class EnvironmentSettings:
    """What the environment says of the server; ``timeout`` is in seconds, ``None`` for none.

    ``store_url`` and ``outbox_url`` are addresses of stores, which may hold a password; ``""`` for
    none.
    """

    host_url: str
    token: str = attrs.field(repr=False)
    timeout: float | None
    store_url: str = attrs.field(default="", repr=False)
    outbox_url: str = attrs.field(default="", repr=False)


def read_settings(environment: Mapping[str, str]) -> EnvironmentSettings:
    """Return the settings; a ``ValueError`` names the variable that is wrong or missing."""
    timeout = environment.get(TIMEOUT, "")
    return EnvironmentSettings(
        _host_url(environment),
        arguments.header(
            f"the environment variable {TOKEN}", environment.get(TOKEN, ""), secret=True
        ),
        _positive_seconds(timeout) if timeout else None,
        environment.get(STORE, ""),
        environment.get(OUTBOX, ""),
    )


def required(environment: Mapping[str, str], name: str) -> str:
    """Return a variable; a ``ValueError`` where it is missing or empty."""
    value = arguments.text(f"the environment variable {name}", environment.get(name, ""))
    if not value:
        raise ValueError(f"the environment variable {name} must be set")
    return value


def _host_url(environment: Mapping[str, str]) -> str:
    value = required(environment, HOST_URL)
    try:
        return arguments.host_url(value)
    except ValueError as error:
        raise ValueError(f"the environment variable {HOST_URL} is wrong: {error}") from None


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= arguments.A_DAY:
        raise ValueError(
            f"the environment variable {TIMEOUT} must be a number of seconds above 0, a day at the"
            f" most, not {text!r}"
        )
    return seconds
