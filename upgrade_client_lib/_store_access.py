"""A connection's store, as its clients use it: a failure costs a warning, never an answer."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any

from ._sync import Backend
from .hooks import HookList

if TYPE_CHECKING:
    from .stores import Store

_logger = logging.getLogger("upgrade_client_lib")

PAUSE_SECONDS = 1.0
"""For how long a store that failed is not used."""


class StoreUnavailableError(Exception):
    """The store failed, just now or a moment ago."""


class StoreAccess:
    """A store, and the names that entries of one server have in it."""

    def __init__(
        self, store: Store, host_url: str, hash_key: bytes | None, hooks: HookList, ttl: float
    ) -> None:
        self._store = store
        self._host_url = host_url
        self._hash_key = hash_key
        self._hooks = hooks
        self._ttl = ttl
        self._paused_until = 0.0
        self._has_warned = False

    def key(self, user_id: str) -> str:
        """Return the key of a user's entry, which shows no user id if there is a ``hash_key``."""
        if self._hash_key is None:
            return f"{self._host_url} {user_id}"
        named = f"{self._host_url} {user_id}".encode("utf-8", "surrogatepass")
        return hmac.new(self._hash_key, named, hashlib.sha256).hexdigest()

    async def get(self, backend: Backend, key: str) -> tuple[bytes, int] | None:
        """Return an entry and its version; a ``StoreUnavailableError`` where the store fails."""
        found: tuple[bytes, int] | None = await self._call(backend, "get", key)
        return found

    async def replace(self, backend: Backend, key: str, value: bytes, version: int | None) -> bool:
        """Write an entry if its version is still this one."""
        written: bool = await self._call(backend, "replace", key, value, version, self._ttl)
        return written

    async def delete(self, backend: Backend, key: str) -> None:
        """Remove an entry."""
        await self._call(backend, "delete", key)

    async def _call(self, backend: Backend, method: str, *arguments: Any) -> Any:
        if time.monotonic() < self._paused_until:
            raise StoreUnavailableError
        try:
            result = await backend.call_either(self._store, method, *arguments)
        except Exception as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            if not self._has_warned:
                self._has_warned = True
                _logger.warning(
                    "the store %s failed; the server is asked instead: %s: %s",
                    type(self._store).__name__,
                    type(error).__name__,
                    error,
                )
            if self._hooks:
                self._hooks.call("store_failed", error)
            raise StoreUnavailableError from error
        if self._has_warned:
            self._has_warned = False
            _logger.info("the store %s works again", type(self._store).__name__)
        return result
