"""One call of an endpoint, as the endpoints see it."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs

from ._assignment_text import AssignmentText
from ._catalogue import Catalogue
from ._store import Store, User, now


@attrs.define
class World:
    """All there is: definitions, users, and which server this one stands in for.

    ``newer`` is UpGrade 6.7 instead of 6.5; ``adaptive`` is whether rewards are accepted.
    """

    catalogue: Catalogue
    store: Store
    newer: bool
    adaptive: bool
    random: Random
    started: str = attrs.field(factory=now)
    texts: dict[str, AssignmentText] = attrs.field(factory=dict[str, AssignmentText])


@attrs.frozen
class Call:
    """Who calls, with what: ``user_id`` is what was sent, ``user`` the root user behind it."""

    user_id: str
    user: User
    body: dict[str, Any]
