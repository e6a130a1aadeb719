"""Marks: what goes out, and with which ids."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import httpx
import pytest

from tests.support_exchanges import exchange, playing
from tests.support_forms import Form, both_forms
from tests.support_marking import (
    APPLIED,
    NONE_ASSIGNED,
    NOT_APPLIED,
    STATUS,
    Marking,
    both_ways,
    snapshot,
)
from tests.support_server import (
    SteeredServer,
    client_of,
    initialised,
    local_upgrade,
    one_factor,
)
from upgrade_client_lib import BadRequestError, ServerError, UpgradeApiError
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import MarkedDecisionPoint

# ---- What goes out ----


@both_forms
@both_ways
def test_a_mark_carries_condition_ids_status_and_context(call: Form, mark: Marking) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    assignment = snapshot(call, client, "home", "banner")

    marked = mark(call, client, "home", "banner", APPLIED)

    assert server.bodies("mark") == [
        {
            "data": {
                "site": "home",
                "target": "banner",
                "assignedCondition": {
                    "conditionCode": assignment.get_condition(),
                    "experimentId": assignment.experiment_id,
                    "id": assignment.condition_id,
                },
            },
            "status": "condition applied",
            "context": "my-app",
        }
    ]
    assert marked == MarkedDecisionPoint(
        id=marked.id,
        userId="user",
        site="home",
        target="banner",
        experimentId=assignment.experiment_id,
        condition=assignment.get_condition(),
    )


@both_forms
@both_ways
def test_a_condition_that_is_the_payload_of_its_level_is_marked_by_factor_and_level(
    call: Form, mark: Marking
) -> None:
    server = SteeredServer(one_factor().transport)
    client = initialised(server)
    assignment = snapshot(call, client, "lesson", "hint")
    code = f"tone={assignment.get_factor_level('tone')}"
    assert assignment.get_condition() in ["Hello!", "Good day."]

    marked = mark(call, client, "lesson", "hint", APPLIED)
    call(client.mark_assignment, pickle.loads(pickle.dumps(assignment)), APPLIED)
    call(client.mark_decision_point, "lesson", "hint", code, APPLIED)

    assert marked.condition == code
    assert [body["data"]["assignedCondition"] for body in server.bodies("mark")] == 3 * [
        {
            "conditionCode": code,
            "experimentId": assignment.experiment_id,
            "id": assignment.condition_id,
        }
    ]
    assert call(client.get_decision_point_assignment, "lesson", "hint") == assignment
    assert server.count("assign") == 1


@both_forms
@both_ways
@pytest.mark.parametrize("status", [*STATUS, *(status.value for status in STATUS)])
def test_a_status_goes_out_as_its_text_whether_given_as_member_or_text(
    call: Form, mark: Marking, status: Any
) -> None:
    server = SteeredServer(local_upgrade().transport)

    mark(call, initialised(server), "home", "banner", status)

    assert [body["status"] for body in server.bodies("mark")] == [str(status)]


@both_forms
@both_ways
def test_uniquifier_and_client_error_go_out_when_they_say_something(
    call: Form, mark: Marking
) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    mark(call, client, "home", "banner", NOT_APPLIED, "try-1", "no image")
    mark(call, client, "pair", "one", NOT_APPLIED, "", "")

    first, second = server.bodies("mark")
    assert (first["uniquifier"], first["clientError"]) == ("try-1", "no image")
    assert "uniquifier" not in second
    assert "clientError" not in second


@both_forms
@pytest.mark.parametrize("condition", [None, ""])
def test_no_condition_goes_out_as_null(call: Form, condition: str | None) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    call(client.mark_decision_point, "home", "banner", condition, NONE_ASSIGNED)
    call(client.mark_decision_point, "nowhere", "nothing", condition, NONE_ASSIGNED)

    known, unknown = (body["data"]["assignedCondition"] for body in server.bodies("mark"))
    assignment = snapshot(call, client, "home", "banner")
    assert known == {
        "conditionCode": None,
        "experimentId": assignment.experiment_id,
        "id": assignment.condition_id,
    }
    assert unknown == {"conditionCode": None}


@both_forms
def test_an_assignment_without_a_condition_marks_null(call: Form) -> None:
    server = SteeredServer()
    server.answer(
        "assign", [{"site": "s", "target": None, "assignedCondition": [{"conditionCode": None}]}]
    )
    server.answer("mark", exchange("mark_condition_null").answer.body)
    client = client_of(server)

    call(snapshot(call, client, "s", "").mark_decision_point, NONE_ASSIGNED)

    (body,) = server.bodies("mark")
    assert body["data"] == {
        "site": "s",
        "target": "",
        "assignedCondition": {"conditionCode": None},
    }


@both_forms
def test_no_target_is_marked_as_the_empty_one(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    call(client.mark_decision_point, "nowhere", None, None, NONE_ASSIGNED)

    assert server.bodies("mark")[0]["data"]["target"] == ""


@both_forms
def test_another_condition_of_the_queue_goes_out_with_its_own_id(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    queue = server_queue(server, "single", "queue")

    call(client.mark_decision_point, "single", "queue", "third", APPLIED)

    (body,) = server.bodies("mark")
    assert body["data"]["assignedCondition"] == {
        "conditionCode": "third",
        "experimentId": queue[2]["experimentId"],
        "id": queue[2]["id"],
    }


@both_forms
def test_a_payload_in_place_of_the_code_goes_out_with_the_id_that_is_assigned(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment("home", "banner", conditions=["only"], payloads={"only": "Welcome"})
    server = SteeredServer(upgrade.transport)
    client = initialised(server)

    marked = call(client.mark_decision_point, "home", "banner", "Welcome", APPLIED)

    sent = server.bodies("mark")[0]["data"]["assignedCondition"]
    assert sent["conditionCode"] == "Welcome"
    assert sent["id"] == snapshot(call, client, "home", "banner").condition_id
    assert marked.condition == "Welcome"


@both_forms
def test_a_recorded_mark_at_a_point_without_experiments(call: Form) -> None:
    recorded = exchange("mark_unknown_decision_point_null_condition")
    server = SteeredServer()
    server.answer("assign", [])
    server.answer("mark", recorded.answer.body)

    sent = recorded.body["data"]
    marked = call(
        client_of(server).mark_decision_point, sent["site"], sent["target"], None, NONE_ASSIGNED
    )

    assert (marked.site, marked.target) == (sent["site"], sent["target"])
    assert (marked.condition, marked.experimentId) == (None, None)


def test_marks_of_one_loop_go_out_side_by_side() -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    holds = [server.hold_next("mark") for _ in range(3)]

    async def scenario() -> None:
        await client.get_all_experiment_conditions()
        marks = [
            asyncio.ensure_future(client.mark_decision_point("home", "banner", "control", APPLIED))
            for _ in holds
        ]
        for hold in holds:
            await hold.wait_async()
        for hold in holds:
            hold.release()
        await asyncio.gather(*marks)

    asyncio.run(scenario())


def server_queue(server: SteeredServer, site: str, target: str) -> list[dict[str, Any]]:
    """The queue as the server has it, asked beside the client under test."""
    request = httpx.Request(
        "POST",
        "http://upgrade/api/v6/assign",
        headers={"User-Id": "user"},
        json={"context": "my-app"},
    )
    assert server.behind is not None
    items = server.behind.handle_request(request).json()
    (queue,) = (
        item["assignedCondition"]
        for item in items
        if (item["site"], item["target"] or "") == (site, target)
    )
    return list(queue)


# ---- Points that were never fetched ----


@both_forms
def test_a_mark_on_a_cold_client_fetches_once_for_the_ids(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    call(client.mark_decision_point, "single", "queue", "first", APPLIED)
    call(client.mark_decision_point, "single", "queue", "second", APPLIED)
    call(client.mark_decision_point, "nowhere", "nothing", None, NONE_ASSIGNED)

    assert [sent.endpoint for sent in server.sent] == ["init", "assign", "mark", "mark", "mark"]
    assert server.bodies("mark")[0]["data"]["assignedCondition"]["experimentId"]


@both_forms
@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, "500", "not a list"])
def test_where_the_fetch_fails_the_mark_still_goes_out_without_ids(
    call: Form, failure: Any
) -> None:
    upgrade = local_upgrade()
    server = SteeredServer(upgrade.transport)
    client = initialised(server).with_options(retries=0)
    if failure == "500":
        server.answer("assign", {"message": "not now"}, status=500)
    elif failure == "not a list":
        server.answer("assign", {})
    else:
        server.lose_next("assign", "before", failure)

    call(client.mark_decision_point, "single", "queue", "first", APPLIED)

    assert server.bodies("mark")[0]["data"]["assignedCondition"] == {"conditionCode": "first"}
    upgrade.assert_marked("single", "queue", user="user", condition="first")
    server.forget_answers()
    assert snapshot(call, client, "single", "queue").get_condition() == "second"


@both_forms
def test_a_user_who_is_not_initialised_is_told_so_by_the_mark(call: Form) -> None:
    client = client_of(local_upgrade().transport)

    with pytest.raises(UpgradeApiError, match="init") as caught:
        call(client.mark_decision_point, "home", "banner", "control", APPLIED)
    assert caught.value.endpoint == "POST /api/v6/mark"


# ---- What the server refuses ----


@both_forms
@both_ways
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mark_unknown_condition", ServerError),
        ("mark_other_experiments_id", BadRequestError),
        ("mark_not_initialised", UpgradeApiError),
    ],
)
def test_a_recorded_refusal_of_a_mark_is_an_error_and_is_not_repeated(
    call: Form, mark: Marking, name: str, expected: type[UpgradeApiError]
) -> None:
    recorded = exchange(name)
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    server.answer("mark", recorded.answer.body, recorded.answer.status)

    with pytest.raises(expected) as caught:
        mark(call, client, "home", "banner", APPLIED)

    answered: Any = recorded.answer.body
    assert caught.value.status_code == recorded.answer.status
    assert answered["message"] in caught.value.message
    assert server.count("mark") == 1


@both_forms
def test_a_recorded_answer_with_an_older_experiment_reads_as_it_is(call: Form) -> None:
    """The answer speaks of the first mark of the point, which nothing is decided from."""
    client, server, recorded = playing("mark_simple_full")
    sent = recorded.body["data"]

    marked = call(
        client.mark_decision_point,
        sent["site"],
        sent["target"],
        sent["assignedCondition"]["conditionCode"],
        recorded.body["status"],
    )

    answered: Any = recorded.answer.body
    assert marked.experimentId == answered["experimentId"]
    assert marked.condition == answered["condition"]
    assert [sent.path for sent in server.sent] == ["/api/v6/assign", "/api/v6/mark"]
