"""A connection's store, as its clients use it: a failure costs a warning, never an answer."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any

from ._rules import arguments
from ._sync import Backend
from .hooks import HookList

if TYPE_CHECKING:
    from .stores import Store

_logger = logging.getLogger("upgrade_client_lib")

PAUSE_SECONDS = 1.0
"""For how long a store that failed is not used, at the least; where it is slow, for longer."""

MAX_PAUSE_SECONDS = 30.0

SLOW_SECONDS = 1.0
"""A store that takes longer counts as one that failed."""

DELETED_AT_ONCE = 10
"""How many entries that could not be changed are removed with each later call."""

MAX_TO_DELETE = 10_000


class StoreUnavailableError(Exception):
    """The store failed, just now or a moment ago."""


class StoreAccess:
    """A store, and the names that entries of one server have in it.

    ``ttl`` is for how many seconds an entry is kept after it was written.
    """

    def __init__(
        self, store: Store, host_url: str, hash_key: bytes | None, hooks: HookList, ttl: float
    ) -> None:
        arguments.store("store", store, "a store", ("get", "replace", "delete"))
        self.ttl = max(ttl, 1.0)
        self.has_warned_of_groups = False
        self._store = store
        self._host_url = host_url
        self._hash_key = hash_key
        self._hooks = hooks
        self._paused_until = 0.0
        self._failing: set[str] = set()
        self._to_delete: dict[str, None] = {}

    def key(self, user_id: str) -> str:
        """Return the key of a user's entry, which shows no user id if there is a ``hash_key``."""
        named = f"{self._host_url} {user_id}"
        if self._hash_key is None:
            return named
        return hmac.new(self._hash_key, named.encode(), hashlib.sha256).hexdigest()

    async def get(self, backend: Backend, key: str) -> tuple[bytes, int] | None:
        """Return an entry and its version; a ``StoreUnavailableError`` where the store fails."""
        found: tuple[bytes, int] | None = await self._call(backend, "get", key)
        return found

    async def replace(self, backend: Backend, key: str, value: bytes, version: int | None) -> bool:
        """Write an entry if its version is still this one."""
        written: bool = await self._call(backend, "replace", key, value, version, self.ttl)
        return written

    async def delete(self, backend: Backend, key: str) -> None:
        """Remove an entry."""
        await self._call(backend, "delete", key)

    def delete_later(self, key: str) -> None:
        """Have an entry that is wrong by now removed once the store works again."""
        self._to_delete[key] = None
        if len(self._to_delete) > MAX_TO_DELETE:
            self._to_delete.pop(next(iter(self._to_delete)), None)
            _logger.warning("the store may serve what is outdated: it failed for too long")

    async def _call(self, backend: Backend, method: str, key: str, *arguments: Any) -> Any:
        begun = time.monotonic()
        if begun < self._paused_until:
            raise StoreUnavailableError
        try:
            if self._to_delete:
                await self._delete_outdated(backend, key)
            result = await backend.call_either(self._store, method, SLOW_SECONDS, key, *arguments)
            if method == "get" and result is not None:
                _value, _version = result  # what is something else has failed
        except Exception as error:
            self._failed(method, error, time.monotonic() - begun)
            raise StoreUnavailableError from error
        seconds = time.monotonic() - begun
        if seconds > SLOW_SECONDS:
            self._failed(method, TimeoutError(f"{method} took {seconds:.1f} s"), seconds)
        elif method in self._failing:
            self._failing.discard(method)
            _logger.info("%s of the store %s works again", method, type(self._store).__name__)
        return result

    async def _delete_outdated(self, backend: Backend, key: str) -> None:
        keys = sorted(self._to_delete, key=key.__ne__)  # the one that is needed comes first
        for outdated in keys[:DELETED_AT_ONCE]:
            await backend.call_either(self._store, "delete", SLOW_SECONDS, outdated)
            self._to_delete.pop(outdated, None)

    def _failed(self, method: str, error: Exception, seconds: float) -> None:
        pause = min(max(PAUSE_SECONDS, 10 * seconds), MAX_PAUSE_SECONDS)
        self._paused_until = time.monotonic() + pause
        if method not in self._failing:
            self._failing.add(method)
            _logger.warning(
                "the store %s failed; the server is asked instead: %s: %s",
                type(self._store).__name__,
                type(error).__name__,
                error,
            )
        if self._hooks:
            self._hooks.call("store_failed", error)
