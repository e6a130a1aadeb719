"""A client for UpGrade: A/B experiments and feature flags in educational software.

>>> from upgrade_client_lib import UpgradeClient
>>> client = UpgradeClient("user-1", "https://upgrade.example.org", "my-app")
>>> client.init_sync()
>>> client.has_feature_flag_sync("new-dashboard")
True

Importing this package costs next to nothing; what a name needs is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_getattr
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
    "BadRequestError": "exceptions",
    "CircuitOpenError": "exceptions",
    "ConflictError": "exceptions",
    "Decision": "decision",
    "FlagDecision": "decision",
    "Hook": "hooks",
    "NoConnectionError": "exceptions",
    "NotAuthorizedError": "exceptions",
    "Outbox": "_outbox",
    "OutboxError": "exceptions",
    "OutboxFullError": "exceptions",
    "RequestTimeoutError": "exceptions",
    "ServerError": "exceptions",
    "Timeout": "_http",
    "TooManyRequestsError": "exceptions",
    "UnreadableAnswerError": "exceptions",
    "UpgradeApiError": "exceptions",
    "UpgradeClient": "client",
    "UpgradeConnection": "connection",
    "UserNotInitializedError": "exceptions",
    "exceptions": "exceptions",
    "types": "types",
}


if not TYPE_CHECKING:
    __getattr__ = lazy_getattr(__name__, _LAZY_MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
