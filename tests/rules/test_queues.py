"""What a mark changes in a record, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from upgrade_client_lib._rules.queues import (
    DISCARD,
    NO_EFFECT,
    Mark,
    MarkEffect,
    MarkOutcome,
    PointState,
    Rotation,
    effect_of_mark,
    position,
)

POINT = "home", "banner"
ASSIGNED = PointState("e1", has_queue=False, conditions=frozenset({"a", "payload of a"}))
QUEUE = PointState("e1", has_queue=True)
NULL_TARGET = PointState("e1", has_queue=True, has_null_target=True)
QUEUE_OF_NO_EXPERIMENT = PointState(None, has_queue=True)
NEWS = MarkEffect(invalidate="experiment", is_news=True)
ENROLLED = MarkEffect(discard=True, is_news=True)
POINT_ALONE = MarkEffect(advance="point")
POINT_AND_DOUBT = MarkEffect(advance="point", invalidate="other points")
ALL_ADVANCE = MarkEffect(advance="experiment")
ASK_AGAIN = MarkEffect(invalidate="experiment")


def mark(experiment_id: str | None = "e1", condition: str | None = "a", **more: Any) -> Mark:
    return Mark(POINT, experiment_id, condition, **more)


@pytest.mark.parametrize(
    ("rotation", "state", "outcome", "effect"),
    [
        ("decision_point", QUEUE, "applied", POINT_ALONE),
        ("experiment", QUEUE, "applied", ALL_ADVANCE),
        ("auto", QUEUE, "applied", POINT_AND_DOUBT),
        ("decision_point", NULL_TARGET, "applied", MarkEffect(invalidate="point")),
        ("experiment", NULL_TARGET, "applied", ALL_ADVANCE),
        ("auto", NULL_TARGET, "applied", ASK_AGAIN),
        ("decision_point", QUEUE, "unknown", ASK_AGAIN),
        ("experiment", QUEUE, "unknown", ASK_AGAIN),
        ("auto", QUEUE, "unknown", ASK_AGAIN),
        ("decision_point", QUEUE, "rejected", NO_EFFECT),
        ("experiment", QUEUE, "rejected", NO_EFFECT),
        ("auto", QUEUE, "rejected", NO_EFFECT),
    ],
)
def test_a_mark_advances_the_queues_that_the_server_advances(
    rotation: Rotation, state: PointState, outcome: MarkOutcome, effect: MarkEffect
) -> None:
    assert effect_of_mark(mark(), outcome, rotation, state, repeats_last=False) == effect


@pytest.mark.parametrize("rotation", ["decision_point", "experiment", "auto"])
def test_a_queue_without_an_experiment_is_asked_again(rotation: Rotation) -> None:
    effect = effect_of_mark(
        mark(None), "applied", rotation, QUEUE_OF_NO_EXPERIMENT, repeats_last=False
    )

    assert effect == ASK_AGAIN


@pytest.mark.parametrize(
    ("condition", "outcome", "repeats_last", "effect"),
    [
        ("a", "applied", False, NO_EFFECT),
        ("payload of a", "applied", False, NO_EFFECT),
        ("b", "applied", False, NEWS),
        ("b", "applied", True, NO_EFFECT),
        ("b", "unknown", False, ASK_AGAIN),
        ("b", "unknown", True, ASK_AGAIN),
        ("b", "rejected", False, NO_EFFECT),
        (None, "applied", False, NO_EFFECT),
        ("", "applied", False, NO_EFFECT),
    ],
)
def test_between_subjects_only_another_condition_changes_anything(
    condition: str | None, outcome: MarkOutcome, repeats_last: bool, effect: MarkEffect
) -> None:
    sent = mark(condition=condition)

    assert effect_of_mark(sent, outcome, "auto", ASSIGNED, repeats_last=repeats_last) == effect


@pytest.mark.parametrize(
    ("sent", "state", "outcome", "effect"),
    [
        (mark(excludes=True), ASSIGNED, "applied", DISCARD),
        (mark(excludes=True), ASSIGNED, "unknown", DISCARD),
        (mark(excludes=True), ASSIGNED, "rejected", NO_EFFECT),
        (mark(None, excludes=True), None, "applied", DISCARD),
        (mark("e2"), ASSIGNED, "applied", DISCARD),
        (mark("e2"), QUEUE, "unknown", DISCARD),
        (mark("e2"), None, "applied", DISCARD),
        (mark(None), ASSIGNED, "applied", DISCARD),
    ],
)
def test_a_mark_that_moves_the_user_between_experiments_discards_the_record(
    sent: Mark, state: PointState | None, outcome: MarkOutcome, effect: MarkEffect
) -> None:
    assert effect_of_mark(sent, outcome, "auto", state, repeats_last=False) == effect


@pytest.mark.parametrize(
    ("stored_experiment_id", "repeats_last", "effect"),
    [(None, False, NO_EFFECT), ("e1", False, ENROLLED), ("e1", True, NO_EFFECT)],
)
def test_where_nothing_is_assigned_a_mark_may_have_enrolled_the_user(
    stored_experiment_id: str | None, repeats_last: bool, effect: MarkEffect
) -> None:
    found = effect_of_mark(
        mark(None),
        "applied",
        "auto",
        None,
        stored_experiment_id=stored_experiment_id,
        repeats_last=repeats_last,
    )

    assert found == effect


@pytest.mark.parametrize(
    ("advanced_by", "length", "expected"), [(0, 2, 0), (1, 2, 1), (2, 2, 0), (205, 100, 5)]
)
def test_a_queue_begins_again_after_its_end(advanced_by: int, length: int, expected: int) -> None:
    assert position(advanced_by, length) == expected
