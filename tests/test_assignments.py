"""What the client makes of the server's assignments, odd ones included."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from tests.support_exchanges import playing
from tests.support_faces import FACES, Face
from tests.support_server import SteeredServer, client_of, initialised, local_upgrade
from upgrade_client_lib import Assignment, UnreadableAnswerError, UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import ExperimentType, Payload, PayloadType

both_faces = pytest.mark.parametrize("call", FACES)


def condition(code: str | None = "control", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"id-of-{code}",
        "conditionCode": code,
        "payload": None,
        "experimentId": "experiment",
        **fields,
    }


def item(site: str = "home", target: str | None = "banner", **fields: Any) -> dict[str, Any]:
    return {
        "site": site,
        "target": target,
        "experimentType": "Simple",
        "assignedCondition": [condition()],
        **fields,
    }


def without(key: str, whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != key}


def answering(*items: object) -> UpgradeClient:
    server = SteeredServer()
    server.answer("assign", list(items))
    return client_of(server)


def assigned_at(call: Face, client: UpgradeClient, site: str, target: str | None) -> Assignment:
    assignment = call(client.get_decision_point_assignment, site, target)
    assert isinstance(assignment, Assignment)
    return assignment


# ---- Looking up a decision point ----


@both_faces
@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize("asked", [None, ""])
def test_no_target_and_an_empty_one_are_the_same_point(
    call: Face, stored: str | None, asked: str | None
) -> None:
    client = answering(item("home", stored))

    assert assigned_at(call, client, "home", asked).target == ""
    assert call(client.get_decision_point_assignment, "home").get_condition() == "control"


@both_faces
@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_target_that_can_be_marked_is_preferred_to_a_null_one(
    call: Face, empty_first: bool
) -> None:
    items = [
        item("home", "", assignedCondition=[condition("markable")]),
        item("home", None, assignedCondition=[condition("unmarkable")]),
    ]
    client = answering(*(items if empty_first else reversed(items)))

    assert assigned_at(call, client, "home", "").get_condition() == "markable"


@both_faces
def test_a_missing_target_key_is_no_target(call: Face) -> None:
    client = answering(without("target", item()))

    assert assigned_at(call, client, "home", "").get_condition() == "control"


@both_faces
def test_points_are_pairs_of_site_and_target_and_not_a_joined_text(call: Face) -> None:
    client = answering(
        item("s|t", "u", assignedCondition=[condition("one")]),
        item("s", "t|u", assignedCondition=[condition("other")]),
    )

    assert assigned_at(call, client, "s|t", "u").get_condition() == "one"
    assert assigned_at(call, client, "s", "t|u").get_condition() == "other"
    assert call(client.get_decision_point_assignment, "s|t|u", "") is None
    assert len(call(client.get_all_experiment_conditions)) == 2


@both_faces
def test_points_differ_by_letter_case_blanks_and_script(call: Face) -> None:
    client = answering(item("sité", "цель"))

    assert assigned_at(call, client, "sité", "цель").get_condition() == "control"
    for site, target in [("Sité", "цель"), ("sité", "цель "), ("site", "цель")]:
        assert call(client.get_decision_point_assignment, site, target) is None


@both_faces
def test_a_point_that_assigns_nothing_is_none_and_asked_for_once(call: Face) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    for _ in range(3):
        assert call(client.get_decision_point_assignment, "nowhere", "nothing") is None
    assert server.count("assign") == 1


@both_faces
@pytest.mark.parametrize("site", ["", None, 5, ["home"], b"home"])
def test_a_site_that_is_no_text_is_refused_before_anything_is_sent(call: Face, site: Any) -> None:
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


@both_faces
def test_a_target_that_is_no_text_is_refused(call: Face) -> None:
    client = answering(item())

    with pytest.raises(TypeError, match="target"):
        call(client.get_decision_point_assignment, "home", {"banner"})


@both_faces
def test_assignments_are_fetched_once_and_again_when_the_cache_is_ignored(call: Face) -> None:
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


@both_faces
def test_the_list_of_assignments_belongs_to_the_caller(call: Face) -> None:
    client = initialised(local_upgrade().transport)

    call(client.get_all_experiment_conditions).clear()

    assert len(call(client.get_all_experiment_conditions)) == 6


# ---- Odd answers ----


@both_faces
def test_a_recorded_null_target_leaves_the_context_readable(call: Face) -> None:
    client, _, _ = playing("assign_null_target", context="null-app")

    found = call(client.get_all_experiment_conditions)

    assert {(one.site, one.target) for one in found} == {
        ("nullsite", ""),
        ("nullsite", "has-target"),
    }


@both_faces
@pytest.mark.parametrize("code", [None, "", "absent"])
def test_no_condition_code_reads_as_empty_text(call: Face, code: str | None) -> None:
    one = without("conditionCode", condition()) if code == "absent" else condition(code)
    assignment = assigned_at(call, answering(item(assignedCondition=[one])), "home", "banner")

    assert assignment.get_condition() == ""


@both_faces
def test_unknown_enum_values_stay_readable_as_plain_text(
    call: Face, caplog: pytest.LogCaptureFixture
) -> None:
    payload = {"type": "yaml", "value": "a: 1"}
    client = answering(
        item(experimentType="Bandit", assignedCondition=[condition(payload=payload)])
    )

    assignment = assigned_at(call, client, "home", "banner")

    assert assignment.get_experiment_type() == "Bandit"
    assert type(assignment.get_experiment_type()) is str
    assert assignment.get_payload() == Payload("yaml", "a: 1")
    assert not caplog.records


@both_faces
@pytest.mark.parametrize("kind", [None, 5, ["Simple"], "absent"])
def test_a_missing_experiment_type_is_none(call: Face, kind: object) -> None:
    odd = without("experimentType", item()) if kind == "absent" else item(experimentType=kind)

    assert assigned_at(call, answering(odd), "home", "banner").get_experiment_type() is None


@both_faces
def test_keys_that_nobody_knows_are_ignored(call: Face, caplog: pytest.LogCaptureFixture) -> None:
    payload = {"type": "string", "value": "text", "more": 1}
    level = {"level": "red", "payload": payload, "more": {}}
    client = answering(
        item(
            assignedCondition=[condition(payload=payload, more=[])],
            assignedFactor=[{"color": level}],
            more=None,
        )
    )

    assignment = assigned_at(call, client, "home", "banner")

    assert assignment.get_payload() == Payload(PayloadType.STRING, "text")
    assert assignment.get_factor_level("color") == "red"
    assert not caplog.records


@both_faces
def test_missing_ids_are_none(call: Face) -> None:
    bare = {"site": "home", "target": "banner", "assignedCondition": [{"conditionCode": "a"}]}

    assignment = assigned_at(call, answering(bare), "home", "banner")

    assert (assignment.experiment_id, assignment.condition_id) == (None, None)
    assert (assignment.get_payload(), assignment.factors) == (None, [])


MALFORMED: dict[str, object] = {
    "null": None,
    "text": "home",
    "number": 5,
    "list": ["home", "banner"],
    "list of pairs": [["site", "home"], ["target", "banner"], ["assignedCondition", [{}]]],
    "empty object": {},
    "no site": without("site", item()),
    "null site": {**item(), "site": None},
    "site a number": {**item(), "site": 1},
    "target a number": {**item(), "target": 1},
    "target an object": {**item(), "target": {"a": 1}},
    "no conditions": without("assignedCondition", item()),
    "null conditions": item(assignedCondition=None),
    "empty queue": item(assignedCondition=[]),
    "conditions an object": item(assignedCondition=condition()),
    "conditions a text": item(assignedCondition="control"),
    "conditions a number": item(assignedCondition=1),
    "null condition": item(assignedCondition=[None]),
    "condition a text": item(assignedCondition=["control"]),
    "condition a list": item(assignedCondition=[["control"]]),
    "condition a list of pairs": item(assignedCondition=[[["conditionCode", "control"]]]),
    "code a number": item(assignedCondition=[condition(conditionCode=1)]),
    "code an object": item(assignedCondition=[condition(conditionCode={})]),
    "id a number": item(assignedCondition=[condition(id=1)]),
    "experiment id a list": item(assignedCondition=[condition(experimentId=[])]),
    "payload a text": item(assignedCondition=[condition(payload="text")]),
    "payload a list": item(assignedCondition=[condition(payload=[])]),
    "payload without value": item(assignedCondition=[condition(payload={"type": "string"})]),
    "payload value null": item(assignedCondition=[condition(payload={"value": None})]),
    "payload value a number": item(assignedCondition=[condition(payload={"value": 1})]),
    "factors an object": item(assignedFactor={"color": {"level": "red"}}),
    "factors a text": item(assignedFactor="color"),
    "factor a text": item(assignedFactor=["color"]),
    "factor null": item(assignedFactor=[None]),
    "factor a list of pairs": item(assignedFactor=[[["color", {"level": "red"}]]]),
    "level a text": item(assignedFactor=[{"color": "red"}]),
    "level a list of pairs": item(assignedFactor=[{"color": [["level", "red"]]}]),
    "no level": item(assignedFactor=[{"color": {}}]),
    "level null": item(assignedFactor=[{"color": {"level": None}}]),
    "level's payload a text": item(assignedFactor=[{"color": {"level": "red", "payload": "x"}}]),
}


@both_faces
@pytest.mark.parametrize("odd", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_malformed_item_is_left_out_alone_with_one_warning(
    call: Face, odd: object, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    items: list[object] = [item("one", "a"), item("two", "b")]
    items.insert(at, odd)
    client = answering(*items)

    assert call(client.get_decision_point_assignment, "home", "banner") is None
    found = call(client.get_all_experiment_conditions)
    assert [(one.site, one.target) for one in found] == [("one", "a"), ("two", "b")]
    assert call(client.get_all_experiment_conditions) == found
    assert assigned_at(call, client, "two", "b").get_condition() == "control"

    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["upgrade_client_lib"]


@both_faces
def test_what_an_answer_holds_beside_malformed_items_is_counted(
    call: Face, caplog: pytest.LogCaptureFixture
) -> None:
    client = answering(None, item(), 5, {})

    assert len(call(client.get_all_experiment_conditions)) == 1
    assert caplog.messages == [
        "left out 3 of the assignments that the server answered: they cannot be read"
    ]


@both_faces
@pytest.mark.parametrize("answer", [{}, None, "[]", 5, True, {"items": []}])
def test_an_answer_that_is_no_list_is_an_error_and_nothing_is_cached(
    call: Face, answer: object
) -> None:
    server = SteeredServer()
    server.answer("assign", answer)
    client = client_of(server)

    for _ in range(2):
        with pytest.raises(UnreadableAnswerError):
            call(client.get_all_experiment_conditions)
    assert server.count("assign") == 2

    server.answer("assign", [item()])
    assert assigned_at(call, client, "home", "banner").get_condition() == "control"


# ---- Factorial experiments ----


@both_faces
def test_factors_of_a_recorded_factorial_experiment(call: Face) -> None:
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


@both_faces
def test_a_factor_that_is_not_there_has_neither_level_nor_payload(call: Face) -> None:
    client = answering(item(assignedFactor=[{"color": {"level": "red", "payload": None}}]))

    assignment = assigned_at(call, client, "home", "banner")

    assert assignment.get_factor_payload("color") is None
    assert (assignment.get_factor_level("size"), assignment.get_factor_payload("size")) == (
        "",
        None,
    )


@both_faces
@pytest.mark.parametrize("factors", [None, [], [{}]])
def test_factors_that_say_nothing_are_no_factors(call: Face, factors: object) -> None:
    assert (
        assigned_at(call, answering(item(assignedFactor=factors)), "home", "banner").factors == []
    )


# ---- The assignment itself ----


@both_faces
def test_an_assignment_shows_where_it_is_from(call: Face) -> None:
    client, _, recorded = playing("assign_my_app")
    answered: Any = recorded.answer.body
    raw = next(one for one in answered if (one["site"], one["target"]) == ("home", "banner"))

    assignment = assigned_at(call, client, "home", "banner")

    assert (assignment.site, assignment.target) == ("home", "banner")
    assert assignment.experiment_id == raw["assignedCondition"][0]["experimentId"]
    assert assignment.condition_id == raw["assignedCondition"][0]["id"]


@both_faces
def test_its_repr_names_point_condition_payload_and_levels(call: Face) -> None:
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


@both_faces
def test_assignments_compare_by_what_they_say_whoever_asked(call: Face) -> None:
    transport = local_upgrade().transport
    clients = [initialised(transport), initialised(transport)]
    one, other = (assigned_at(call, client, "home", "banner") for client in clients)

    assert one == other
    assert one is not other
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


@both_faces
@pytest.mark.parametrize("other", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_assignments_that_differ_anywhere_are_not_equal(call: Face, other: dict[str, Any]) -> None:
    one = assigned_at(call, answering(item()), "home", "banner")

    assert one != assigned_at(call, answering(other), other["site"], other["target"])
    assert one == assigned_at(call, answering(item()), "home", "banner")


@both_faces
def test_an_assignment_is_a_snapshot_that_nobody_can_change(call: Face) -> None:
    server = SteeredServer()
    answered = item(assignedFactor=[{"color": {"level": "red"}}])
    server.answer("assign", [answered])
    client = client_of(server)
    assignment: Any = assigned_at(call, client, "home", "banner")
    before = copy.copy(assignment)

    with pytest.raises(AttributeError):
        assignment.site = "elsewhere"
    assignment.factors.append("size")
    server.answer("assign", [item(assignedCondition=[condition("treatment")])])
    call(client.get_all_experiment_conditions, ignore_cache=True)

    assert assignment == before
    assert assignment.factors == ["color"]


# ---- What clears them ----


@both_faces
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("init", ()),
        ("set_group_membership", ({"class": ["class-2"]},)),
        ("set_working_group", ({"class": "class-2"},)),
        ("set_alt_user_ids", (["alias"],)),
    ],
)
def test_what_changes_the_user_clears_assignments_and_flags_after_success_alone(
    call: Face, method: str, arguments: tuple[object, ...]
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
