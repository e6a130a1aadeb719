"""What of a connection's settings goes into a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Settings(dict[str, Any]):
    """What a connection was made with, tokens and headers among them: nothing may show it."""

    def __repr__(self) -> str:
        return f"<{len(self)} settings>"


BOUND = ("store", "outbox", "ssl_context", "http_client", "async_http_client", "transport")
"""What belongs to one process."""


def portable(settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that go into a pickle, and the names of the secrets that do not.

    With ``pickle_secrets`` all go. A ``TypeError`` where one belongs to this process.
    """
    for name in BOUND:
        if settings.get(name) is not None:
            raise TypeError(
                f"a connection with {name}= cannot be pickled, since that belongs to this process:"
                " make the connection where it is used"
            )
    if settings["pickle_secrets"]:
        return dict(settings), ()
    left_out = tuple(name for name in settings if _is_secret(name, settings[name]))
    return {name: value for name, value in settings.items() if name not in left_out}, left_out


def _is_secret(name: str, value: Any) -> bool:
    if name == "proxy":
        return value is not None and "@" in value
    return name in ("token", "headers", "hash_key") and bool(value)
