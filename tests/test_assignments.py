"""What the client makes of the server's assignments."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.support_assignments import answering, assigned_at, condition, item, without
from tests.support_exchanges import playing
from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer, client_of, initialised, local_upgrade
from upgrade_client_lib._user import record
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import ExperimentType, Payload, PayloadType

# ---- Looking up a decision point ----


@both_forms
@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize("asked", [None, ""])
def test_no_target_and_an_empty_one_are_the_same_point(
    call: Form, stored: str | None, asked: str | None
) -> None:
    client = answering(item("home", stored))

    assert assigned_at(call, client, "home", asked).target == ""
    assert call(client.get_decision_point_assignment, "home").get_condition() == "control"


@both_forms
@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_target_that_can_be_marked_is_preferred_to_a_null_one(
    call: Form, empty_first: bool
) -> None:
    items = [
        item("home", "", assignedCondition=[condition("markable")]),
        item("home", None, assignedCondition=[condition("unmarkable")]),
    ]
    client = answering(*(items if empty_first else reversed(items)))

    assert assigned_at(call, client, "home", "").get_condition() == "markable"


@both_forms
def test_a_missing_target_key_is_no_target(call: Form) -> None:
    client = answering(without("target", item()))

    assert assigned_at(call, client, "home", "").get_condition() == "control"


@both_forms
def test_points_are_pairs_of_site_and_target_and_not_a_joined_text(call: Form) -> None:
    client = answering(
        item("s|t", "u", assignedCondition=[condition("one")]),
        item("s", "t|u", assignedCondition=[condition("other")]),
    )

    assert assigned_at(call, client, "s|t", "u").get_condition() == "one"
    assert assigned_at(call, client, "s", "t|u").get_condition() == "other"
    assert call(client.get_decision_point_assignment, "s|t|u", "") is None
    assert len(call(client.get_all_experiment_conditions)) == 2


@both_forms
def test_points_differ_by_letter_case_blanks_and_script(call: Form) -> None:
    client = answering(item("sité", "цель"))

    assert assigned_at(call, client, "sité", "цель").get_condition() == "control"
    for site, target in [("Sité", "цель"), ("sité", "цель "), ("site", "цель")]:
        assert call(client.get_decision_point_assignment, site, target) is None


@both_forms
def test_a_point_that_assigns_nothing_is_none_and_asked_for_once(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    for _ in range(3):
        assert call(client.get_decision_point_assignment, "nowhere", "nothing") is None
    assert server.count("assign") == 1


@both_forms
def test_endless_points_that_assign_nothing_are_answered_without_asking_and_not_all_kept(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_EMPTY_POINTS", 3)
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    assert len(call(client.get_all_experiment_conditions)) == 6

    for target in ["a", "b", "c", "d", "e", "a", "e"]:
        assert call(client.get_decision_point_assignment, "nowhere", target) is None
    kept = client._assignments.current_by_site["nowhere"]  # pyright: ignore[reportPrivateUsage]
    assert list(kept) == ["a", "b", "c"]
    assert assigned_at(call, client, "single", "queue").get_condition() == "first"
    assert server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("site", ["", None, 5, ["home"], b"home"])
def test_a_site_that_is_no_text_is_refused_before_anything_is_sent(call: Form, site: Any) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    expected = ValueError if site == "" else TypeError

    for _ in range(2):  # cold, and warm
        with pytest.raises(expected, match="site"):
            call(client.get_decision_point_assignment, site, "banner")
        assert server.count("assign") == 0
    call(client.get_all_experiment_conditions)
    with pytest.raises(expected, match="site"):
        call(client.get_decision_point_assignment, site, "banner")


@both_forms
def test_a_target_that_is_no_text_is_refused(call: Form) -> None:
    client = answering(item())

    with pytest.raises(TypeError, match="target"):
        call(client.get_decision_point_assignment, "home", {"banner"})


@both_forms
def test_assignments_are_fetched_once_and_again_when_the_cache_is_ignored(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    first = call(client.get_all_experiment_conditions)
    assert call(client.get_all_experiment_conditions) == first
    assert assigned_at(call, client, "home", "banner") in first
    assert server.count("assign") == 1

    assert call(client.get_all_experiment_conditions, ignore_cache=True) == first
    assert server.count("assign") == 2
    assert assigned_at(call, client, "home", "banner") in first
    assert server.count("assign") == 2


@both_forms
def test_the_list_of_assignments_belongs_to_the_caller(call: Form) -> None:
    client = initialised(local_upgrade().transport)

    call(client.get_all_experiment_conditions).clear()

    assert len(call(client.get_all_experiment_conditions)) == 6


# ---- Factorial experiments ----


@both_forms
def test_factors_of_a_recorded_factorial_experiment(call: Form) -> None:
    client, _, recorded = playing("assign_my_app")
    answered: Any = recorded.answer.body
    raw = next(one for one in answered if (one["site"], one["target"]) == ("fact", "page"))

    assignment = assigned_at(call, client, "fact", "page")

    assert assignment.get_experiment_type() is ExperimentType.FACTORIAL
    assert assignment.get_condition() == raw["assignedCondition"][0]["conditionCode"]
    assert assignment.factors == list(raw["assignedFactor"][0])
    for factor, level in raw["assignedFactor"][0].items():
        payload = level["payload"]
        assert assignment.get_factor_level(factor) == level["level"]
        assert assignment.get_factor_payload(factor) == (
            payload and Payload(PayloadType(payload["type"]), payload["value"])
        )


@both_forms
def test_a_factor_that_is_not_there_has_neither_level_nor_payload(call: Form) -> None:
    client = answering(item(assignedFactor=[{"color": {"level": "red", "payload": None}}]))

    assignment = assigned_at(call, client, "home", "banner")

    assert assignment.get_factor_payload("color") is None
    assert assignment.factors == ["color"]
    assert (assignment.get_factor_level("size"), assignment.get_factor_payload("size")) == (
        "",
        None,
    )


@both_forms
@pytest.mark.parametrize("factors", [None, [], [{}]])
def test_factors_that_say_nothing_are_no_factors(call: Form, factors: object) -> None:
    assert (
        assigned_at(call, answering(item(assignedFactor=factors)), "home", "banner").factors == []
    )


# ---- The assignment itself ----


@both_forms
def test_an_assignment_shows_where_it_is_from(call: Form) -> None:
    client, _, recorded = playing("assign_my_app")
    answered: Any = recorded.answer.body
    raw = next(one for one in answered if (one["site"], one["target"]) == ("home", "banner"))

    assignment = assigned_at(call, client, "home", "banner")

    assert (assignment.site, assignment.target) == ("home", "banner")
    assert assignment.experiment_id == raw["assignedCondition"][0]["experimentId"]
    assert assignment.condition_id == raw["assignedCondition"][0]["id"]


@both_forms
def test_its_repr_names_point_condition_payload_and_levels(call: Form) -> None:
    plain = item("home", "banner")
    rich = item(
        "fact",
        "",
        assignedCondition=[condition("color=red", payload={"type": "json", "value": '{"n": 3}'})],
        assignedFactor=[{"color": {"level": "red", "payload": None}}],
    )
    client = answering(plain, rich)

    assert repr(assigned_at(call, client, "home", "banner")) == (
        "Assignment(site='home', target='banner', condition='control')"
    )
    assert repr(assigned_at(call, client, "fact", "")) == (
        "Assignment(site='fact', target='', condition='color=red', payload='{\"n\": 3}',"
        " factors={'color': 'red'})"
    )


@both_forms
def test_assignments_compare_by_what_they_say_whoever_asked(call: Form) -> None:
    transport = local_upgrade().transport
    clients = [initialised(transport), initialised(transport)]
    one, other = (assigned_at(call, client, "home", "banner") for client in clients)

    assert one == other
    assert one is not other
    assert len({one, other}) == 1
    assert one != assigned_at(call, clients[0], "pair", "one")


DIFFERENCES: dict[str, dict[str, Any]] = {
    "condition": item(assignedCondition=[condition(conditionCode="treatment")]),
    "condition id": item(assignedCondition=[condition(id="other")]),
    "experiment": item(assignedCondition=[condition(experimentId="other")]),
    "type": item(experimentType="Factorial"),
    "payload": item(assignedCondition=[condition(payload={"type": "string", "value": "x"})]),
    "factors": item(assignedFactor=[{"color": {"level": "red"}}]),
    "site": item(site="away"),
    "target": item(target="footer"),
}


@both_forms
@pytest.mark.parametrize("other", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_assignments_that_differ_anywhere_are_not_equal(call: Form, other: dict[str, Any]) -> None:
    one = assigned_at(call, answering(item()), "home", "banner")

    assert one != assigned_at(call, answering(other), other["site"], other["target"])
    assert one == assigned_at(call, answering(item()), "home", "banner")


@both_forms
def test_an_assignment_is_a_snapshot_that_nobody_can_change(call: Form) -> None:
    server = SteeredServer()
    answered = item(assignedFactor=[{"color": {"level": "red"}}])
    server.answer("assign", [answered])
    client = client_of(server)
    assignment: Any = assigned_at(call, client, "home", "banner")
    before = pickle.loads(pickle.dumps(assignment))

    with pytest.raises(AttributeError):
        assignment.site = "elsewhere"
    assignment.factors.append("size")
    server.answer("assign", [item(assignedCondition=[condition("treatment")])])
    call(client.get_all_experiment_conditions, ignore_cache=True)

    assert assignment == before
    assert assignment.factors == ["color"]


# ---- What clears them ----


@both_forms
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("init", ()),
        ("set_group_membership", ({"class": ["class-2"]},)),
        ("set_working_group", ({"class": "class-1"},)),
        ("set_alt_user_ids", (["alias"],)),
    ],
)
def test_what_changes_the_user_clears_assignments_and_flags_after_success_alone(
    call: Form, method: str, arguments: tuple[object, ...]
) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment(
        "room", "seat", conditions=["window", "aisle"], unit="group", group_type="class"
    )
    upgrade.flag("new-dashboard")
    endpoint = {
        "init": "init",
        "set_group_membership": "groupmembership",
        "set_working_group": "workinggroup",
        "set_alt_user_ids": "useraliases",
    }[method]
    server = SteeredServer(upgrade.transport)
    client = initialised(server).with_options(retries=0)
    call(client.init, group={"class": ["class-1"]})
    assert call(client.get_all_experiment_conditions) == []
    assert call(client.has_feature_flag, "new-dashboard")

    server.answer(endpoint, {"message": "not now"}, status=500)
    with pytest.raises(Exception, match="not now"):
        call(getattr(client, method), *arguments)
    assert call(client.get_all_experiment_conditions) == []
    assert call(client.has_feature_flag, "new-dashboard")
    assert (server.count("assign"), server.count("featureflag")) == (1, 1)

    server.forget_answers()
    call(getattr(client, method), *arguments)
    found = call(client.get_all_experiment_conditions)
    assert len(found) == (method == "set_working_group")
    assert call(client.has_feature_flag, "new-dashboard")
    assert (server.count("assign"), server.count("featureflag")) == (2, 2)
