"""Assign answers of odd shapes: what is healthy in them stays usable."""

from __future__ import annotations

import json
import logging

import pytest

from tests.support_assignments import answering, assigned_at, condition, item, without
from tests.support_exchanges import playing
from tests.support_forms import Form, both_forms
from tests.support_marking import APPLIED
from tests.support_server import SteeredServer, client_of
from upgrade_client_lib import UnreadableAnswerError
from upgrade_client_lib.types import Payload, PayloadType


@both_forms
def test_a_recorded_null_target_leaves_the_context_readable(call: Form) -> None:
    client, _, _ = playing("assign_null_target", context="null-app")

    found = call(client.get_all_experiment_conditions)

    assert {(one.site, one.target) for one in found} == {
        ("nullsite", ""),
        ("nullsite", "has-target"),
    }


@both_forms
@pytest.mark.parametrize("code", [None, "", "absent"])
def test_no_condition_code_reads_as_empty_text(call: Form, code: str | None) -> None:
    one = without("conditionCode", condition()) if code == "absent" else condition(code)
    assignment = assigned_at(call, answering(item(assignedCondition=[one])), "home", "banner")

    assert assignment.get_condition() == ""


@both_forms
def test_unknown_enum_values_stay_readable_as_plain_text(
    call: Form, caplog: pytest.LogCaptureFixture
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


@both_forms
@pytest.mark.parametrize("kind", [None, 5, ["Simple"], "absent"])
def test_a_missing_experiment_type_is_none(call: Form, kind: object) -> None:
    odd = without("experimentType", item()) if kind == "absent" else item(experimentType=kind)

    assert assigned_at(call, answering(odd), "home", "banner").get_experiment_type() is None


@both_forms
def test_keys_that_nobody_knows_are_ignored(call: Form, caplog: pytest.LogCaptureFixture) -> None:
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


@both_forms
def test_missing_ids_are_none(call: Form) -> None:
    bare = {"site": "home", "target": "banner", "assignedCondition": [{"conditionCode": "a"}]}

    assignment = assigned_at(call, answering(bare), "home", "banner")

    assert (assignment.experiment_id, assignment.condition_id) == (None, None)
    assert (assignment.get_payload(), assignment.factors) == (None, [])


@both_forms
def test_an_id_that_is_none_is_not_sent(call: Form) -> None:
    server = SteeredServer()
    queue = [condition("first"), condition("second", id=5), condition("second", id="right")]
    server.answer("assign", [item(assignedCondition=queue)])
    server.answer("mark", {"id": "mark", "userId": "user", "site": "home", "target": "banner"})

    call(client_of(server).mark_decision_point, "home", "banner", "second", APPLIED)

    assert server.bodies("mark")[0]["data"]["assignedCondition"]["id"] == "right"


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


@both_forms
@pytest.mark.parametrize("odd", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_malformed_item_is_left_out_alone_with_one_warning(
    call: Form, odd: object, at: int, caplog: pytest.LogCaptureFixture
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


@both_forms
def test_the_warning_says_where_and_what_is_wrong(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    call(answering(item(assignedCondition=[condition(id=1)])).get_all_experiment_conditions)

    assert caplog.messages == [
        "left out the assignment at ('home', 'banner'): it cannot be read (int where text belongs)"
    ]


@both_forms
def test_what_an_answer_holds_beside_malformed_items_is_counted(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    client = answering(None, item(), 5, {})

    assert len(call(client.get_all_experiment_conditions)) == 1
    assert caplog.messages == [
        "left out 3 of the assignments that the server answered: they cannot be read"
    ]


@both_forms
@pytest.mark.parametrize("answer", [{}, None, "[]", 5, True, {"items": []}])
def test_an_answer_that_is_no_list_is_an_error_and_nothing_is_cached(
    call: Form, answer: object
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


@both_forms
@pytest.mark.parametrize(
    ("factors", "marked"),
    [
        ('[{"tone": {"level": "warm"}}]', "tone=warm"),
        ("[]", None),
        ("[{}]", None),
        ("null", None),
        ('[{"tone": 5}]', "Hello!"),  # the point cannot be read
    ],
)
def test_a_code_that_is_a_payload_is_marked_by_its_level_or_by_none(
    call: Form, factors: str, marked: str | None
) -> None:
    one = condition(conditionCode={"type": "string", "value": "Hello!"})
    server = SteeredServer()
    server.answer("assign", [item(assignedCondition=[one], assignedFactor=json.loads(factors))])
    server.answer("mark", {"id": "m", "userId": "user", "site": "home", "target": "banner"})
    client = client_of(server)

    call(client.mark_decision_point, "home", "banner", "Hello!", APPLIED)

    (mark,) = server.bodies("mark")
    assert mark["data"]["assignedCondition"]["conditionCode"] == marked


@both_forms
@pytest.mark.parametrize("code", [["only"], {"type": "string"}, {"type": "string", "value": 7}])
def test_a_code_that_cannot_be_read_leaves_out_its_point_alone(call: Form, code: object) -> None:
    queue = [{"id": "c1", "conditionCode": code, "payload": None, "experimentId": "e1"}]
    other = [{"id": "c2", "conditionCode": "only", "payload": None, "experimentId": "e2"}]
    server = SteeredServer()
    server.answer(
        "assign",
        [
            {"site": "odd", "target": "", "experimentType": "Simple", "assignedCondition": queue},
            {"site": "well", "target": "", "experimentType": "Simple", "assignedCondition": other},
        ],
    )
    server.answer("mark", {"id": "m", "userId": "user", "site": "odd", "target": ""})
    client = client_of(server)

    assert [one.site for one in call(client.get_all_experiment_conditions)] == ["well"]
    call(client.mark_decision_point, "odd", "", "only", APPLIED)
