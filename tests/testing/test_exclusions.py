"""Who is excluded from an experiment by a mark, and by the marks of others."""

from __future__ import annotations

import pytest

from tests.testing.support_local import (
    CONDITIONS,
    NOT_APPLIED,
    client,
    codes,
    in_class,
    mark,
    post,
)
from upgrade_client_lib.testing import LocalUpgrade

OVER = "enrollmentComplete"


def test_a_user_enrolled_at_another_point_is_excluded_by_a_mark_after_the_end() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=["only"], points=[("home", "menu")])
    client(local)
    mark(local, "home", "banner", "only")
    local.set_state(experiment, OVER)
    both = {"home/banner": ["only"], "home/menu": ["only"]}
    mark(local, "home", "banner", "only")
    assert codes(local) == both
    mark(local, "home", "menu", "only")
    assert codes(local) == {}


def test_a_user_enrolled_at_every_point_stays_so_after_the_end() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=["only"], points=[("home", "menu")])
    client(local)
    mark(local, "home", "banner", "only")
    mark(local, "home", "menu", "only")
    local.set_state(experiment, OVER)
    mark(local, "home", "menu", "only")
    assert codes(local) == {"home/banner": ["only"], "home/menu": ["only"]}


def test_a_user_enrolled_at_two_points_of_an_adaptive_experiment_cannot_be_rewarded() -> None:
    local = LocalUpgrade()
    experiment = local.experiment(
        "lesson", "hint", conditions=CONDITIONS, points=[("lesson", "tip")], adaptive=True
    )
    client(local)
    body = {"rewardValue": "SUCCESS", "experimentId": experiment.id}
    mark(local, "lesson", "hint", "control")
    mark(local, "lesson", "hint", "control")
    assert post(local, "reward", body).status_code == 200
    mark(local, "lesson", "tip", "control")
    answer = post(local, "reward", body)
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        "Could not find unique user enrollment for experiment (userId: u1, "
        "enrollments: [object Object],[object Object]), no reward sent."
    )


def by_class(*excluded_types: str) -> LocalUpgrade:
    """A group experiment that excludes groups of these types, with the id "closed"."""
    local = LocalUpgrade()
    local.experiment(
        "room",
        "door",
        conditions=["only"],
        unit="group",
        group_type="class",
        exclude={group_type: ["closed"] for group_type in excluded_types},
    )
    return local


@pytest.mark.parametrize("group_type", ["class", "school"])
def test_a_mark_of_who_is_excluded_by_group_excludes_the_working_group(group_type: str) -> None:
    local = by_class(group_type)
    client(local, "classmate", **in_class("k1"))
    client(local, "other", **in_class("k2"))
    groups = {"class": ["k1"], "school": ["s1"]}
    groups[group_type].append("closed")
    client(local, "u1", group=groups, working_group={"class": "k1"})
    assert codes(local, "classmate") == {"room/door": ["only"]}
    mark(local, "room", "door", "only")
    assert codes(local, "classmate") == {}
    assert codes(local, "other") == {"room/door": ["only"]}
    assert "a mark excluded the group" in str(local.explain("classmate", "room", "door"))


def test_an_excluded_group_loses_its_enrolment_and_its_members_theirs_when_they_leave() -> None:
    local = by_class("class")
    client(local, "classmate", **in_class("k1"))
    mark(local, "room", "door", "only", "classmate")
    client(local, "u1", group={"class": ["k1", "closed"]}, working_group={"class": "k1"})
    mark(local, "room", "door", "only")
    assert codes(local, "classmate") == {}
    mark(local, "room", "door", "only", "classmate")
    client(local, "u1", **in_class("k2"))
    assert codes(local) == {"room/door": ["only"]}
    assert codes(local, "classmate") == {}
    client(local, "classmate", **in_class("k2"))
    client(local, "newcomer", **in_class("k1"))
    assert codes(local, "classmate") == {"room/door": ["only"]}
    assert codes(local, "newcomer") == {"room/door": ["only"]}


def test_a_mark_that_is_not_applied_excludes_no_group() -> None:
    local = by_class("class")
    client(local, "classmate", **in_class("k1"))
    client(local, "u1", group={"class": ["k1", "closed"]}, working_group={"class": "k1"})
    mark(local, "room", "door", "only", status=NOT_APPLIED)
    assert codes(local, "classmate") == {"room/door": ["only"]}


def test_a_mark_of_who_is_excluded_by_group_fails_without_a_group_to_exclude() -> None:
    local = by_class("class")
    client(local, "u1", group={"class": ["closed"]}, working_group={"school": "s1"})
    answer = mark(local, "room", "door", "only")
    assert (answer.status_code, answer.json()["name"]) == (500, "QueryFailedError")


def test_a_group_that_comes_after_the_end_is_excluded_should_the_experiment_go_on() -> None:
    local = by_class()
    [experiment] = local.experiments
    client(local, "u1", **in_class("k1"))
    client(local, "classmate", **in_class("k1"))
    experiment = local.set_state(experiment, "enrollmentComplete")
    mark(local, "room", "door", "only")
    local.set_state(experiment, "enrolling")
    assert codes(local, "classmate") == {}


def test_marks_of_who_is_excluded_globally_store_nothing_but_the_visit() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["only"])
    local.exclude(users=["u1"])
    client(local)
    assert mark(local, "home", "banner", "unknown").status_code == 200
    mark(local, "home", "banner", "only", status=NOT_APPLIED)
    assert codes(local) == {}
    local.exclude()
    assert codes(local) == {"home/banner": ["only"]}
