"""A store in Redis, for the processes of many machines."""

from __future__ import annotations

import asyncio
import hashlib
import math
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from .._fork import call_after_fork_on, fork_waits
from .arguments import (
    check_key,
    check_record,
    check_seconds,
    check_text,
    new_version,
)
from .redis_events import RedisEvents

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_VERSION = struct.Struct(">q")
"""What a value in Redis begins with."""

_LONGEST_MILLISECONDS = 2**53

_SCRIPT = """
local version = redis.call('GETRANGE', KEYS[1], 0, 7)
if #version < 8 then version = '' end
if version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class RedisStore(RedisEvents):
    """Keeps values and events in Redis, for all processes that reach it.

    They survive as long as the Redis server keeps them; for events, its ``maxmemory-policy`` must
    be ``noeviction``. A read is one ``GET``, a write one call of a script that the server keeps;
    both fail at once if the server does, and are never sent again. Errors are those of the
    ``redis`` package. Nothing is sent before the first call.

    Needs ``pip install "upgrade-client-lib[redis]"``; without it, an ``ImportError`` says so.

    >>> from upgrade_client_lib.stores import RedisStore
    >>> store = RedisStore("redis://localhost:6379/0")

    Args:
        url_or_client: an address, which begins with ``redis://``, ``rediss://`` (TLS) or
            ``unix://``; or a client of your own, which keeps its settings and which you close. A
            ``redis.Redis`` serves event loops too, in a thread. A ``redis.asyncio.Redis`` serves
            its own event loop alone; blocking calls are a ``TypeError``. A client must not decode
            responses.
        timeout: the limit in seconds: of an async call as a whole; of each step of a blocking one,
            which are to connect, to send and to receive. A blocking client of your own has its own.
        prefix: what all keys begin with in Redis.
    """

    def __init__(
        self,
        url_or_client: str | redis.Redis | redis.asyncio.Redis,
        *,
        timeout: float = 0.05,
        prefix: str = "upgrade:",
    ) -> None:
        check_seconds("timeout", timeout)
        self._prefix = check_text("prefix", prefix)
        with fork_waits():
            try:
                from . import redis_clients
            except ImportError as error:
                raise ImportError(
                    'RedisStore needs redis: pip install "upgrade-client-lib[redis]"'
                ) from error
        self._no_script = redis_clients.NoScriptError
        self._make_client: Callable[[], Any] | None = None
        self._client: Any
        self._loops: redis_clients.AsyncClients | None
        if isinstance(url_or_client, str):
            self._make_client = partial(redis_clients.blocking_client, url_or_client, timeout)
            self._client = self._make_client()
            self._loops = redis_clients.LoopClients(url_or_client, timeout)
        else:
            self._client, self._loops = redis_clients.given_clients(url_or_client, timeout)
        self._serves_threads = self._client is not None
        self._clients_of_parents: list[Any] = []
        call_after_fork_on(self, RedisStore._after_fork)

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"  # a password may be in the address

    def get(self, key: str) -> tuple[bytes, int] | None:
        """Return the value and its version; ``None`` where there is none, or it has expired."""
        check_key(key)
        return _found(self._blocking().get(self._prefix + key))

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Write a value if the present one has this version; return whether it was written.

        ``None`` stands for no value. ``ttl`` is in seconds, and takes effect in milliseconds.
        """
        check_record(key, value, version, ttl)
        arguments = self._arguments(key, value, version, ttl)
        client = self._blocking()
        try:
            return bool(client.evalsha(_SCRIPT_SHA, *arguments))
        except self._no_script:
            return bool(client.eval(_SCRIPT, *arguments))

    def delete(self, key: str) -> None:
        """Remove a value; that there is none is no error."""
        check_key(key)
        self._blocking().delete(self._prefix + key)

    async def get_async(self, key: str) -> tuple[bytes, int] | None:
        """Return what :meth:`get` returns."""
        if self._loops is None:
            return await asyncio.to_thread(self.get, key)
        check_key(key)
        return _found(await self._loops.run(lambda client: client.get(self._prefix + key)))

    async def replace_async(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Do what :meth:`replace` does."""
        if self._loops is None:
            return await asyncio.to_thread(self.replace, key, value, version, ttl)
        check_record(key, value, version, ttl)
        arguments = self._arguments(key, value, version, ttl)

        async def compare_and_set(client: Any) -> bool:
            try:
                return bool(await client.evalsha(_SCRIPT_SHA, *arguments))
            except self._no_script:
                return bool(await client.eval(_SCRIPT, *arguments))

        return await self._loops.run(compare_and_set)

    async def delete_async(self, key: str) -> None:
        """Do what :meth:`delete` does."""
        if self._loops is None:
            return await asyncio.to_thread(self.delete, key)
        check_key(key)
        await self._loops.run(lambda client: client.delete(self._prefix + key))

    def close(self) -> None:
        """Close the connections that the store opened; a later call opens them anew.

        Those of an event loop are closed by the loop, soon, and in any case when it shuts down.
        """
        if self._make_client is not None:
            self._client.connection_pool.disconnect()
        if self._loops is not None:
            self._loops.close_soon()

    def _blocking(self) -> Any:
        if self._client is None:
            raise TypeError(
                "this store has an asyncio client, which serves async calls alone; "
                "for blocking calls, make it from an address or a redis.Redis"
            )
        return self._client

    def _arguments(self, key: str, value: bytes, version: int | None, ttl: float) -> list[Any]:
        """Return what the script is called with."""
        milliseconds = min(math.ceil(ttl * 1000), _LONGEST_MILLISECONDS)
        present = b"" if version is None else _VERSION.pack(version)
        return [1, self._prefix + key, present, _VERSION.pack(new_version()) + value, milliseconds]

    def _after_fork(self) -> None:
        """In a child process: use, and close, nothing that the parent opened.

        redis-py notices forks too, but not that a thread of the parent held one of its locks.
        """
        if self._make_client is not None:
            self._clients_of_parents.append(self._client)
            self._client = self._make_client()
        if self._loops is not None:
            self._loops.forget()


def _found(stored: Any) -> tuple[bytes, int] | None:
    """Return the value and its version; ``None`` for none, and for what no store has written."""
    if stored is None or len(stored) < _VERSION.size:
        return None
    return stored[_VERSION.size :], _VERSION.unpack_from(stored)[0]
