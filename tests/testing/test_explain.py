"""Why a user gets a condition, told step by step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.support_local import CONDITIONS, NOT_APPLIED, client, codes, in_class, mark
from tests.testing.support_sequences import extended
from upgrade_client_lib.testing import LocalUpgrade

WEIGHTS = "control 50 %, treatment 50 %, the same each time"


@pytest.fixture
def local() -> LocalUpgrade:
    return LocalUpgrade()


def test_a_draw_is_explained_by_its_weights(local: LocalUpgrade) -> None:
    local.experiment("home", "banner", name="welcome", conditions=CONDITIONS)
    client(local)
    explained = local.explain("u1", "home", "banner")
    (condition,) = codes(local)["home/banner"]
    assert (explained.experiment, explained.condition) == ("welcome", condition)
    assert str(explained) == (
        f"u1 gets {condition!r} at home/banner:\n"
        "- 'welcome': the user may enter, and is not enrolled yet\n"
        f"- the user draws among {WEIGHTS}"
    )


def test_nothing_changes_by_it_and_the_user_need_not_exist(local: LocalUpgrade) -> None:
    local.experiment("lesson", "hint", conditions=CONDITIONS, adaptive=True)
    explained = local.explain("nobody", "lesson", "hint")
    assert explained.condition is None
    assert explained.steps[0].startswith("the user was not initialised")
    assert explained.steps[-1].startswith("the condition is drawn anew each time")
    assert local.requests == ()


def test_an_unknown_point_is_told_with_the_nearest(local: LocalUpgrade) -> None:
    local.experiment("home", None, conditions=CONDITIONS)
    client(local)
    assert str(local.explain("u1", "hom")) == (
        "u1 gets no condition at hom:\n- no experiment has this decision point; did you mean home?"
    )


def test_a_group_draws_for_its_users(local: LocalUpgrade) -> None:
    local.experiment("room", "x", conditions=CONDITIONS, unit="group", group_type="class")
    client(local, **in_class("k1"))
    assert local.explain("u1", "room", "x").steps[-1] == f"the group k1 draws among {WEIGHTS}"


def test_an_alias_is_told_to_be_one(local: LocalUpgrade) -> None:
    local.experiment("home", "banner", conditions=["only"])
    client(local).set_alt_user_ids_sync(["other"])
    explained = local.explain("other", "home", "banner")
    assert (explained.user, explained.steps[0]) == ("u1", "other is an alias of u1")


@pytest.mark.parametrize(
    ("arguments", "init", "step"),
    [
        ({"state": "inactive"}, {}, "its state is inactive, in which nothing is assigned"),
        ({"exclude_users": ["u1"]}, {}, "its lists of users and groups do not admit the user"),
        (
            {"unit": "group", "group_type": "class"},
            {"working_group": {"class": "k1"}},
            "the working group 'k1' is not one of the user's class groups",
        ),
        (
            {"state": "enrollmentComplete"},
            {},
            "enrolment is complete, and the user is not enrolled",
        ),
    ],
)
def test_who_gets_nothing_is_told_why(
    local: LocalUpgrade, arguments: dict[str, Any], init: dict[str, Any], step: str
) -> None:
    local.experiment("home", "x", name="e", conditions=CONDITIONS, **arguments)
    client(local, **init)
    explained = local.explain("u1", "home", "x")
    assert (explained.condition, explained.steps) == (None, (f"'e': {step}",))
    assert codes(local) == {}


def test_marks_force_and_global_exclusion_are_told(local: LocalUpgrade) -> None:
    local.experiment("home", "x", name="e", conditions=["a", "b"])

    def told(user: str = "u1") -> tuple[str | None, str]:
        explained = local.explain(user, "home", "x")
        return explained.condition, explained.steps[0]

    client(local)
    mark(local, "home", "x", None)
    (condition,) = codes(local)["home/x"]
    enrolled = f"'e': a mark enrolled the user or the group, with {condition!r}"
    assert told() == (condition, enrolled)
    mark(local, "home", "x", None, status=NOT_APPLIED)
    assert told() == (None, "'e': a mark excluded the user")
    local.exclude(users=["u1"])
    assert told() == (None, "'e': the user is excluded globally")
    local.force("home", "x", user="u1", condition="b")
    assert told() == ("b", "'e': a condition is forced")


def test_a_queue_is_shown_as_it_comes(local: LocalUpgrade) -> None:
    local.experiment(
        "turn",
        "x",
        conditions=["a", "b", "c"],
        unit="within-subjects",
        order="ordered round robin",
    )
    client(local)
    mark(local, "turn", "x", "a")
    explained = local.explain("u1", "turn", "x")
    assert (explained.condition, explained.queue) == ("b", ("b", "c", "a"))


def test_the_choice_in_a_pool_is_told(local: LocalUpgrade) -> None:
    first = local.experiment("a", "1", name="first", conditions=["one"], points=[("b", "1")])
    local.experiment("a", "1", name="second", conditions=["two"])
    client(local)
    mark(local, "a", "1", "one", experiment_id=first.id)
    shared = "'first', 'second' share decision points: 'first' is the user's"
    assert shared in local.explain("u1", "a", "1").steps
    mark(local, "a", "1", "one", experiment_id=first.id, status=NOT_APPLIED)
    explained = local.explain("u1", "a", "1")
    assert (
        explained.steps[-1] == "'first', 'second' share decision points: none of them is the user's"
    )


def test_a_pool_may_choose_an_experiment_of_another_point(local: LocalUpgrade) -> None:
    local.experiment("a", "1", name="first", conditions=["one"], points=[("b", "1")])
    other = local.experiment("b", "1", name="second", conditions=["two"])
    client(local)
    mark(local, "b", "1", "two", experiment_id=other.id)
    explained = local.explain("u1", "a", "1")
    assert (explained.experiment, explained.condition) == (None, None)
    assert explained.steps[-1].endswith("'second' is the user's")


def test_one_condition_for_all_after_the_end_is_told() -> None:
    (over,) = [one for one in extended("experiments") if one["name"] == "ending-1"]
    local = LocalUpgrade.from_export(over)
    (experiment,) = local.experiments
    client(local)
    mark(local, "ending1", "p", "control")
    local.set_state(experiment, "enrollmentComplete")
    explained = local.explain("u1", "ending1", "p")
    assert explained.condition == "treatment"
    assert (
        explained.steps[-1] == "the experiment ended with one condition for all that are enrolled"
    )


def test_one_factor_is_told_with_the_code_that_is_sent_and_the_one_that_marks_name(
    local: LocalUpgrade,
) -> None:
    local.experiment("home", "tone", factors={"tone": {"warm": "w!", "cold": "c!"}})
    local.force("home", "tone", user="u1", condition="tone=cold")
    client(local)
    explained = local.explain("u1", "home", "tone")
    assert codes(local)["home/tone"] == [{"type": "string", "value": "c!"}]
    assert explained.condition == "tone=cold"
    assert explained.steps[-1] == (
        "a client is sent 'c!' as the code, the payload of this level; marks name 'tone=cold'"
    )


def test_the_end_of_a_within_subjects_experiment_is_told_to_who_is_enrolled(
    local: LocalUpgrade,
) -> None:
    turns = local.experiment("turn", "x", name="e", conditions=["a", "b"], unit="within-subjects")
    client(local)
    mark(local, "turn", "x", "a")
    local.set_state(turns, "enrollmentComplete")
    explained = local.explain("u1", "turn", "x")
    assert (codes(local), explained.condition) == ({}, None)
    assert explained.steps == (
        "'e': enrolment is complete; a within-subjects experiment then assigns nothing",
    )


def test_of_several_contexts_it_says_which_it_is_about(local: LocalUpgrade) -> None:
    local.experiment("s", "p", name="X", conditions=["a"], context="c1", state="inactive")
    local.experiment("s", "p", name="Y", conditions=["b"], context="c2")
    client(local)
    inactive = "'X': its state is inactive, in which nothing is assigned"
    enters = "'Y': the user may enter, and is not enrolled yet"
    assert local.explain("u1", "s", "p").steps[:2] == (
        "this is about context 'c2'; the point is in 'c1', too",
        enters,
    )
    assert local.explain("u1", "s", "p", context="c1").steps == (inactive,)
    assert local.explain("u1", "s", "p", context="c2").condition == "b"
    assert local.explain("u1", "s", "p", context="c3").steps == (
        "no experiment of context 'c3' has this decision point, only of 'c1', 'c2'",
    )


def test_no_target_and_an_empty_one_are_one_point(local: LocalUpgrade) -> None:
    local.experiment("home", None, conditions=["only"])
    client(local)
    for target in ("", None):
        assert local.explain("u1", "home", target).condition == "only"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((5, "s"), "user must be a string, not 5"),
        (("u1", None), "site must be a string, not None"),
        (("u1", "s", 5), "target must be a string, not 5"),
    ],
)
def test_an_argument_of_another_type_is_an_error_that_names_it(
    local: LocalUpgrade, arguments: Any, complaint: str
) -> None:
    with pytest.raises(TypeError, match=complaint):
        local.explain(*arguments)
