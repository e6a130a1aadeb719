"""Users, their groups and their aliases."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .enrolment import enrolment_ends_with_group, exclusion_ends_with_group
from .reasons import Reason, Refused
from .state import ServerState
from .store import Store, User, WorkingGroup


def set_working_group(state: ServerState, user: User, working_group: WorkingGroup | None) -> None:
    """Store the working group; who leaves one leaves behind what is bound to it."""
    before, after = user.working_group or {}, working_group or {}
    user.working_group = working_group
    for experiment in state.catalogue.experiments.values():
        left = before.get(experiment.group_type or "")
        if left is None or left == after.get(experiment.group_type or ""):
            continue
        key = (experiment.id, user.id)
        if enrolment_ends_with_group(experiment):
            state.store.enrolments.pop(key, None)
        if exclusion_ends_with_group(experiment):
            state.store.exclusions.discard(key)


def link_aliases(store: Store, caller: str, root: User, aliases: Sequence[str]) -> list[str]:
    """Link aliases to the root user; return those linked before, then those linked now.

    What is linked already must be linked to ``caller``, the id that was sent.
    """
    linked = [alias for alias in dict.fromkeys(aliases) if alias in store.roots]
    elsewhere = [alias for alias in linked if store.roots[alias] != caller]
    if elsewhere:
        links = [{"userId": alias, "linkedTo": store.roots[alias]} for alias in elsewhere]
        raise Refused(
            Reason.ALIAS_TAKEN,
            f"Users already associated with other users {_shown(links)} "
            f"and cannot be made alias of {root.id}",
        )
    roots = [store.users[alias] for alias in dict.fromkeys(aliases) if alias in store.users]
    if roots:
        raise Refused(
            Reason.ALIAS_TAKEN,
            f"Users with ids {_shown([_row(user) for user in roots])} are root user "
            f"and should not be converted to an alias of {root.id}",
        )
    new = insertable([alias for alias in aliases if alias not in store.roots])
    store.link(new, root.id)
    return linked + new


def insertable(aliases: Sequence[str]) -> list[str]:
    """Return the aliases that the server's insert registers.

    Repetitions at the end are dropped. One that has a further alias behind it makes the insert
    fail as a whole, without an error: none is registered.
    """
    distinct = list(dict.fromkeys(aliases))
    return distinct if distinct == list(aliases[: len(distinct)]) else []


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
