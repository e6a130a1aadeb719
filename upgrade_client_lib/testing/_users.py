"""The endpoints that are about the user: init, groups, working group, aliases."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ._call import Call, World
from ._errors import QUERY_FAILED, Refusal
from ._store import User


def init(world: World, call: Call) -> object:
    """Answers what is stored; a user who did not exist until now, only what was sent."""
    user, body = call.user, call.body
    known = user.id in world.store.users
    if "group" in body:
        user.group = body["group"]
    if "workingGroup" in body:
        user.working_group = body["workingGroup"]
    answer: dict[str, object] = {"id": user.id}
    if known or "group" in body:
        answer["group"] = user.group
    if known or "workingGroup" in body:
        answer["workingGroup"] = user.working_group
    if not known:
        world.store.users[user.id] = user
    elif body:
        user.changed()
    return answer


def groupmembership(world: World, call: Call) -> object:
    if "group" not in call.body:
        return {"id": call.user.id}
    group = call.body["group"]
    if call.user_id == call.user.id:  # through an alias, nothing that is ever read changes
        call.user.group = group
        call.user.changed()
    return {"id": call.user.id, "group": group}


def workinggroup(world: World, call: Call) -> object:
    working_group = call.body["workingGroup"]
    if call.user_id == call.user.id:
        call.user.working_group = working_group
        call.user.changed()
    return {"id": call.user.id, "workingGroup": working_group}


def useraliases(world: World, call: Call) -> object:
    """Links aliases to the root user. What is linked already must be linked to who calls."""
    store, root = world.store, call.user.id
    wanted: list[str] = call.body["aliases"]
    linked = [alias for alias in dict.fromkeys(wanted) if alias in store.roots]
    elsewhere = [alias for alias in linked if store.roots[alias] != call.user_id]
    if elsewhere:
        links = [{"userId": alias, "linkedTo": store.roots[alias]} for alias in elsewhere]
        raise Refusal(
            500,
            f"Users already associated with other users {_shown(links)} "
            f"and cannot be made alias of {root}",
            QUERY_FAILED,
        )
    roots = [store.users[alias] for alias in dict.fromkeys(wanted) if alias in store.users]
    if roots:
        raise Refusal(
            500,
            f"Users with ids {_shown([_row(user) for user in roots])} are root user "
            f"and should not be converted to an alias of {root}",
            QUERY_FAILED,
        )
    new = [alias for alias in wanted if alias not in store.roots]
    if len(set(new)) < len(new):  # the server's insert fails as a whole, and it does not tell
        new = []
    store.link(new, root)
    return {"userId": root, "aliases": linked + new}


def _row(user: User) -> dict[str, object]:
    return {
        "createdAt": user.created,
        "updatedAt": user.updated,
        "versionNumber": user.version,
        "id": user.id,
        "group": user.group,
        "workingGroup": user.working_group,
        "originalUser": None,
    }


def _shown(rows: Sequence[object]) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False)
