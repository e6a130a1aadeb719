"""The nine endpoints: a valid body into a call of the engine, and its result into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import attrs

from ..._engine import ServerState
from .. import bodies
from ..requests import Call
from .assign import Assign
from .flags import featureflag
from .logs import log
from .marks import mark
from .rewards import reward
from .users import groupmembership, init, useraliases, workinggroup


@attrs.frozen
class Endpoint:
    """An endpoint: ``run`` returns what is to be written as JSON, or the JSON itself as bytes."""

    name: str
    method: str
    is_valid: Callable[[Mapping[str, Any], bool], bool]
    run: Callable[[ServerState, Call], object]


def make_endpoints() -> dict[str, Endpoint]:
    """Return the endpoints of one server by name."""
    endpoints = (
        Endpoint("init", "POST", bodies.init, init),
        Endpoint("groupmembership", "PATCH", bodies.groupmembership, groupmembership),
        Endpoint("workinggroup", "PATCH", bodies.workinggroup, workinggroup),
        Endpoint("useraliases", "PATCH", bodies.useraliases, useraliases),
        Endpoint("assign", "POST", bodies.assign, Assign()),
        Endpoint("mark", "POST", bodies.mark, mark),
        Endpoint("featureflag", "POST", bodies.featureflag, featureflag),
        Endpoint("log", "POST", bodies.log, log),
        Endpoint("reward", "POST", bodies.reward, reward),
    )
    return {endpoint.name: endpoint for endpoint in endpoints}


__all__ = ["Endpoint", "make_endpoints"]
