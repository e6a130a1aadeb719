"""What stores are given is checked, alike for each of them; versions."""

from __future__ import annotations

import math
import os
from pathlib import Path


def check_key(key: object) -> None:
    """Raise a ``TypeError`` or ``ValueError`` unless the key is text that UTF-8 can encode."""
    if not isinstance(key, str):
        raise TypeError(f"key must be a str, not {type(key).__name__}")
    if not key:
        raise ValueError("key must not be empty")
    key.encode()


def check_record(key: object, value: object, version: object, ttl: float) -> None:
    """Raise a ``TypeError`` or ``ValueError`` unless this can be written."""
    check_key(key)
    if not isinstance(value, bytes):
        raise TypeError(f"value must be bytes, not {type(value).__name__}")
    if version is not None:
        if not isinstance(version, int):
            raise TypeError(f"version must be an int or None, not {type(version).__name__}")
        if not 0 <= version < 2**63:
            raise ValueError(f"version must be one that a store gave, not {version}")
    check_seconds("ttl", ttl)


def check_event(queue: object, event_id: object, line: object, data: object) -> None:
    """Raise a ``TypeError`` or ``ValueError`` unless this can be written."""
    for text in (queue, event_id, line):
        check_key(text)
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes, not {type(data).__name__}")


def check_seconds(name: str, value: object) -> None:
    """Raise a ``TypeError`` or ``ValueError`` unless this is a finite number above 0."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be seconds above 0, not {value!r}")


def check_text(name: str, value: object) -> str:
    """Return text, or raise a ``TypeError``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def new_version() -> int:
    """Return 63 random bits, of which no seed of the application's makes others of its processes.

    The ``random`` module would repeat itself in workers that seed it alike.
    """
    return int.from_bytes(os.urandom(8), "big") >> 1


def positive_int(name: str, value: object) -> int:
    """Return a whole number above 0, or raise a ``TypeError`` or ``ValueError``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value


def file_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file, or raise a ``TypeError`` or ``ValueError``."""
    name: object = os.fspath(path)
    if isinstance(name, bytes):
        raise TypeError("path must be a str or a path of one, not bytes")
    if name == ":memory:":
        raise ValueError("path must name a file; a MemoryStore keeps values in memory")
    if not name or "\0" in os.fspath(path):
        raise ValueError(f"path must name a file, not {name!r}")
    return Path(path)
