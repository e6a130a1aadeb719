"""``upgrade-client doctor``: whether all is well between this machine and the server."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Callable
from urllib.parse import urlsplit

import attrs
import click
from rich.text import Text

from .. import _api
from .._http import Response
from .._server import Server, store_of_environment
from ..connection import UpgradeConnection
from ..exceptions import (
    BadRequestError,
    NotAuthorizedError,
    UpgradeApiError,
    UserNotInitializedError,
)
from .output import FAILED, advice, errors_reported, json_option, print_json, print_table
from .settings import Settings, settings_options

CALLS = 10
MOST_SECONDS_APART = 10.0

_SIGNS = {True: ("ok", "green"), False: ("problem", "bold red"), None: ("not seen", "yellow")}


@attrs.frozen
class Finding:
    """What one check found: all is well, or not, or (``None``) it could not be seen."""

    check: str
    ok: bool | None
    message: str


@click.command()
@click.argument("user")
@settings_options
@json_option
@click.pass_context
def doctor(context: click.Context, user: str, settings: Settings, as_json: bool) -> None:
    """Check server, token, context and store, as USER sees them.

    The server looks for the user first: give one whom it knows. Nothing is changed there, and
    nobody made known.
    """
    with errors_reported():
        findings = list(Checkup(settings, user).findings())
    if as_json:
        print_json([attrs.asdict(finding) for finding in findings])
    else:
        rows = [[one.check, Text(*_SIGNS[one.ok]), one.message] for one in findings]
        print_table(["check", "result", "what was found, or what to do"], rows)
    if any(finding.ok is False for finding in findings):
        context.exit(FAILED)


@attrs.frozen
class Checkup:
    """The checks of one server, for one user."""

    settings: Settings
    user: str

    def findings(self) -> Iterator[Finding]:
        """Yield what each check finds, one after the other."""
        with self.settings.without_store().connection(retries=0, breaker=False) as connection:
            yield from self._about_server(connection)
        yield self._about_store()

    def _about_server(self, connection: UpgradeConnection) -> Iterator[Finding]:
        server: Server = connection._server  # pyright: ignore[reportPrivateUsage]
        client = connection.client(self.user, self.settings.context)
        try:
            response = server.send_once(_api.version())
        except UpgradeApiError as error:
            yield Finding("server", False, f"{error}. {advice(error)}".strip())
            return
        yield Finding("server", True, f"{connection.host_url} answers")
        yield _about_encryption(connection.host_url)
        yield _about_version(response)
        yield _about_clock(response, datetime.now(timezone.utc))

        def ask() -> object:
            return client.get_all_experiment_conditions_sync(ignore_cache=True)

        is_known = False
        try:
            ask()
            is_known = True
            yield from self._all_well()
        except UpgradeApiError as error:
            yield from self._not_well(error)
        if is_known:
            yield _about_latency("assign", ask)
        else:
            yield _about_latency("version", lambda: server.send_once(_api.version()))

    def _all_well(self) -> Iterator[Finding]:
        yield Finding("user", True, f"{self.user!r} is known")
        if self.settings.server.token:
            yield Finding("token", True, "the server takes it, or looks at none")
        else:
            yield Finding("token", True, "none is set, and the server wants none")
        yield Finding("context", True, f"{self.settings.context!r} is one of the server's")

    def _not_well(self, error: UpgradeApiError) -> Iterator[Finding]:
        """Tell what an error says of user, token and context, which are looked at in this order."""
        if isinstance(error, UserNotInitializedError):
            yield Finding(
                "user",
                None,
                f"the server does not know {self.user!r}, and looks for the user first: give one"
                " whom it knows, to see token and context",
            )
            return
        if isinstance(error, NotAuthorizedError):
            yield Finding("user", True, f"{self.user!r} is known")
            yield Finding("token", False, f"{error}. {advice(error)}")
        elif isinstance(error, BadRequestError) and "context" in error.message:
            yield Finding("user", True, f"{self.user!r} is known")
            yield Finding("token", True, "the server takes it, or looks at none")
            yield Finding(
                "context",
                False,
                f"{error}. Its letters must be exactly those of the context in UpGrade.",
            )
        else:
            yield Finding("assignments", False, f"{error}. {advice(error)}".strip())

    def _about_store(self) -> Finding:
        url = self.settings.server.store_url
        if not url:
            return Finding("store", True, "none is set")
        try:
            store: Any = store_of_environment(url)
            key = f"upgrade-client-doctor-{os.urandom(8).hex()}"
            took = _milliseconds(lambda: store.replace(key, b"ok", None, 60.0))
            found = store.get(key)
            store.delete(key)
        except Exception as error:  # a store may raise anything
            return Finding("store", False, f"{type(error).__name__}: {error}")
        if found is None or found[0] != b"ok":
            return Finding("store", False, "what is written to it cannot be read again")
        return Finding("store", True, f"written and read, a write in {took:.1f} ms")


def _about_encryption(host_url: str) -> Finding:
    parts = urlsplit(host_url)
    if parts.scheme == "https":
        return Finding("TLS", True, "encrypted, and the certificate is valid")
    if _is_loopback(parts.hostname or ""):
        return Finding("TLS", True, "not encrypted, on this machine alone")
    return Finding("TLS", False, "not encrypted: have the server's address begin with https://")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _about_version(response: Response) -> Finding:
    text = response.text.strip().strip('"')
    if response.status == 200 and text[:1].isdigit():
        return Finding("version", True, f"UpGrade {text}")
    return Finding(
        "version",
        None,
        f"status {response.status} where UpGrade tells its version: is this its address?",
    )


def _about_clock(response: Response, now: datetime) -> Finding:
    try:
        seconds = (now - parsedate_to_datetime(response.headers.get("date", ""))).total_seconds()
    except (TypeError, ValueError):
        return Finding("clock", None, "the server does not tell the time")
    if abs(seconds) <= MOST_SECONDS_APART:
        return Finding("clock", True, f"within {MOST_SECONDS_APART:.0f} s of the server's")
    which = "ahead of" if seconds > 0 else "behind"
    return Finding(
        "clock",
        False,
        f"{abs(seconds):.0f} s {which} the server's: logs are stored under wrong times; have both"
        " machines synchronise theirs",
    )


def _about_latency(what: str, call: Callable[[], object]) -> Finding:
    try:
        took = [_milliseconds(call) for _ in range(CALLS)]
    except UpgradeApiError as error:
        return Finding("latency", False, f"{error}. {advice(error)}".strip())
    low, middle, high = min(took), statistics.median(took), max(took)
    return Finding(
        "latency",
        True,
        f"{CALLS} calls of {what}: {low:.1f} ms at least, {middle:.1f} in the middle,"
        f" {high:.1f} at most",
    )


def _milliseconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000
