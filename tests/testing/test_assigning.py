"""Who gets which condition from LocalUpgrade, and what marks and rewards change about it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.support_local import (
    CONDITIONS,
    NOT_APPLIED,
    client,
    codes,
    mark,
    post,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.testing._engine import draw_condition
from upgrade_client_lib.types import BinaryRewardValue

# Who gets what


def test_the_last_condition_takes_what_rounded_weights_leave() -> None:
    thirds = [33.3333, 33.3333, 33.3333]
    assert draw_condition("e", "u", thirds) in (0, 1, 2)
    assert draw_condition("e", "u", [0, 0, 0]) == 2


def test_a_user_keeps_the_condition_whatever_was_marked() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=CONDITIONS)
    client(local)
    (assigned,) = codes(local)["home/banner"]
    other = next(code for code in CONDITIONS if code != assigned)
    assert mark(local, "home", "banner", other).json()["condition"] == other
    assert mark(local, "home", "banner", assigned).json()["condition"] == other
    local.set_state(experiment, "enrollmentComplete")
    assert codes(local) == {"home/banner": [assigned]}


@pytest.mark.parametrize("state", ["inactive", "preview", "cancelled", "archived"])
def test_an_experiment_that_is_not_enrolling_assigns_nothing(state: str) -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS, state=state)
    client(local)
    assert codes(local) == {}


def test_a_complete_experiment_assigns_only_those_it_enrolled() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=CONDITIONS)
    client(local, "early")
    client(local, "late")
    mark(local, "home", "banner", "control", "early")
    local.set_state(experiment, "enrollmentComplete")
    assert list(codes(local, "early")) == ["home/banner"]
    mark(local, "home", "banner", "control", "late")
    assert codes(local, "late") == {}


def test_a_condition_that_was_not_applied_excludes_the_user_from_the_experiment() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS, points=[("home", "footer")])
    local.experiment("other", "place", conditions=CONDITIONS)
    client(local)
    mark(local, "home", "banner", "control")
    mark(local, "home", "footer", "control", status=NOT_APPLIED)
    assert list(codes(local)) == ["other/place"]


def test_a_group_shares_a_condition_and_needs_a_working_group() -> None:
    local = LocalUpgrade()
    local.experiment("room", "board", conditions=CONDITIONS, unit="group", group_type="class")
    conditions: set[str] = set()
    for group in ("a", "b", "c", "d", "e", "f"):
        for user in ("1", "2"):
            client(local, group + user, working_group={"class": group})
        first, second = codes(local, group + "1"), codes(local, group + "2")
        assert first == second
        conditions.update(first["room/board"])
    assert conditions == set(CONDITIONS)
    client(local, "alone", group={"class": ["a"]}, working_group={"school": "s"})
    assert codes(local, "alone") == {}


def test_a_user_who_changes_group_gets_the_condition_of_the_new_one() -> None:
    local = LocalUpgrade()
    local.experiment("room", "board", conditions=CONDITIONS, unit="group", group_type="class")
    by_group: dict[str, Any] = {}
    for group in ("a", "b", "c", "d", "e", "f"):
        client(local, group, working_group={"class": group})
        by_group[group] = codes(local, group)
    user = client(local, "moves", working_group={"class": "a"})
    for group, expected in by_group.items():
        user.set_working_group_sync({"class": group})
        assert codes(local, "moves") == expected
        mark(local, "room", "board", "control", "moves")


@pytest.mark.parametrize("lists", ["experiment", "flag"])
def test_lists_of_users_decide_before_lists_of_groups_and_exclusion_first(lists: str) -> None:
    local = LocalUpgrade()
    who: dict[str, Any] = {
        "include": {"class": ["in", "both"]},
        "include_users": ["guest", "both"],
        "exclude": {"class": ["out"]},
        "exclude_users": ["banned", "both"],
    }
    if lists == "flag":
        local.flag("new", **who)
    else:
        local.experiment("home", "banner", conditions=CONDITIONS, **who)

    def enters(user_id: str, *groups: str) -> bool:
        user = client(local, user_id, group={"class": list(groups)})
        return bool(user.get_all_feature_flags_sync() if lists == "flag" else codes(local, user_id))

    assert enters("guest", "out")
    assert enters("member", "in")
    assert not enters("member", "in", "out")
    assert not enters("banned", "in")
    assert not enters("both", "in")
    assert not enters("nobody")


def test_globally_excluded_users_and_groups_get_nothing() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    local.flag("new")
    local.exclude(users=["u1"], groups={"class": ["closed"]})
    for user_id, init in (("u1", {}), ("u2", {"group": {"class": ["closed"]}})):
        assert client(local, user_id, **init).get_all_feature_flags_sync() == []
        assert codes(local, user_id) == {}
    client(local, "u3")
    assert codes(local, "u3") != {}


def test_a_mark_does_not_enrol_who_is_excluded_globally() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=CONDITIONS)
    local.exclude(users=["u1"])
    for user_id in ("u1", "u2"):
        client(local, user_id)
        assert mark(local, "home", "banner", "control", user_id).status_code == 200
    local.exclude()
    local.set_state(experiment, "enrollmentComplete")
    assert codes(local, "u1") == {}
    assert codes(local, "u2") != {}


def test_a_disabled_flag_and_one_of_another_context_are_off() -> None:
    local = LocalUpgrade(contexts=["my-app", "other-app"])
    local.flag("on")
    local.flag("off", enabled=False)
    local.flag("elsewhere", context="other-app")
    assert [flag.key for flag in client(local).get_all_feature_flags_sync()] == ["on"]


def test_experiments_that_share_a_point_form_one_pool_however_far_apart() -> None:
    local = LocalUpgrade()
    local.experiment("a", "1", conditions=["first"], points=[("b", "1")])
    local.experiment("c", "1", conditions=["third"])
    local.experiment("b", "1", conditions=["second"], points=[("c", "1")])
    seen: set[str] = set()
    for number in range(60):
        client(local, f"u{number}")
        (assigned,) = {code for (code,) in codes(local, f"u{number}").values()}
        seen.add(assigned)
    assert seen == {"first", "second", "third"}


def test_an_enrolment_decides_which_experiment_of_a_pool_a_user_stays_in() -> None:
    local = LocalUpgrade()
    pool = [local.experiment("a", "1", conditions=[code]) for code in ("first", "second")]
    for number, experiment in enumerate(pool * 5):
        user_id = f"u{number}"
        client(local, user_id)
        code = experiment.conditions[0].code
        assert mark(local, "a", "1", code, user_id).status_code == 404
        mark(local, "a", "1", code, user_id, experiment_id=experiment.id)
        assert codes(local, user_id) == {"a/1": [code]}


# Marks in turn


def test_within_subjects_marks_advance_the_marked_point_and_uniquifiers_do_not_matter() -> None:
    local = _in_turn()
    for expected in (["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]):
        answer = mark(local, "first", "x", expected[-1]).json()
        assert answer["condition"] == expected[-1]
        assert codes(local) == {"first/x": expected, "second/x": ["a", "b", "c"]}


def test_newer_servers_advance_every_point_of_the_experiment() -> None:
    local = _in_turn(server="6.7")
    mark(local, "first", "x", "a")
    mark(local, "second", "x", "a")
    assert codes(local) == {"first/x": ["c", "a", "b"], "second/x": ["c", "a", "b"]}


def _in_turn(**options: Any) -> LocalUpgrade:
    local = LocalUpgrade(**options)
    local.experiment(
        "first",
        "x",
        conditions=["a", "b", "c"],
        unit="within-subjects",
        order="ordered round robin",
        points=[("second", "x")],
    )
    client(local)
    return local


def test_a_null_target_is_an_empty_one_on_newer_servers_only() -> None:
    for server, enrolled in (("6.5", False), ("6.7", True)):
        local = LocalUpgrade(server=server)
        experiment = local.experiment("home", None, conditions=CONDITIONS)
        client(local)
        assert mark(local, "home", None, "control").status_code == (200 if enrolled else 400)
        answer = mark(local, "home", "", "control").json()
        assert answer["experimentId"] == (experiment.id if enrolled else None)


def test_a_mark_without_a_condition_enrols_too() -> None:
    local = LocalUpgrade()
    experiment = local.experiment(
        "turn", "x", conditions=CONDITIONS, unit="within-subjects", order="random"
    )
    client(local)
    before = codes(local)["turn/x"]
    mark(local, "turn", "x", None)
    local.set_state(experiment, "enrollmentComplete")
    assert codes(local) == {"turn/x": [*before[1:], before[0]]}


def test_an_unknown_or_empty_condition_is_a_500_where_an_experiment_runs() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS, payloads={"control": "Hi"})
    client(local)
    for code in ("unknown", ""):
        answer = mark(local, "home", "banner", code)
        assert (answer.status_code, answer.json()["type"]) == (500, "Condition not found")
    assert mark(local, "home", "banner", "Hi").json()["condition"] == "control"
    assert mark(local, "nowhere", "", "").json()["condition"] == ""


def test_a_point_marked_before_its_experiment_answers_null_for_ever() -> None:
    local = LocalUpgrade()
    client(local)
    assert mark(local, "home", "banner", None).json()["experimentId"] is None
    local.experiment("home", "banner", conditions=CONDITIONS)
    answer = mark(local, "home", "banner", "control").json()
    assert (answer["experimentId"], answer["condition"]) == (None, None)


# Adaptive experiments


def test_an_adaptive_experiment_sticks_once_it_is_marked_and_learns_from_rewards() -> None:
    local = LocalUpgrade()
    local.experiment("hint", "x", conditions=["good", "bad"], adaptive=True)
    client(local, "undecided")
    before = {codes(local, "undecided")["hint/x"][0] for _ in range(50)}
    assert before == {"good", "bad"}
    for number in range(40):
        code, value = (("good", "SUCCESS"), ("bad", "FAILURE"))[number % 2]
        user = client(local, f"u{number}")
        mark(local, "hint", "x", code, f"u{number}")
        assert codes(local, f"u{number}") == {"hint/x": [code]}
        user.send_reward_sync(
            BinaryRewardValue(value), decision_point={"site": "hint", "target": "x"}
        )
    assert [codes(local, "undecided")["hint/x"][0] for _ in range(50)].count("good") > 45
    local.assert_rewarded("FAILURE", user="u1", condition="bad")


def test_a_point_without_an_adaptive_experiment_takes_no_reward() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    client(local)
    mark(local, "home", "banner", "control")
    point = {"site": "home", "target": "banner"}
    body = {"rewardValue": "SUCCESS", "context": "my-app", "decisionPoint": point}
    assert post(local, "reward", body).status_code == 409
    assert local.rewards == ()


def test_newer_servers_leave_the_reward_out_of_its_answer() -> None:
    for server in ("6.5", "6.7"):
        local = LocalUpgrade(server=server)
        experiment = local.experiment("hint", "x", conditions=CONDITIONS, adaptive=True)
        client(local)
        mark(local, "hint", "x", "control")
        answer = post(
            local, "reward", {"rewardValue": "SUCCESS", "experimentId": experiment.id}
        ).json()
        assert ("reward" in answer) == (server == "6.5")


# Aliases


def test_an_alias_acts_for_the_root_user() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    client(local, "root").set_alt_user_ids_sync(["alias"])
    assert codes(local, "alias") == codes(local, "root")
    mark(local, "home", "banner", "control", "alias")
    local.assert_marked("home", "banner", user="root")
    post(local, "groupmembership", {"group": {"class": ["x"]}}, "alias", "PATCH")
    post(local, "workinggroup", {"workingGroup": {"class": "x"}}, "alias", "PATCH")
    assert post(local, "init", {}, "root").json()["group"] is None
    assert post(local, "init", {"group": {"class": ["y"]}}, "alias").json() == {
        "id": "root",
        "group": {"class": ["y"]},
        "workingGroup": None,
    }
