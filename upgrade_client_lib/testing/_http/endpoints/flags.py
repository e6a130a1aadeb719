"""The featureflag endpoint."""

from __future__ import annotations

from ..._engine import ServerState, check_context, flags_on
from ..requests import Call


def featureflag(state: ServerState, call: Call) -> object:
    """Return the keys of the flags that are on for the user, session groups included."""
    context = check_context(state, call.body.get("context"))
    session: dict[str, list[str]] = call.body.get("groupsForSession") or {}
    groups = call.user.groups.union(
        (group_type, name) for group_type, names in session.items() for name in names
    )
    return flags_on(state, call.user.id, groups, context)
