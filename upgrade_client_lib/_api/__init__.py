"""Public types to requests, responses to public types. The only importer of ``upgrade_openapi``.

A response is not trusted: what cannot be read is left out with a warning, one item at a time.
"""

from __future__ import annotations

from .assignments import (
    Item,
    experiment_of,
    has_queue,
    id_of_condition,
    read_assignment,
    state_of,
)
from .operations import (
    Identity,
    assign,
    feature_flags,
    init,
    log,
    mark,
    reward,
    set_group_membership,
    set_user_aliases,
    set_working_group,
    version,
)
from .responses import read_flags

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
