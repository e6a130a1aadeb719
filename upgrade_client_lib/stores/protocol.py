"""What a store is."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Bytes by key, each value with a version and a time to live.

    It knows nothing of UpGrade. Any object with these three methods is one. They may be called from
    any thread, and block. A store may have ``get_async``, ``replace_async`` and ``delete_async``
    besides, coroutines of the same meaning; where it has none, event loops call the blocking
    methods in a thread.

    A method that cannot do its work raises an exception, of any kind.
    """

    def get(self, key: str) -> tuple[bytes, int] | None:
        """Return the value and its version; ``None`` where there is none, or it has expired."""
        ...

    def replace(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        """Write a value if the present one still has this version, for ``ttl`` seconds.

        ``None`` is the version where there is no value; one that has expired counts as none.
        Return whether the value was written. Each that is written gets a new version, which never
        comes back under this key, not even after a delete or an expiry: 63 random bits will do.
        Of several callers with the same version, in any thread or process that shares the store,
        one alone succeeds.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a value, whatever its version; that there is none is no error."""
        ...
