"""Within-subjects queues: the conditions that one user gets one after the other."""

from __future__ import annotations

from .._definitions import Experiment
from .draw import draw_queue
from .state import ServerState
from .store import User


def queue_at(state: ServerState, user: User, experiment: Experiment, point: int) -> tuple[int, ...]:
    """Return the user's queue at a decision point, next condition first."""
    store, keys = state.store, state.catalogue.point_keys[experiment.id]
    length = len(experiment.conditions)
    drawn = draw_queue(experiment.order or "", experiment.id, user.id, length)
    forced = store.forced_for(user.id).get(experiment.id)
    if forced is not None:
        return (forced,) * len(drawn)
    counted = keys if state.is_6_7 else keys[point : point + 1]
    visits = [store.visits.get((user.id, site, target)) for site, target in counted]
    turn = sum(visit.marks for visit in visits if visit) % len(drawn)
    return drawn[turn:] + drawn[:turn]
