"""What a mark changes in what is known of a user's decision points.

In a within-subjects experiment a decision point has a queue of conditions, which each mark that
the server applies advances by one: servers up to 6.5 advance the marked point alone, newer ones
every point of the experiment. Elsewhere a mark changes nothing, unless it names another condition
than the one that is known, or takes the user out of the experiment or into one.

What follows from a mark with certainty is applied; what does not is invalidated, so that the server
is asked before the point is next used.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Literal

import attrs

PointKey = tuple[str, str]
"""A decision point: its site, and its target or ``""``."""

Rotation = Literal["auto", "decision_point", "experiment"]
"""What a mark advances: one point, all points of the experiment, or (auto) whichever is right."""

MarkOutcome = Literal["applied", "rejected", "unknown"]
"""What the server did with a mark."""

Scope = Literal["none", "point", "other points", "experiment"]
"""Which points of the marked point's experiment are meant; "experiment" includes the point."""


@attrs.frozen
class PointState:
    """What a response says of one decision point, as far as a mark can change it.

    ``conditions`` are the codes and payload values by which a mark may name the condition; they
    matter only where there is no queue. On old servers a point with a null target is never
    advanced.
    """

    experiment_id: str | None
    has_queue: bool
    has_null_target: bool = False
    conditions: AbstractSet[str] = frozenset()


@attrs.frozen
class Mark:
    """A mark as the rules see it.

    ``experiment_id`` is that of the assignment which is marked. ``excludes`` says that the mark
    takes the user out of that experiment.
    """

    point: PointKey
    experiment_id: str | None
    condition: str | None
    excludes: bool = False


@attrs.frozen
class MarkEffect:
    """What to do with a record after a mark.

    ``discard`` the whole record, or ``advance`` some points and ``invalidate`` others.
    ``is_news`` says that the mark's condition decided this: the same mark again changes nothing.
    """

    discard: bool = False
    advance: Scope = "none"
    invalidate: Scope = "none"
    is_news: bool = False


NO_EFFECT = MarkEffect()
DISCARD = MarkEffect(discard=True)


def effect_of_mark(
    mark: Mark,
    outcome: MarkOutcome,
    rotation: Rotation,
    state: PointState | None,
    *,
    repeats_last: bool,
    stored_experiment_id: str | None = None,
) -> MarkEffect:
    """Return what a mark does to a record in which its point has this state.

    ``state`` is ``None`` where the point assigns nothing. ``stored_experiment_id`` is the
    experiment that the server names in its answer to the mark; ``repeats_last`` says that the last
    mark at this point named the same condition.
    """
    if outcome == "rejected":
        return NO_EFFECT
    known_experiment_id = None if state is None else state.experiment_id
    if mark.excludes or known_experiment_id != mark.experiment_id:
        # Experiments that share points share a pool: whoever leaves one may enter another.
        return DISCARD
    if stored_experiment_id and mark.experiment_id is None and not repeats_last:
        # Where this user is assigned nothing, the mark may have enrolled them, which other points
        # then follow.
        return MarkEffect(discard=True, is_news=True)
    if state is None:
        return NO_EFFECT
    if state.has_queue:
        return _effect_on_queue(mark, outcome, rotation, state)
    if contradicts(mark, state):
        if outcome == "unknown":
            return MarkEffect(invalidate="experiment")
        if not repeats_last:
            return MarkEffect(invalidate="experiment", is_news=True)
    return NO_EFFECT


def effect_of_waiting_mark(mark: Mark, rotation: Rotation, state: PointState) -> MarkEffect:
    """Return what a mark that the server does not have yet will do to what it answered."""
    effect = effect_of_mark(mark, "applied", rotation, state, repeats_last=False)
    return MarkEffect(invalidate="experiment") if effect.discard else effect


def _effect_on_queue(
    mark: Mark, outcome: MarkOutcome, rotation: Rotation, state: PointState
) -> MarkEffect:
    if outcome == "unknown" or mark.experiment_id is None:
        return MarkEffect(invalidate="experiment")
    if rotation == "experiment":
        return MarkEffect(advance="experiment")
    if state.has_null_target:
        return MarkEffect(invalidate="experiment" if rotation == "auto" else "point")
    return MarkEffect(advance="point", invalidate="other points" if rotation == "auto" else "none")


def contradicts(mark: Mark, state: PointState) -> bool:
    """Whether a mark names a condition that its point does not assign.

    An adaptive experiment then keeps to the condition that was marked.
    """
    return bool(mark.condition) and mark.condition not in state.conditions


def position(advanced_by: int, length: int) -> int:
    """Return which condition of a queue is the current one after it was advanced so often."""
    return advanced_by % length
