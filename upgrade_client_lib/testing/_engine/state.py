"""The whole state of one server."""

from __future__ import annotations

from random import Random

import attrs

from .._definitions import Catalogue
from .store import Store, now


@attrs.define
class ServerState:
    """Definitions, users and what they did, and which server this is.

    ``is_6_7`` is UpGrade 6.7 instead of 6.5; ``adaptive`` is whether rewards are accepted, and
    ``strict`` whether unknown names are errors that a real server drops in silence.
    """

    catalogue: Catalogue
    store: Store
    is_6_7: bool
    adaptive: bool
    strict: bool
    random: Random
    started: str = attrs.field(factory=now)
