"""One user's entry in a store: found also by an alias, and changed by compare-and-set."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Callable, Optional

import attrs

from .._store_access import StoreAccess, StoreUnavailableError
from .._sync import Backend
from .entry import EMPTY, Entry, decode, encode, new_token

_logger = logging.getLogger("upgrade_client_lib")

MAX_ATTEMPTS = 64
"""How often a change of an entry is tried that others change at the same time."""

Change = Callable[[Entry], Optional[Entry]]
"""What makes an entry of the present one, or ``None`` to leave it; it may be called repeatedly."""


@attrs.frozen
class _Found:
    """An entry as it was read; ``version`` is ``None`` where there is none."""

    entry: Entry
    version: int | None


class SharedEntry:
    """The entry of one user; that of the root user where the user's id is an alias."""

    __slots__ = ("_access", "_key", "_own_key", "_user_id")

    def __init__(self, access: StoreAccess, user_id: str) -> None:
        self._access = access
        self._user_id = user_id
        self._own_key = self._key = access.key(user_id)

    async def read(self, backend: Backend) -> Entry | None:
        """Return the entry, an empty one if there is none; ``None`` where the store fails."""
        try:
            return (await self._find(backend)).entry
        except StoreUnavailableError:
            return None

    async def read_or_begin(self, backend: Backend) -> Entry | None:
        """Return the entry, and write one if there is none; ``None`` where the store fails.

        What comes between this and a later change is known only by an entry that there was.
        """
        try:
            for _ in range(MAX_ATTEMPTS):
                found = await self._find(backend)
                if found.entry.generation:
                    return found.entry
                begun = Entry(generation=new_token())
                if await self._access.replace(backend, self._key, encode(begun), found.version):
                    return begun
        except StoreUnavailableError:
            pass
        return None

    async def keep(self, backend: Backend, change: Change) -> None:
        """Add what may as well be missing from the entry."""
        with suppress(StoreUnavailableError):
            await self._try_to_change(backend, change)

    async def update(self, backend: Backend, change: Change) -> None:
        """Change what others would otherwise wrongly rely on.

        Where that fails the entry is removed, now or once the store works again: that costs a
        request, and is safe.
        """
        try:
            if not await self._try_to_change(backend, change):
                await self._access.delete(backend, self._key)
        except StoreUnavailableError:
            self._access.delete_later(self._key)

    async def learn_root(self, backend: Backend, root_id: str) -> None:
        """Share the entry of the root user, if this user's id is an alias."""
        if root_id == self._user_id or not root_id:
            return
        root_key = self._access.key(root_id)
        if root_key != self._key:
            self._key = root_key
            await self._link(backend, self._own_key)

    async def link(self, backend: Backend, alias: str) -> None:
        """Have an alias lead to this entry."""
        key = self._access.key(alias)
        if key != self._key:
            await self._link(backend, key)

    async def _link(self, backend: Backend, alias_key: str) -> None:
        """Have the key of an alias lead to this entry, which names it, so that both are removed."""

        def add(entry: Entry) -> Entry | None:
            if alias_key in entry.alias_keys:
                return None
            generation = entry.generation or new_token()
            keys = (*entry.alias_keys, alias_key)
            return attrs.evolve(entry, generation=generation, alias_keys=keys)

        await self.keep(backend, add)
        link = encode(Entry(root_key=self._key, linked_at=time.time()))
        try:
            for _ in range(MAX_ATTEMPTS):
                found = await self._access.get(backend, alias_key)
                version = None if found is None else found[1]
                if await self._access.replace(backend, alias_key, link, version):
                    return
        except StoreUnavailableError:
            pass
        self._access.delete_later(alias_key)

    async def _try_to_change(self, backend: Backend, change: Change) -> bool:
        """Return whether the entry is as the change wants it."""
        for _ in range(MAX_ATTEMPTS):
            found = await self._find(backend)
            changed = change(found.entry)
            if changed is None:
                return True
            try:
                encoded = encode(changed)
            except RecursionError:  # an item is nested too deeply; the next read asks again
                _logger.warning("an answer was not stored: it is nested too deeply")
                return True
            if await self._access.replace(backend, self._key, encoded, found.version):
                return True
        return False

    async def _find(self, backend: Backend) -> _Found:
        found = await self._get(backend)
        link = found.entry
        if link.root_key is None:
            return found
        self._key = link.root_key
        found = await self._get(backend)
        if found.entry.root_key is not None:  # links lead to links, which nobody writes
            return _Found(EMPTY, found.version)
        if not 0 <= time.time() - link.linked_at < self._access.ttl / 2:
            await self._link(backend, self._own_key)  # or it would expire
            found = await self._get(backend)
        return found

    async def _get(self, backend: Backend) -> _Found:
        found = await self._access.get(backend, self._key)
        if found is None:
            return _Found(EMPTY, None)
        return _Found(decode(found[0]) or EMPTY, found[1])


async def remove_entry(access: StoreAccess, backend: Backend, user_id: str) -> None:
    """Remove the entry of a user and all that leads to it; ``StoreUnavailableError`` else."""
    keys = [access.key(user_id)]
    for _ in range(2):  # an alias leads to its root user, who leads to all aliases
        found = await access.get(backend, keys[-1])
        entry = None if found is None else decode(found[0])
        if entry is None:
            break
        if entry.root_key is None:
            keys.extend(entry.alias_keys)
            break
        keys.append(entry.root_key)
    for key in dict.fromkeys(keys):
        await access.delete(backend, key)
