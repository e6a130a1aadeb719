"""Settings from environment variables, each of which names itself when it is wrong or missing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from . import arguments

HOST_URL = "UPGRADE_HOST_URL"
TOKEN = "UPGRADE_TOKEN"
CONTEXT = "UPGRADE_CONTEXT"
TIMEOUT = "UPGRADE_TIMEOUT"


@attrs.frozen
class EnvironmentSettings:
    """What the environment says of the server; ``timeout`` is in seconds, ``None`` for none."""

    host_url: str
    token: str = attrs.field(repr=False)
    timeout: float | None


def read_settings(environment: Mapping[str, str]) -> EnvironmentSettings:
    """Return the settings; a ``ValueError`` names the variable that is wrong or missing."""
    timeout = environment.get(TIMEOUT, "")
    return EnvironmentSettings(
        _host_url(required(environment, HOST_URL)),
        arguments.header(TOKEN, environment.get(TOKEN, ""), secret=True),
        _positive_seconds(timeout) if timeout else None,
    )


def required(environment: Mapping[str, str], name: str) -> str:
    """Return a variable; a ``ValueError`` where it is missing or empty."""
    value = environment.get(name, "")
    if not value:
        raise ValueError(f"the environment variable {name} must be set")
    return value


def _host_url(value: str) -> str:
    try:
        return arguments.host_url(value)
    except ValueError as error:
        raise ValueError(f"the environment variable {HOST_URL} is wrong: {error}") from None


def _positive_seconds(text: str) -> float:
    try:
        seconds = arguments.seconds(TIMEOUT, float(text))
    except ValueError:
        seconds = 0.0
    if not seconds:
        raise ValueError(
            f"the environment variable {TIMEOUT} must be seconds above 0, not {text!r}"
        )
    return seconds
