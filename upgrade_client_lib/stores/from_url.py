"""Stores named by an address, as in the environment variable ``UPGRADE_STORE``."""

from __future__ import annotations

from . import protocol

_REDIS = ("redis://", "rediss://", "unix://")
_SQLITE = "sqlite:///"


def store_from_url(url: str) -> protocol.Store:
    """Return the store that an address names.

    - ``memory:`` is a ``MemoryStore``,
    - ``sqlite:///relative/path`` and ``sqlite:////absolute/path`` are a ``SQLiteStore``,
    - ``redis://…``, ``rediss://…`` and ``unix://…`` are a ``RedisStore``.

    Any other is a ``ValueError``.

    >>> from upgrade_client_lib.stores import store_from_url
    >>> store = store_from_url("sqlite:////var/lib/school/upgrade.db")
    """
    if url == "memory:":
        from .memory import MemoryStore

        return MemoryStore()
    if url.startswith(_SQLITE) and url != _SQLITE:
        from .sqlite import SQLiteStore

        return SQLiteStore(url[len(_SQLITE) :])
    if url.startswith(_REDIS):
        from .redis import RedisStore

        return RedisStore(url)
    raise ValueError(  # and does not repeat it: it may hold a password
        "the address of a store must be memory:, sqlite:///relative/path, sqlite:////absolute/path,"
        " redis://host:port, rediss://host:port or unix://path"
    )
