"""Rewards, which only adaptive experiments accept."""

from __future__ import annotations

import re

import attrs

from .._definitions import ENROLLING, Experiment
from .assignments import check_context
from .reasons import Reason, Refused
from .records import Reward
from .state import ServerState
from .store import User
from .strictness import require_point

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@attrs.frozen
class RewardTarget:
    """The experiment that a reward is for: its id, or a context and decision point.

    ``site`` and ``target`` are None where no text was sent; ``shown_site`` and ``shown_target``
    are what a message says of them.
    """

    experiment_id: str | None
    context: object
    site: str | None
    target: str | None
    shown_site: str
    shown_target: str


@attrs.frozen
class RewardResult:
    """What the server tells of an accepted reward; numbers count from 1."""

    variable: str
    mooclet: int
    version: int


def reward(state: ServerState, user: User, value: str, target: RewardTarget) -> RewardResult:
    """Accept a reward for the condition in which the user is enrolled."""
    if not state.adaptive:
        message = "Failed to send reward: mooclet is not currently enabled on backend."
        raise Refused(Reason.REWARDS_DISABLED, message)
    if target.experiment_id:
        experiment = _by_id(state, user, value, target.experiment_id)
    else:
        experiment = _by_point(state, target)
    enrolment = state.store.enrolments.get((experiment.id, user.id))
    if enrolment is None or len(enrolment.points) > 1:
        enrolments = ["[object Object]"] * len(enrolment.points if enrolment else ())
        raise Refused(
            Reason.REWARD_FAILED,
            f"Could not find unique user enrollment for experiment (userId: {user.id}, "
            f"enrollments: {','.join(enrolments)}), no reward sent.",
        )
    state.store.rewards.append(Reward(user.id, value, experiment.id, enrolment.condition))
    return RewardResult(
        variable=experiment.reward_variable,
        mooclet=[one.id for one in _adaptive(state)].index(experiment.id) + 1,
        version=(experiment.index_of(enrolment.condition) or 0) + 1,
    )


def _adaptive(state: ServerState) -> list[Experiment]:
    experiments = state.catalogue.experiments.values()
    return [experiment for experiment in experiments if experiment.adaptive]


def _by_id(state: ServerState, user: User, value: str, experiment_id: str) -> Experiment:
    for experiment in _adaptive(state):
        if experiment.id == experiment_id:
            return experiment
    if not _UUID.fullmatch(experiment_id):
        raise Refused(
            Reason.REWARD_FAILED,
            "Failed to process reward request due to unexpected error "
            f"(userId: {user.id}, experimentId: {experiment_id}, rewardValue: {value}).",
        )
    raise Refused(
        Reason.REWARD_FAILED,
        f"No active mooclet experiment ref found for experiment id: {experiment_id}, "
        "could not send reward.",
    )


def _by_point(state: ServerState, target: RewardTarget) -> Experiment:
    if target.site is not None and target.target is not None:
        for experiment in state.catalogue.at(target.site, target.target):
            active = experiment.adaptive and experiment.state == ENROLLING
            if active and experiment.context == target.context:
                return experiment
        if state.strict:
            check_context(state, target.context)
            require_point(state, target.site, target.target)
    raise Refused(
        Reason.REWARD_FAILED,
        f"No active experiment found for decision point (context: {target.context}, "
        f"site: {target.shown_site}, target: {target.shown_target}), "
        "could not send reward.",
    )
