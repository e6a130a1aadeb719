"""What workers that share a store may conclude from an entry of it.

An entry belongs to a user: the groups that the server has for them, and a record for each context.
Whatever changes the user gives the entry another generation; each mark that may change a record
counts in its ``marks``; each response that is kept has a ``load_id``. A response is kept, and a
queue is advanced, only where these show that nothing came between.
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


GroupsChange = Literal["init", "plain init", "stated", "group", "working group"]
"""An ``init`` with groups, one without, one with stated groups, or a change of one of the two."""


@attrs.frozen
class StoredGroups:
    """The groups that the server has for a user; ``None`` where that is not known.

    ``is_explicit`` says that an ``init`` or a change of groups set them, rather than groups that
    were stated for a client. ``superseded`` are digests of stated groups that others replaced.
    """

    group: Mapping[str, Sequence[str]] | None = None
    working_group: Mapping[str, str] | None = None
    is_explicit: bool = False
    superseded: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the groups: not after changes that overlapped."""
        return self.group is not None or self.working_group is not None


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
    if stored.is_known and _matches(stated, stored):
        return "serve"
    if stored.is_explicit or digest(stated) in stored.superseded:
        return "ignore"
    return "initialize"


def groups_after(
    change: GroupsChange, before: StoredGroups | None, answered: StoredGroups, stated: Groups | None
) -> StoredGroups:
    """Return what is stored after a change of groups, to which the server answered these.

    It does not name the groups that a change of the other kind left as they were.
    """
    known = before or StoredGroups()
    if change == "group":
        return StoredGroups(answered.group or {}, known.working_group, is_explicit=True)
    if change == "working group":
        return StoredGroups(known.group, answered.working_group or {}, is_explicit=True)
    return StoredGroups(
        answered.group or {},
        answered.working_group or {},
        is_explicit=change == "init",
        superseded=known.superseded if stated is None else _superseded(known, stated),
    )


def unknown_groups(known: StoredGroups | None) -> StoredGroups | None:
    """Return what is stored where a change may or may not have been applied."""
    return None if known is None else StoredGroups(superseded=known.superseded)


def groups_after_overlap(change: GroupsChange, known: StoredGroups | None) -> StoredGroups | None:
    """Return what is stored where a change overlapped with one that is stored by now.

    Nobody knows which of them the server applied last. Of two that were stated, the one that is
    stored by now counts as replaced: whoever states it goes along, so that only the other one
    initialises the user again.
    """
    if known is None or known.is_explicit or change != "stated":
        return unknown_groups(known)
    return StoredGroups(superseded=_replaced(known))


def are_same(one: StoredGroups | None, other: StoredGroups) -> bool:
    """Whether both name the same groups."""
    if one is None or one.group is None or one.working_group is None:
        return False
    return _matches((one.group, one.working_group), other)


def digest(groups: Groups) -> str:
    """Return a short text that tells groups apart, whatever their order."""
    group, working_group = groups
    working = None if working_group is None else dict(working_group)
    text = json.dumps([_sorted(group), working], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _matches(stated: Groups, stored: StoredGroups) -> bool:
    """Whether the stored groups are those stated, in any order, as far as both are known."""
    group, working_group = stated
    if stored.group is not None and _sorted(group) != _sorted(stored.group):
        return False
    if working_group is None or stored.working_group is None:
        return True
    return dict(working_group) == dict(stored.working_group)


def _superseded(known: StoredGroups, stated: Groups) -> tuple[str, ...]:
    """Return the digests of what was replaced: with its working group, and without one."""
    own = digest(stated)
    return tuple(one for one in _replaced(known) if one != own)


def _replaced(known: StoredGroups) -> tuple[str, ...]:
    replaced = [*known.superseded]
    if known.group is not None:
        replaced += [digest((known.group, None)), digest((known.group, known.working_group))]
    return tuple(dict.fromkeys(replaced))[-MAX_SUPERSEDED:]


def _sorted(group: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: sorted(ids) for name, ids in group.items()}
