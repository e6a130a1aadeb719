"""The endpoints about the user: init, groups, working group, aliases."""

from __future__ import annotations

from ..._engine import ServerState, link_aliases
from ..requests import Call


def init(state: ServerState, call: Call) -> object:
    """Return what is stored; for a user who did not exist, only what was sent."""
    user, body = call.user, call.body
    existed = user.id in state.store.users
    if "group" in body:
        user.group = body["group"]
    if "workingGroup" in body:
        user.working_group = body["workingGroup"]
    response: dict[str, object] = {"id": user.id}
    if existed or "group" in body:
        response["group"] = user.group
    if existed or "workingGroup" in body:
        response["workingGroup"] = user.working_group
    if not existed:
        state.store.users[user.id] = user
    elif body:
        user.changed()
    return response


def groupmembership(state: ServerState, call: Call) -> object:
    if "group" not in call.body:
        return {"id": call.user.id}
    group = call.body["group"]
    if call.user_id == call.user.id:  # through an alias, nothing that is ever read changes
        call.user.group = group
        call.user.changed()
    return {"id": call.user.id, "group": group}


def workinggroup(state: ServerState, call: Call) -> object:
    working_group = call.body["workingGroup"]
    if call.user_id == call.user.id:
        call.user.working_group = working_group
        call.user.changed()
    return {"id": call.user.id, "workingGroup": working_group}


def useraliases(state: ServerState, call: Call) -> object:
    aliases = link_aliases(state.store, call.user_id, call.user, call.body["aliases"])
    return {"userId": call.user.id, "aliases": aliases}
