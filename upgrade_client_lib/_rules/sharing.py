"""What workers that share a store may conclude from an entry of it.

An entry belongs to a user: the groups that the server has for them, and a record for each context.
Whatever changes the user gives the entry another generation; each mark that changes a record counts
in its ``marks``; each response that is kept has a ``load_id``. An answer is kept, and a queue is
advanced, only where these show that nothing came between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Literal, Optional

import attrs

Groups = tuple[Mapping[str, Sequence[str]], Optional[Mapping[str, str]]]
"""A user's groups, and their working group, which may be left open."""

MAX_SUPERSEDED = 8
"""How many stated groups that others replaced are remembered."""


@attrs.frozen
class StoredGroups:
    """The groups that the server has for a user, as far as that is known.

    ``is_explicit`` says that an ``init`` or a change of groups set them, rather than groups that
    were stated for a client. ``superseded`` are digests of stated groups that others replaced.
    """

    group: Mapping[str, Sequence[str]] | None = None
    working_group: Mapping[str, str] | None = None
    is_explicit: bool = False
    superseded: tuple[str, ...] = ()


GroupsAction = Literal["serve", "initialize", "ignore"]
"""Use what is stored; initialise the user first; or use it, and warn that it is not as stated."""


def action_for(stated: Groups | None, stored: StoredGroups | None) -> GroupsAction:
    """Return what to do for a client for which these groups are stated.

    The last explicit change wins. Workers that state different groups do not take turns: who
    states what another one has replaced goes along with it.
    """
    if stated is None:
        return "serve"
    if stored is None:
        return "initialize"
    if matches(stated, stored):
        return "serve"
    if stored.is_explicit or digest(stated) in stored.superseded:
        return "ignore"
    return "initialize"


def matches(stated: Groups, stored: StoredGroups) -> bool:
    """Whether the stored groups are those stated, in any order."""
    group, working_group = stated
    if _sorted(group) != _sorted(stored.group or {}):
        return False
    return working_group is None or dict(working_group) == dict(stored.working_group or {})


def after_initializing(
    stored: StoredGroups | None,
    stated: Groups,
    group: Mapping[str, Sequence[str]] | None,
    working_group: Mapping[str, str] | None,
) -> StoredGroups:
    """Return what is stored once stated groups were initialised and the server gave these."""
    superseded: tuple[str, ...] = ()
    if stored is not None:
        old = digest((stored.group or {}, stored.working_group))
        loose = digest((stored.group or {}, None))
        kept = [one for one in (*stored.superseded, old, loose) if one != digest(stated)]
        superseded = tuple(dict.fromkeys(kept))[-MAX_SUPERSEDED:]
    return StoredGroups(group, working_group, is_explicit=False, superseded=superseded)


def is_same_user(
    stored: StoredGroups | None,
    group: Mapping[str, Sequence[str]] | None,
    working_group: Mapping[str, str] | None,
) -> bool:
    """Whether an answer of the server names the groups that are stored already."""
    return (
        stored is not None
        and _sorted(stored.group or {}) == _sorted(group or {})
        and dict(stored.working_group or {}) == dict(working_group or {})
    )


def digest(groups: Groups) -> str:
    """Return a short text that tells groups apart, whatever their order."""
    group, working_group = groups
    working = None if working_group is None else dict(working_group)
    text = json.dumps([_sorted(group), working], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sorted(group: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: sorted(ids) for name, ids in group.items()}
