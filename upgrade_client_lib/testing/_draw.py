"""Which condition: the draws that UpGrade makes for a user, a group, a queue, a pool."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import floor
from typing import TypeVar

from ._seedrandom import fraction

RANDOM = "random"
ORDERED_ROUND_ROBIN = "ordered round robin"
RANDOM_ROUND_ROBIN = "random round robin"
QUEUE_LENGTH = 100

_T = TypeVar("_T")


def weighted(experiment_id: str, unit_id: str, weights: Sequence[float]) -> int:
    """The index of the condition of a user, or of a group: the same one for every draw."""
    point = fraction(f"{experiment_id}_{unit_id}") * 100
    reached = 0.0
    for index, weight in enumerate(weights):
        reached += weight
        if point <= reached:
            return index
    return len(weights) - 1


def one_of_pool(user_id: str, pool: Sequence[_T]) -> _T:
    """The experiment of those that share decision points which this user enters."""
    return pool[floor(fraction(user_id) * len(pool))]


@lru_cache(maxsize=4096)
def queue(order: str, experiment_id: str, user_id: str, length: int) -> tuple[int, ...]:
    """A within-subjects user's queue, unrotated: indices into the ``length`` conditions."""
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
