"""A client for UpGrade: A/B experiments and feature flags in educational software.

>>> from upgrade_client_lib import UpgradeClient
>>> client = UpgradeClient("user-1", "https://upgrade.example.org", "my-app")
>>> client.init_sync()
>>> client.has_feature_flag_sync("new-dashboard")
True

Importing this package costs next to nothing; what a name needs is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from . import exceptions, types
    from ._http import Timeout
    from ._outbox import Outbox
    from .assignment import Assignment
    from .client import UpgradeClient
    from .connection import UpgradeConnection
    from .decision import Decision, FlagDecision
    from .exceptions import (
        BadRequestError,
        CircuitOpenError,
        ConflictError,
        NoConnectionError,
        NotAuthorizedError,
        OutboxError,
        OutboxFullError,
        RequestTimeoutError,
        ServerError,
        TooManyRequestsError,
        UnreadableAnswerError,
        UpgradeApiError,
        UserNotInitializedError,
    )
    from .hooks import Hook

__all__ = [
    "Assignment",
    "BadRequestError",
    "CircuitOpenError",
    "ConflictError",
    "Decision",
    "FlagDecision",
    "Hook",
    "NoConnectionError",
    "NotAuthorizedError",
    "Outbox",
    "OutboxError",
    "OutboxFullError",
    "RequestTimeoutError",
    "ServerError",
    "Timeout",
    "TooManyRequestsError",
    "UnreadableAnswerError",
    "UpgradeApiError",
    "UpgradeClient",
    "UpgradeConnection",
    "UserNotInitializedError",
    "__version__",
    "exceptions",
    "types",
]

_LAZY_MODULES = {
    "Assignment": "assignment",
    "Decision": "decision",
    "FlagDecision": "decision",
    "Hook": "hooks",
    "Outbox": "_outbox",
    "Timeout": "_http",
    "UpgradeClient": "client",
    "UpgradeConnection": "connection",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("exceptions", "types"):
        return import_module(f".{name}", __name__)
    value: object = getattr(
        import_module(f".{_LAZY_MODULES.get(name, 'exceptions')}", __name__), name
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
