"""The rules of the engine as tables: who takes part, what marks store, which conditions follow."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from upgrade_client_lib.testing import Experiment
from upgrade_client_lib.testing._definitions import (
    Condition,
    DecisionPoint,
    Filter,
    Segment,
)
from upgrade_client_lib.testing._engine.eligibility import has_valid_group, is_admitted
from upgrade_client_lib.testing._engine.enrolment import (
    MarkEffect,
    Participation,
    effect_of_mark,
    enrolled_condition,
    enrolment_ends_with_group,
    exclusion_ends_with_group,
    has_condition,
)
from upgrade_client_lib.testing._engine.pools import pools
from upgrade_client_lib.testing._engine.queues import rotated
from upgrade_client_lib.testing._engine.store import User, sorted_groups
from upgrade_client_lib.testing._engine.users import insertable

NOTHING, ENROL, EXCLUDE = MarkEffect.NOTHING, MarkEffect.ENROL, MarkEffect.EXCLUDE
OVER = "enrollmentComplete"

INDIVIDUAL = Experiment(
    "e",
    "e",
    "my-app",
    (Condition("1", "a", 50), Condition("2", "b", 50)),
    (DecisionPoint("s", ""),),
)
WITHIN = attrs.evolve(INDIVIDUAL, unit="within-subjects", order="random")
BY = {
    rule: attrs.evolve(INDIVIDUAL, unit="group", group_type="class", consistency=rule)
    for rule in ("individual", "group", "experiment")
}

ENROLLED = Participation(condition="a")
EXCLUDED = Participation(excluded=True)
BOTH = Participation(condition="a", excluded=True)
GROUP_ENROLLED = Participation(group_condition="b")
ALL_ENROLLED = Participation(condition="a", group_condition="b")
GROUP_EXCLUDED = Participation(group_excluded=True)
GROUP_AND_EXCLUDED = Participation(group_condition="b", excluded=True)


@pytest.mark.parametrize(
    ("experiment", "stored", "condition"),
    [
        (INDIVIDUAL, Participation(), None),
        (INDIVIDUAL, ENROLLED, "a"),
        (BY["individual"], GROUP_ENROLLED, "b"),
        (BY["individual"], ALL_ENROLLED, "a"),
        (BY["group"], ENROLLED, "a"),
        (BY["group"], ALL_ENROLLED, "b"),
        (BY["experiment"], ALL_ENROLLED, "b"),
    ],
)
def test_the_consistency_rule_says_whose_enrolment_counts(
    experiment: Experiment, stored: Participation, condition: str | None
) -> None:
    assert enrolled_condition(experiment, stored) == condition


@pytest.mark.parametrize(
    ("experiment", "stored", "expected"),
    [
        (INDIVIDUAL, Participation(), True),
        (INDIVIDUAL, EXCLUDED, False),
        (INDIVIDUAL, BOTH, False),
        (attrs.evolve(INDIVIDUAL, consistency="group"), BOTH, False),
        (attrs.evolve(INDIVIDUAL, consistency="experiment"), BOTH, True),
        (attrs.evolve(INDIVIDUAL, consistency="experiment"), EXCLUDED, False),
        (WITHIN, EXCLUDED, False),
        (WITHIN, BOTH, True),
        (BY["individual"], BOTH, False),
        (BY["individual"], GROUP_AND_EXCLUDED, False),
        (BY["group"], EXCLUDED, False),
        (BY["group"], BOTH, False),
        (BY["group"], GROUP_AND_EXCLUDED, True),
        (BY["experiment"], GROUP_AND_EXCLUDED, True),
        (BY["individual"], GROUP_EXCLUDED, False),
        (BY["individual"], attrs.evolve(GROUP_EXCLUDED, condition="a"), True),
        (BY["group"], attrs.evolve(GROUP_EXCLUDED, condition="a"), False),
        (BY["experiment"], GROUP_EXCLUDED, False),
        (BY["experiment"], attrs.evolve(GROUP_EXCLUDED, condition="a"), True),
    ],
)
def test_an_exclusion_keeps_a_condition_away_unless_an_enrolment_outweighs_it(
    experiment: Experiment, stored: Participation, expected: bool
) -> None:
    assert has_condition(experiment, stored) is expected


@pytest.mark.parametrize(
    ("changes", "stored", "expected"),
    [
        ({}, Participation(), False),
        ({}, ENROLLED, True),
        ({}, BOTH, False),
        ({"unit": "within-subjects", "order": "random"}, ENROLLED, False),
        ({"post_experiment_rule": "assign", "revert_to": "b"}, Participation(), False),
        ({"post_experiment_rule": "assign", "revert_to": "b"}, BOTH, True),
        ({"post_experiment_rule": "assign"}, BOTH, False),
    ],
)
def test_after_its_end_an_experiment_has_a_condition_for_the_enrolled(
    changes: dict[str, Any], stored: Participation, expected: bool
) -> None:
    over = attrs.evolve(INDIVIDUAL, state=OVER, **changes)
    assert has_condition(over, stored) is expected


@pytest.mark.parametrize(
    ("experiment", "stored", "changes", "effect"),
    [
        (INDIVIDUAL, Participation(), {}, ENROL),
        (INDIVIDUAL, Participation(), {"applied": False}, EXCLUDE),
        (INDIVIDUAL, Participation(), {"admitted": False}, EXCLUDE),
        (INDIVIDUAL, EXCLUDED, {}, NOTHING),
        (WITHIN, EXCLUDED, {}, ENROL),
        (WITHIN, ENROLLED, {"applied": False}, EXCLUDE),
        (BY["individual"], Participation(), {"valid_group": False}, EXCLUDE),
        (BY["group"], Participation(), {"valid_group": False}, EXCLUDE),
        (BY["group"], ENROLLED, {"valid_group": False}, NOTHING),
        (BY["experiment"], Participation(), {"valid_group": False}, NOTHING),
        (BY["experiment"], Participation(), {"valid_group": False, "applied": False}, EXCLUDE),
        (BY["individual"], EXCLUDED, {}, NOTHING),
        (BY["group"], EXCLUDED, {}, NOTHING),
        (BY["experiment"], EXCLUDED, {}, ENROL),
        (BY["individual"], attrs.evolve(GROUP_EXCLUDED, condition="a"), {}, EXCLUDE),
        (BY["experiment"], GROUP_EXCLUDED, {}, ENROL),
        (attrs.evolve(INDIVIDUAL, state=OVER), Participation(), {}, EXCLUDE),
        (attrs.evolve(INDIVIDUAL, state=OVER), ENROLLED, {}, NOTHING),
        (attrs.evolve(INDIVIDUAL, state=OVER), ENROLLED, {"applied": False}, EXCLUDE),
        (attrs.evolve(INDIVIDUAL, state=OVER), ENROLLED, {"enrolled_here": False}, EXCLUDE),
        (attrs.evolve(BY["group"], state=OVER), GROUP_ENROLLED, {}, NOTHING),
        (attrs.evolve(BY["experiment"], state=OVER), Participation(), {}, NOTHING),
    ],
)
def test_what_a_mark_stores(
    experiment: Experiment, stored: Participation, changes: dict[str, bool], effect: MarkEffect
) -> None:
    facts = {"applied": True, "admitted": True, "valid_group": True}
    facts |= {"enrolled_here": stored.condition is not None, **changes}
    assert effect_of_mark(experiment, stored, **facts) is effect


@pytest.mark.parametrize(
    ("experiment", "enrolment", "exclusion"),
    [
        (INDIVIDUAL, False, False),
        (BY["individual"], False, True),
        (BY["group"], True, True),
        (BY["experiment"], True, False),
    ],
)
def test_what_a_user_who_leaves_a_working_group_leaves_behind(
    experiment: Experiment, enrolment: bool, exclusion: bool
) -> None:
    assert enrolment_ends_with_group(experiment) is enrolment
    assert exclusion_ends_with_group(experiment) is exclusion


@pytest.mark.parametrize(
    ("group", "working_group", "valid"),
    [
        ({"class": ["k1"]}, {"class": "k1"}, True),
        ({"class": ["k1", "k2"]}, {"class": "k2"}, True),
        ({"class": ["k1"]}, {"class": "k2"}, False),
        ({"class": ["k1"]}, {}, False),
        ({"school": ["k1"]}, {"class": "k1"}, False),
        (None, {"class": "k1"}, False),
        ({"class": ["k1"]}, None, False),
    ],
)
def test_a_group_experiment_needs_a_working_group_that_is_one_of_the_groups(
    group: dict[str, list[str]] | None, working_group: dict[str, str] | None, valid: bool
) -> None:
    user = User("u", group, working_group)
    assert has_valid_group(BY["group"], user) is valid
    assert has_valid_group(INDIVIDUAL, user)


@pytest.mark.parametrize(
    ("filter", "globally", "admitted"),
    [
        (Filter(), Segment(), True),
        (Filter(), Segment(users=frozenset({"u"})), False),
        (Filter(), Segment(groups=frozenset({("class", "k1")})), False),
        (Filter(exclude=Segment(groups=frozenset({("class", "k1")}))), Segment(), False),
        (Filter(include_all=False), Segment(), False),
        (
            Filter(include_all=False, include=Segment(users=frozenset({"u"}))),
            Segment(),
            True,
        ),
    ],
)
def test_global_exclusion_and_lists_decide_who_is_admitted(
    filter: Filter, globally: Segment, admitted: bool
) -> None:
    user = User("u", {"class": ["k1"]})
    assert is_admitted(attrs.evolve(INDIVIDUAL, filter=filter), user, globally) is admitted


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({"1": "a", "2": "b"}, ["1", "2"]),
        ({"1": "a", "2": "a"}, ["12"]),
        ({"1": "ab", "2": "bc", "3": "c"}, ["123"]),
        ({"1": "a", "2": "c", "3": "ac"}, ["123"]),
        ({"1": "a", "2": "c", "3": "a"}, ["13", "2"]),
    ],
)
def test_whatever_shares_a_point_with_a_member_is_in_the_pool(
    points: dict[str, str], expected: list[str]
) -> None:
    experiments = [attrs.evolve(INDIVIDUAL, id=name) for name in points]
    keys = {name: [(site, "") for site in sites] for name, sites in points.items()}
    found = ["".join(member.id for member in pool) for pool in pools(experiments, keys)]
    assert found == expected


@pytest.mark.parametrize(
    ("taken", "expected"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc"), (7, "bca")]
)
def test_a_queue_is_rotated_by_the_turns_taken(taken: int, expected: str) -> None:
    assert rotated(tuple("abc"), taken) == tuple(expected)


@pytest.mark.parametrize(
    ("aliases", "linked", "new"),
    [
        ("", "", ""),
        ("ab", "", "ab"),
        ("aa", "", "a"),
        ("aba", "", "ab"),
        ("abab", "", "ab"),
        ("aab", "", None),
        ("abac", "", None),
        ("aab", "ab", ""),
        ("aab", "b", "a"),
        ("aab", "a", None),
        ("abcd", "d", "abc"),
    ],
)
def test_a_new_alias_after_a_repeated_one_keeps_all_from_being_linked(
    aliases: str, linked: str, new: str | None
) -> None:
    assert insertable(list(aliases), list(linked)) == (None if new is None else list(new))


def test_groups_are_sorted_as_javascript_does() -> None:
    assert sorted_groups(None) is None
    assert sorted_groups({"class": ["\uff5e", "😀", "b", "a"]}) == {
        "class": ["a", "b", "😀", "\uff5e"]
    }
