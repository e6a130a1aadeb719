"""Users, their groups and their aliases."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .reasons import Reason, Refused
from .store import Store, User


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
    new = [alias for alias in aliases if alias not in store.roots]
    if len(set(new)) < len(new):  # the server's insert fails as a whole, without an error
        new = []
    store.link(new, root.id)
    return linked + new


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
