"""Errors for what a real server drops in silence, with the nearest name that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from .reasons import Reason, Refused
from .state import ServerState

_FEW = 5


def require_known(state: ServerState, what: str, name: str, known: Iterable[str]) -> None:
    """Refuse an unknown name where the server is strict."""
    if state.strict and name not in known:
        raise Refused(Reason.STRICT, f"no {what} {name}{nearest(name, known)}")


def require_point(state: ServerState, site: str, target: str | None) -> None:
    """Refuse an unknown decision point where the server is strict."""
    if state.strict and (site, target or "") not in _known_points(state):
        point = f"{shown_point(site, target)}{nearest_point(state, site, target)}"
        raise Refused(Reason.STRICT, f"no decision point {point}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what to end a message with: the nearest known name, or those there are, if few."""
    return _nearest(name, {one: one for one in known})


def nearest_point(state: ServerState, site: str, target: str | None) -> str:
    """Return what to end a message with about an unknown decision point."""
    known = {"/".join(point): shown_point(*point) for point in _known_points(state)}
    return _nearest(f"{site}/{target or ''}", known)


def shown_point(site: str, target: str | None) -> str:
    """Return a decision point as messages show it: as a pair where a slash is part of a name."""
    if "/" in site or "/" in (target or ""):
        return repr((site, target or ""))
    return f"{site}/{target}" if target else site


def _known_points(state: ServerState) -> dict[tuple[str, str], None]:
    """Return every decision point, once; no target and an empty one are the same."""
    keys = state.catalogue.point_keys.values()
    return {(site, target or ""): None for points in keys for site, target in points}


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """Compare without regard to letter case; ``known`` has how each name is shown."""
    if not known:
        return "; there is none at all"
    by_folded = {one.casefold(): shown for one, shown in known.items()}
    matches = get_close_matches(name.casefold(), by_folded, 1)
    if matches:
        return f"; did you mean {by_folded[matches[0]]}?"
    return f"; known: {', '.join(known.values())}" if len(known) <= _FEW else ""
