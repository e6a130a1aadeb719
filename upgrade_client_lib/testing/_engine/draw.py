"""The draws that UpGrade makes: of a condition, an experiment of a pool, a queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import floor
from typing import TypeVar

from .._definitions import ORDERED_ROUND_ROBIN, RANDOM
from .seedrandom import fraction

QUEUE_LENGTH = 100

_T = TypeVar("_T")


def draw_condition(experiment_id: str, unit_id: str, weights: Sequence[float]) -> int:
    """Return the index of the condition that a user or a group draws in an experiment."""
    point = fraction(f"{experiment_id}_{unit_id}") * 100
    reached = 0.0
    for index, weight in enumerate(weights):
        reached += weight
        if point <= reached:
            return index
    return len(weights) - 1


def draw_from_pool(user_id: str, candidates: Sequence[_T]) -> _T:
    """Return the candidate that this user draws."""
    return candidates[floor(fraction(user_id) * len(candidates))]


@lru_cache(maxsize=4096)
def draw_queue(order: str, experiment_id: str, user_id: str, length: int) -> tuple[int, ...]:
    """Return a within-subjects user's queue, not rotated: indices of ``length`` conditions."""
    if order == ORDERED_ROUND_ROBIN:
        return tuple(range(length))
    seed = experiment_id + user_id
    if order == RANDOM:
        return tuple(floor(fraction(f"{seed}{i}") * length) for i in range(QUEUE_LENGTH))
    drawn: list[int] = []
    for i in range(-(-QUEUE_LENGTH // length)):
        left = list(range(length))
        for j in range(length - 1):
            drawn.append(left.pop(floor(fraction(f"{seed}{i}{j}") * len(left))))
        drawn += left
    return tuple(drawn)
