"""Decisions in the terms that OpenFeature and OpenTelemetry share."""

from __future__ import annotations

from .._rules import arguments
from ..decision import Decision, FlagDecision
from ..types import DecisionReason, DecisionSource

_ASSIGNED = {
    DecisionSource.SERVER: "TARGETING_MATCH",
    DecisionSource.CACHE: "CACHED",
    DecisionSource.STALE: "STALE",
}


def reason_of(decision: Decision | FlagDecision) -> str:
    """Return OpenFeature's name of the reason."""
    if decision.reason is DecisionReason.ERROR:
        return "ERROR"
    if decision.reason is DecisionReason.NOT_ASSIGNED or decision.source is None:
        return "DEFAULT"
    return _ASSIGNED[decision.source]


def variant_of(decision: Decision | FlagDecision) -> str | None:
    """Return what was assigned; ``None`` where nothing was."""
    if decision.reason is not DecisionReason.ASSIGNED:
        return None
    return decision.condition if isinstance(decision, Decision) else "on"


def undecided(context: str, site: object, target: object, default: object) -> Decision:
    """Return the decision for a request of nobody, about whom UpGrade is not asked.

    Wrong arguments raise what they do for a user.
    """
    checked_site, checked_target = arguments.point(site, target)
    return Decision(
        user_id="",
        context=context,
        site=checked_site,
        target=checked_target,
        condition=arguments.default(default),
        reason=DecisionReason.NOT_ASSIGNED,
        source=None,
    )


def undecided_flag(context: str, key: object, default: object) -> FlagDecision:
    """Return the decision about a flag for a request of nobody; wrong arguments raise."""
    return FlagDecision(
        user_id="",
        context=context,
        key=arguments.nonempty("key", key),
        enabled=arguments.boolean("default", default),
        reason=DecisionReason.NOT_ASSIGNED,
        source=None,
    )
