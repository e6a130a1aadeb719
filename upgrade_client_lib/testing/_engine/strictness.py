"""Errors for what a real server drops in silence, with the nearest name that is known."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from .reasons import Reason, Refused
from .state import ServerState


def require_known(state: ServerState, what: str, name: str, known: Collection[str]) -> None:
    """Refuse an unknown name where the server is strict."""
    if state.strict and name not in known:
        raise Refused(Reason.STRICT, f"no {what} {name}{nearest(name, known)}")


def nearest(name: str, known: Collection[str]) -> str:
    """Return a question about the nearest known name, to end a message with."""
    matches = get_close_matches(name, list(known), 1, 0.0)
    return f"; did you mean {matches[0]}?" if matches else "; there is none at all"


def known_points(state: ServerState) -> list[str]:
    """Return every decision point as messages show it."""
    keys = state.catalogue.point_keys.values()
    return [shown_point(*key) for points in keys for key in points]


def shown_point(site: str, target: str | None) -> str:
    return f"{site}/{target}" if target else site
