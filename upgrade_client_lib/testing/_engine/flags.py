"""Which feature flags are on."""

from __future__ import annotations

from .state import ServerState


def flags_on(
    state: ServerState, user_id: str, groups: frozenset[tuple[str, str]], context: str
) -> list[str]:
    """Return the keys of the flags that are on for a user in these groups."""
    if state.catalogue.excluded.contains(user_id, groups):
        return []
    return [
        flag.key
        for flag in state.catalogue.flags.values()
        if flag.enabled and flag.context == context and flag.filter.admits(user_id, groups)
    ]
