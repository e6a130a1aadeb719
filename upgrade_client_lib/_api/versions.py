"""The server's version."""

from __future__ import annotations

from .._http import Request


def version() -> Request:
    """Return the request for it, the one that needs no user."""
    return Request("GET", "/api/version", {}, b"", idempotent=True, token="")
