"""Public types to requests, responses to public types. The only importer of ``upgrade_openapi``.

A response is not trusted: what cannot be read is left out with a warning, one item at a time.
Importing this package loads nothing generated; each operation is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_getattr
from .identity import Identity

if TYPE_CHECKING:
    from .assignments import (
        Item,
        assign,
        experiment_of,
        has_queue,
        id_of_condition,
        read_assignment,
        state_of,
    )
    from .flags import feature_flags, read_flags
    from .logs import log
    from .marks import mark
    from .rewards import reward
    from .users import init, set_group_membership, set_user_aliases, set_working_group
    from .versions import version

__all__ = [
    "Identity",
    "Item",
    "assign",
    "experiment_of",
    "feature_flags",
    "has_queue",
    "id_of_condition",
    "init",
    "log",
    "mark",
    "read_assignment",
    "read_flags",
    "reward",
    "set_group_membership",
    "set_user_aliases",
    "set_working_group",
    "state_of",
    "version",
]

_LAZY_MODULES = {
    "Item": "assignments",
    "assign": "assignments",
    "experiment_of": "assignments",
    "feature_flags": "flags",
    "has_queue": "assignments",
    "id_of_condition": "assignments",
    "init": "users",
    "log": "logs",
    "mark": "marks",
    "read_assignment": "assignments",
    "read_flags": "flags",
    "reward": "rewards",
    "set_group_membership": "users",
    "set_user_aliases": "users",
    "set_working_group": "users",
    "state_of": "assignments",
    "version": "versions",
}


if not TYPE_CHECKING:
    __getattr__ = lazy_getattr(__name__, _LAZY_MODULES)
