"""An UpGrade server for tests and demos, in this process or on a socket.

>>> from upgrade_client_lib.testing import LocalUpgrade
>>> local = LocalUpgrade()
>>> local.experiment("home", "banner", conditions=["control", "treatment"])
>>> client = UpgradeClient("user", "http://upgrade.local", "my-app", transport=local.transport)

``python -m upgrade_client_lib.testing`` serves a sample school from a shell, or what an
``EXPORT.json`` holds, and pytest finds the fixtures ``local_upgrade`` and ``upgrade_client``.
Importing this package costs next to nothing; what a name needs is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr

if TYPE_CHECKING:
    from ._definitions import Experiment, FeatureFlag, Metric, Payload
    from ._engine import Explanation, LoggedMetric, Mark, Reward
    from ._http import Request
    from .local import DEFAULT_CONTEXT, LocalUpgrade
    from .school import sample_school

__all__ = [
    "DEFAULT_CONTEXT",
    "Experiment",
    "Explanation",
    "FeatureFlag",
    "LocalUpgrade",
    "LoggedMetric",
    "Mark",
    "Metric",
    "Payload",
    "Request",
    "Reward",
    "sample_school",
]

_LAZY_MODULES = {
    **dict.fromkeys(__all__, "_definitions"),
    "DEFAULT_CONTEXT": "local",
    "Explanation": "_engine",
    "LocalUpgrade": "local",
    "LoggedMetric": "_engine",
    "Mark": "_engine",
    "Request": "_http",
    "Reward": "_engine",
    "sample_school": "school",
}


__getattr__ = lazy_getattr(__name__, _LAZY_MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
