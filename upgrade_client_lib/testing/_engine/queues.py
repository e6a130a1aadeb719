"""Within-subjects queues: the conditions that one user gets one after the other."""

from __future__ import annotations

from typing import TypeVar

from .._definitions import Experiment
from .draw import draw_queue
from .state import ServerState
from .store import User

_T = TypeVar("_T")


def queue_at(state: ServerState, user: User, experiment: Experiment, point: int) -> tuple[int, ...]:
    """Return the user's queue at a decision point, next condition first."""
    store, keys = state.store, state.catalogue.point_keys[experiment.id]
    length = len(experiment.conditions)
    drawn = draw_queue(experiment.order or "", experiment.id, user.id, length)
    forced = store.forced_for(user.id).get(experiment.id)
    if forced is not None:
        return (forced,) * len(drawn)
    counted = keys if state.is_6_7 else keys[point : point + 1]
    taken = sum(store.turns[experiment.id, user.id, site, target] for site, target in counted)
    return rotated(drawn, taken)


def rotated(queue: tuple[_T, ...], taken: int) -> tuple[_T, ...]:
    """Return a queue after this many turns: what is taken goes to the end."""
    turn = taken % len(queue)
    return queue[turn:] + queue[:turn]
