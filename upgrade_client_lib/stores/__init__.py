"""Where connections keep what they know of users, for all clients, threads and workers.

>>> from upgrade_client_lib.stores import SQLiteStore
>>> store = SQLiteStore("upgrade.db")

Importing this package costs next to nothing; what a store needs is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr

if TYPE_CHECKING:
    from .event_protocol import EventStore, StoredEvent
    from .from_url import store_from_url
    from .memory import MemoryStore
    from .protocol import Store
    from .redis import RedisStore
    from .sqlite import SQLiteStore

__all__ = [
    "EventStore",
    "MemoryStore",
    "RedisStore",
    "SQLiteStore",
    "Store",
    "StoredEvent",
    "store_from_url",
]

_LAZY_MODULES = {
    "EventStore": "event_protocol",
    "StoredEvent": "event_protocol",
    "MemoryStore": "memory",
    "RedisStore": "redis",
    "SQLiteStore": "sqlite",
    "Store": "protocol",
    "store_from_url": "from_url",
}


__getattr__ = lazy_getattr(__name__, _LAZY_MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
