"""Users, their groups and their aliases."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .enrolment import enrolment_ends_with_group, exclusion_ends_with_group
from .reasons import NUL_MESSAGE, Reason, Refused
from .state import ServerState
from .store import Store, User, WorkingGroup


def leave_working_groups(state: ServerState, user: User, working_group: WorkingGroup) -> None:
    """Drop what is bound to the working groups that the user leaves for these."""
    before = user.working_group or {}
    for experiment in state.catalogue.experiments.values():
        left = before.get(experiment.group_type or "")
        if left is None or left == working_group.get(experiment.group_type or ""):
            continue
        key = (experiment.id, user.id)
        if enrolment_ends_with_group(experiment):
            state.store.enrolments.pop(key, None)
        if exclusion_ends_with_group(experiment):
            _end_exclusion(state.store, *key)


def _end_exclusion(store: Store, experiment_id: str, user_id: str) -> None:
    """Drop a user's exclusion, and with the last one of an experiment those of its groups."""
    if (experiment_id, user_id) not in store.exclusions:
        return
    store.exclusions.remove((experiment_id, user_id))
    if all(excluded != experiment_id for excluded, _ in store.exclusions):
        store.group_exclusions = {key for key in store.group_exclusions if key[0] != experiment_id}


def link_aliases(store: Store, caller: str, root: User, aliases: Sequence[str]) -> list[str]:
    """Link aliases to the root user; return those linked before, then those linked now.

    What is linked already must be linked to ``caller``, the id that was sent.
    """
    if any("\0" in alias for alias in aliases):
        raise Refused(Reason.NUL_CHARACTER, NUL_MESSAGE)
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
    new = insertable(aliases, linked)
    if new is None:
        return [alias for alias in aliases if alias in store.roots]
    store.link(new, root.id)
    return linked + new


def insertable(aliases: Sequence[str], linked: Sequence[str]) -> list[str] | None:
    """Return the aliases that are not linked yet, each once; None where the server inserts none.

    Its insert fails as a whole, without an error, when a new alias comes after a repeated one.
    """
    new: list[str] = []
    repeated = False
    seen: set[str] = set()
    for alias in aliases:
        if alias in seen:
            repeated = True
        elif alias not in linked:
            if repeated:
                return None
            new.append(alias)
        seen.add(alias)
    return new


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
