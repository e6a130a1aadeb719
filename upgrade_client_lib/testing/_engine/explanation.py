"""Why a user gets a condition at a decision point, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .._definitions import (
    ENROLLING,
    ENROLLMENT_COMPLETE,
    GROUP,
    Experiment,
    PointKey,
    payload_for_code,
)
from .assignments import (
    assigned_experiments,
    condition_index,
    participation,
    pool_of,
)
from .eligibility import has_valid_group, is_admitted, working_group
from .enrolment import enrolled_condition, is_shut_out, reverts_to
from .queues import queue_at
from .state import ServerState
from .store import User
from .strictness import nearest_point, shown_point


@attrs.frozen
class Explanation:
    """Why a user gets a condition at a decision point, or none.

    ``experiment`` is the name of the experiment that assigns it, ``queue`` the codes of a
    within-subjects user, next first. ``steps`` are the reasons in the order of the decisions;
    ``str()`` makes a text of them.
    """

    user: str
    site: str
    target: str
    experiment: str | None
    condition: str | None
    queue: tuple[str, ...]
    steps: tuple[str, ...]

    def __str__(self) -> str:
        point = shown_point(self.site, self.target)
        got = "no condition" if self.condition is None else repr(self.condition)
        lines = [f"{self.user} gets {got} at {point}:", *(f"- {step}" for step in self.steps)]
        return "\n".join(lines)


def explain(
    state: ServerState, user_id: str, site: str, target: str | None, context: str | None
) -> Explanation:
    """Explain what the user is assigned now; nothing changes by it.

    Without a ``context``, it is about the first that has the point and assigns something there.
    """
    stored = state.store.user(user_id)
    user = User(user_id) if stored is None else stored
    about_user = tuple(_about_user(user_id, stored))
    key = _known_key(state, site, target)
    here = state.catalogue.at(*key)
    contexts = list(dict.fromkeys(experiment.context for experiment in here))
    explained = [
        _in_context(state, user, one, here, key)
        for one in contexts
        if context is None or one == context
    ]
    if explained:
        found = next((one for one in explained if one.experiment is not None), explained[0])
        if context is None and len(contexts) > 1:
            named = contexts[explained.index(found)]
            others = ", ".join(repr(one) for one in contexts if one != named)
            about_user += (f"this is about context {named!r}; the point is in {others}, too",)
        return attrs.evolve(found, steps=(*about_user, *found.steps))
    if contexts:
        others = ", ".join(map(repr, contexts))
        step = f"no experiment of context {context!r} has this decision point, only of {others}"
    else:
        step = f"no experiment has this decision point{nearest_point(state, site, target)}"
    return Explanation(user.id, site, target or "", None, None, (), (*about_user, step))


def _known_key(state: ServerState, site: str, target: str | None) -> PointKey:
    """Return the key of the point; without a target, of the one whose target is null or empty."""
    keys = [state.catalogue.point_key(site, one) for one in ((target,) if target else ("", None))]
    return next((key for key in keys if state.catalogue.at(*key)), keys[0])


def _in_context(
    state: ServerState, user: User, context: str, everywhere: list[Experiment], key: PointKey
) -> Explanation:
    """Explain what the user is assigned at a point in a context that has it."""
    here = [experiment for experiment in everywhere if experiment.context == context]
    steps = [step for experiment in here for step in _about_experiment(state, user, experiment)]
    pool = pool_of(state, user, context, here)
    chosen = next((one for one in assigned_experiments(state, user, context) if one in pool), None)
    if len(pool) > 1:
        names = ", ".join(repr(member.name) for member in pool)
        choice = "none of them" if chosen is None else repr(chosen.name)
        steps.append(f"{names} share decision points: {choice} is the user's")
    if chosen is not None and key in state.catalogue.point_keys[chosen.id]:
        point = state.catalogue.point_keys[chosen.id].index(key)
        return _assigned(state, user, chosen, point, steps)
    return Explanation(user.id, key[0], key[1] or "", None, None, (), tuple(steps))


def _about_user(user_id: str, stored: User | None) -> Iterator[str]:
    if stored is None:
        yield "the user was not initialised: a request is answered with 404 until then"
    elif stored.id != user_id:
        yield f"{user_id} is an alias of {stored.id}"


def _about_experiment(state: ServerState, user: User, experiment: Experiment) -> Iterator[str]:
    """Yield what decides whether the user takes part in an experiment."""
    name = repr(experiment.name)
    stored = participation(state.store, experiment, user)
    enrolled = enrolled_condition(experiment, stored)
    if experiment.id in state.store.forced_for(user.id):
        yield f"{name}: a condition is forced"
    elif experiment.state not in (ENROLLING, ENROLLMENT_COMPLETE):
        yield f"{name}: its state is {experiment.state}, in which nothing is assigned"
    elif state.catalogue.excluded.contains(user.id, user.groups):
        yield f"{name}: the user is excluded globally"
    elif not is_admitted(experiment, user, state.catalogue.excluded):
        yield f"{name}: its lists of users and groups do not admit the user"
    elif not has_valid_group(experiment, user) and stored.condition is None:
        group = working_group(experiment, user)
        yield (
            f"{name}: the working group {group!r} is not one of the user's "
            f"{experiment.group_type} groups"
        )
    elif experiment.state == ENROLLMENT_COMPLETE and experiment.within_subjects:
        yield f"{name}: enrolment is complete; a within-subjects experiment then assigns nothing"
    elif is_shut_out(experiment, stored) and reverts_to(experiment) is None:
        yield f"{name}: a mark excluded the {'group' if stored.group_excluded else 'user'}"
    elif enrolled is not None:
        yield f"{name}: a mark enrolled the user or the group, with {enrolled!r}"
    elif experiment.state == ENROLLMENT_COMPLETE:
        yield f"{name}: enrolment is complete, and the user is not enrolled"
    else:
        yield f"{name}: the user may enter, and is not enrolled yet"


def _assigned(
    state: ServerState, user: User, experiment: Experiment, point: int, steps: list[str]
) -> Explanation:
    """Explain the condition that an experiment assigns at one of its points."""
    codes = [condition.code for condition in experiment.conditions]
    queue: tuple[str, ...] = ()
    condition: str | None
    forced = experiment.id in state.store.forced_for(user.id)
    stored = participation(state.store, experiment, user)
    if experiment.within_subjects:
        queue = tuple(codes[index] for index in queue_at(state, user, experiment, point))
        condition = queue[0]
        steps.append(f"the queue is {experiment.order}, moved on by the marks so far")
    elif forced:
        condition = codes[condition_index(state, user, experiment)]
    elif reverts_to(experiment) is not None:
        condition = codes[condition_index(state, user, experiment)]
        steps.append("the experiment ended with one condition for all that are enrolled")
    elif enrolled_condition(experiment, stored) is not None:
        condition = codes[condition_index(state, user, experiment)]
    elif experiment.adaptive and state.adaptive:
        condition = None
        steps.append("the condition is drawn anew each time, by the rewards so far, until a mark")
    else:
        condition = codes[condition_index(state, user, experiment)]
        unit = f"group {working_group(experiment, user)}" if experiment.unit == GROUP else "user"
        weights = ", ".join(f"{one.code} {one.weight:g} %" for one in experiment.conditions)
        steps.append(f"the {unit} draws among {weights}, the same each time")
    for one in experiment.conditions:
        sent = payload_for_code(experiment, one)
        if one.code == condition and sent is not None:
            steps.append(
                f"a client is sent {sent!r} as the code, the payload of this level; "
                f"marks name {condition!r}"
            )
    key = experiment.points[point]
    return Explanation(
        user.id, key.site, key.target or "", experiment.name, condition, queue, tuple(steps)
    )
