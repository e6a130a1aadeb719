"""What changes a user, and so ends or keeps what the connection's store has of them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from .._rules import arguments
from .._rules.sharing import (
    Groups,
    GroupsChange,
    StoredGroups,
    are_same,
    groups_after,
    groups_after_overlap,
    unknown_groups,
)
from .._store_access import StoreUnavailableError
from .._sync import Backend
from ..exceptions import UpgradeApiError
from ..types import ExperimentUser, UserAliases
from .entry import Entry
from .shared_entry import SharedEntry, remove_entry

if TYPE_CHECKING:
    from .._server import Server

Changed = TypeVar("Changed", ExperimentUser, UserAliases)


@attrs.frozen
class SharedChanges:
    """The changes that one user's clients make."""

    _entry: SharedEntry

    async def of_user(
        self,
        backend: Backend,
        work: Coroutine[Any, Any, ExperimentUser],
        change: GroupsChange,
        stated: Groups | None = None,
    ) -> ExperimentUser:
        """Await a change of the user, and end what is stored of them, unless it changed nothing."""
        before = await self._entry.read(backend)
        user = await self._ending_if_unknown(backend, work)
        await backend.complete(self._changed(backend, user, change, stated, before))
        return user

    async def of_aliases(
        self, backend: Backend, work: Coroutine[Any, Any, UserAliases]
    ) -> UserAliases:
        """Await a change of the user's aliases, and have these share the user's entry."""
        linked = await self._ending_if_unknown(backend, work)
        await backend.complete(self._aliases_changed(backend, linked))
        return linked

    async def _ending_if_unknown(
        self, backend: Backend, work: Coroutine[Any, Any, Changed]
    ) -> Changed:
        """Await a change; if it is unknown whether it was applied, end what is stored."""
        try:
            return await work
        except UpgradeApiError as error:
            if error.may_have_been_applied:
                await backend.complete(self._end_records(backend))
            raise
        except BaseException:
            backend.finish(self._end_records(backend))
            raise

    async def _end_records(self, backend: Backend) -> None:
        await self._entry.update(
            backend, lambda entry: entry.of_changed_user(unknown_groups(entry.groups))
        )

    async def _changed(
        self,
        backend: Backend,
        user: ExperimentUser,
        change: GroupsChange,
        stated: Groups | None,
        before: Entry | None,
    ) -> None:
        await self._entry.learn_root(backend, user.id)
        answered = StoredGroups(user.group, user.workingGroup)

        def changed(entry: Entry) -> Entry | None:
            is_of_one_kind = change in ("group", "working group")
            groups = groups_after(change, entry.groups, answered, stated)
            if not is_of_one_kind and are_same(entry.groups, groups):
                return _with_same_groups(entry, groups)
            if _is_overtaken(entry, before):
                return entry.of_changed_user(groups_after_overlap(change, entry.groups))
            return entry.of_changed_user(groups)

        await self._entry.update(backend, changed)

    async def _aliases_changed(self, backend: Backend, linked: UserAliases) -> None:
        await self._entry.learn_root(backend, linked.userId)
        await self._entry.update(backend, lambda entry: entry.of_changed_user(entry.groups))
        for alias in linked.aliases:
            await self._entry.link(backend, alias)


async def end_records(server: Server, backend: Backend, user_id: str) -> None:
    """Have all workers ask anew what the server answers a user."""
    if server.store_access is not None:
        entry = SharedEntry(server.store_access, user_id)
        await entry.update(backend, lambda known: known.of_changed_user(known.groups))


async def forget(server: Server, backend: Backend, user_id: object) -> None:
    """Remove what the store knows of a user; a ``RuntimeError`` where it may know it still."""
    checked = arguments.nonempty("user_id", user_id)
    if server.store_access is None:
        return
    try:
        await remove_entry(server.store_access, backend, checked)
    except StoreUnavailableError as unavailable:
        raise RuntimeError(
            "the store failed, so it may still know this user: try again"
        ) from unavailable.__cause__


def _with_same_groups(entry: Entry, groups: StoredGroups) -> Entry | None:
    """Return an entry whose groups an ``init`` found, which keeps its records."""
    if entry.groups is None or entry.groups.is_explicit or not groups.is_explicit:
        return None
    return attrs.evolve(entry, groups=attrs.evolve(entry.groups, is_explicit=True))


def _is_overtaken(entry: Entry, before: Entry | None) -> bool:
    """Whether others changed the groups meanwhile, so that nobody knows whose are the last."""
    if before is None:
        return entry.groups is not None
    if before.groups is None and entry.groups is None:
        return False
    return entry.generation != before.generation
