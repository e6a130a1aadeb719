"""The featureflag endpoint."""

from __future__ import annotations

from ._call import Call, World
from ._errors import invalid_context


def featureflag(world: World, call: Call) -> object:
    """The keys of the flags that are on for the user, session groups counted in."""
    context = call.body.get("context")
    if context not in world.catalogue.contexts:
        raise invalid_context(context)
    session: dict[str, list[str]] = call.body.get("groupsForSession") or {}
    groups = call.user.groups.union(
        (kind, name) for kind, names in session.items() for name in names
    )
    if world.catalogue.excluded.hold(call.user.id, groups):
        return []
    return [
        flag.key
        for flag in world.catalogue.flags.values()
        if flag.enabled and flag.context == context and flag.filter.admits(call.user.id, groups)
    ]
