"""What the client gives back is plain data: it copies, pickles, compares and goes into JSON."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any, Callable

import attrs
import pytest

from tests.support_assignments import answering, assigned_at, condition, item
from tests.support_clients import client_at, initialised_at
from tests.support_forms import Form, blocking, both_forms
from tests.support_marking import APPLIED
from tests.support_server import SteeredServer, initialised, local_upgrade
from upgrade_client_lib import Assignment, UpgradeClient
from upgrade_client_lib.types import (
    ExperimentUser,
    FeatureFlag,
    LogRecord,
    MarkedDecisionPoint,
    Payload,
    PayloadType,
    Reward,
    RewardResponse,
    UserAliases,
    responses,
)

FACTORIAL = item(
    "fact",
    "page",
    experimentType="Factorial",
    assignedCondition=[condition("color=red", payload={"type": "json", "value": '{"n": 3}'})],
    assignedFactor=[
        {
            "color": {"level": "red", "payload": {"type": "string", "value": "#f00"}},
            "size": {"level": "big", "payload": None},
        }
    ],
)


def factorial_assignment() -> Assignment:
    return assigned_at(blocking, answering(FACTORIAL), "fact", "page")


# ---- Copies ----

DEFINITION = {"id": 1, "key": "totalTimeSeconds"}
REWARD = Reward("reward", 1, 5, 6, "learner")
RESULTS: list[Any] = [
    factorial_assignment(),
    ExperimentUser("u1", {"class": ["class-1"]}, {"class": "class-1"}),
    FeatureFlag("new-dashboard"),
    LogRecord(7, "u1", "1", datetime(2026, 11, 20, tzinfo=timezone.utc), {"a": 1}, [DEFINITION]),
    MarkedDecisionPoint("7", "u1", "home", "banner", "experiment", "control"),
    Payload(PayloadType.JSON, '{"n": 3}'),
    REWARD,
    RewardResponse("sent", {"rewardValue": "SUCCESS"}, REWARD),
    UserAliases("u1", ["u1-on-the-tablet"]),
]


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


every_copy = pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        *(
            pytest.param(pickled(protocol), id=f"pickle {protocol}")
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)


def test_these_are_all_results() -> None:
    kinds = {getattr(responses, name) for name in responses.__all__}

    assert {type(result) for result in RESULTS} == {Assignment, *kinds}


@every_copy
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_is_equal_to_its_copies(result: Any, copied: Callable[[Any], Any]) -> None:
    duplicate = copied(result)

    assert duplicate == result
    assert repr(duplicate) == repr(result)
    assert type(duplicate) is type(result)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_becomes_plain_data_that_holds_nothing_else(result: Any) -> None:
    plain = attrs.asdict(result)

    assert json.loads(json.dumps(plain, default=datetime.isoformat))
    assert "http" not in repr(plain)


# ---- An assignment as data ----


def test_an_assignment_as_a_dict_says_everything_and_goes_into_json() -> None:
    assignment = factorial_assignment()

    said = assignment.as_dict()

    assert said == {
        "user_id": "user",
        "context": "my-app",
        "site": "fact",
        "target": "page",
        "experiment_id": "experiment",
        "condition_id": "id-of-color=red",
        "condition": "color=red",
        "experiment_type": "Factorial",
        "payload": {"type": "json", "value": '{"n": 3}'},
        "factors": {
            "color": {"level": "red", "payload": {"type": "string", "value": "#f00"}},
            "size": {"level": "big", "payload": None},
        },
    }
    assert json.loads(json.dumps(said)) == said
    assert type(said["experiment_type"]) is type(said["payload"]["type"]) is str
    said["factors"].clear()
    assert assignment.factors == ["color", "size"]


def test_an_assignment_of_little_has_none_in_its_dict() -> None:
    sparse = item(assignedCondition=[condition(None, id=None, experimentId=None)])
    sparse["experimentType"] = None

    said = assigned_at(blocking, answering(sparse), "home", "banner").as_dict()

    assert said == {
        "user_id": "user",
        "context": "my-app",
        "site": "home",
        "target": "banner",
        "experiment_id": None,
        "condition_id": None,
        "condition": "",
        "experiment_type": None,
        "payload": None,
        "factors": {},
    }


@pytest.mark.parametrize("changed", [{"user_id": "u2"}, {"context": "big-app"}])
def test_assignments_of_other_users_and_contexts_are_not_equal(changed: Any) -> None:
    assignment = factorial_assignment()

    assert attrs.evolve(assignment, **changed) != assignment
    assert attrs.evolve(assignment) == assignment


# ---- Copies that mark ----


@both_forms
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copied_assignment_still_marks(call: Form, copied: Callable[[Any], Any]) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    first = assigned_at(call, client, "single", "queue")

    call(copied({"kept": first})["kept"].mark_decision_point, APPLIED)
    call(copied(first).mark_decision_point, APPLIED)

    assert server.count("mark") == 2
    assert assigned_at(call, client, "single", "queue").get_condition() == "third"


@both_forms
def test_an_unpickled_assignment_is_marked_by_a_client_of_its_user(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    sent = pickle.dumps(assigned_at(call, initialised(server), "single", "queue"))
    client = initialised(server)
    assert assigned_at(call, client, "single", "queue").get_condition() == "first"

    assignment = pickle.loads(sent)
    marked = call(client.mark_assignment, assignment, APPLIED, "visit-1", "none")

    assert (marked.site, marked.target, marked.condition) == ("single", "queue", "first")
    (body,) = server.bodies("mark")
    assert body["data"]["assignedCondition"] == {
        "conditionCode": "first",
        "experimentId": assignment.experiment_id,
        "id": assignment.condition_id,
    }
    assert (body["status"], body["uniquifier"], body["clientError"]) == (
        "condition applied",
        "visit-1",
        "none",
    )
    assert assigned_at(call, client, "single", "queue").get_condition() == "second"


@both_forms
def test_marking_an_assignment_asks_for_nothing_else(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    assignment = assigned_at(call, initialised(server), "home", "banner")
    before = len(server.sent)

    call(initialised(server).mark_assignment, assignment, "condition applied")

    assert [sent.endpoint for sent in server.sent[before:]] == ["init", "mark"]


@both_forms
def test_marking_an_assignment_through_a_view_has_the_view_s_options(
    call: Form,
) -> None:
    local = local_upgrade()
    client = initialised_at(call, local)
    assignment = assigned_at(call, client, "home", "banner")
    local.fail_next("mark", status=429)

    with pytest.raises(Exception, match="429") as caught:
        call(client.with_options(retries=0).mark_assignment, assignment, APPLIED)

    assert caught.value.attempts == 1  # type: ignore[attr-defined]


@both_forms
@pytest.mark.parametrize(
    ("user_id", "context"), [("u2", "my-app"), ("u1", "big-app"), ("U1", "my-app")]
)
def test_an_assignment_of_another_user_or_context_is_refused_and_not_sent(
    call: Form, user_id: str, context: str
) -> None:
    local = local_upgrade()
    assignment = assigned_at(call, initialised_at(call, local), "home", "banner")
    other = client_at(local, user_id, context)
    before = len(local.requests)

    with pytest.raises(ValueError, match="user 'u1' in context 'my-app', but") as caught:
        call(other.mark_assignment, assignment, APPLIED)

    assert f"client of user {user_id!r} in context {context!r}" in str(caught.value)
    assert len(local.requests) == before


@both_forms
@pytest.mark.parametrize(
    ("assignment", "named"),
    [(None, "None"), ("treatment", "str"), (APPLIED, "MarkedDecisionPointStatus"), ({}, "dict")],
)
def test_what_is_no_assignment_is_refused_and_not_sent(
    call: Form, assignment: Any, named: str
) -> None:
    local = local_upgrade()

    with pytest.raises(TypeError, match=f"^assignment must be an Assignment, not {named}$"):
        call(client_at(local).mark_assignment, assignment, APPLIED)

    assert local.requests == ()


@both_forms
def test_a_wrong_status_of_a_marked_assignment_is_named(call: Form) -> None:
    local = local_upgrade()
    client = initialised_at(call, local)
    assignment = assigned_at(call, client, "home", "banner")

    with pytest.raises(ValueError, match=r"^status must be one of"):
        call(client.mark_assignment, assignment, "applied")

    assert local.marks == ()


@both_forms
@pytest.mark.parametrize("apart", [pickled(2), attrs.evolve])
def test_marking_an_assignment_without_a_client_says_what_to_do(
    call: Form, apart: Callable[[Any], Any]
) -> None:
    assignment = apart(factorial_assignment())

    with pytest.raises(
        RuntimeError, match=r"client\.mark_assignment\(assignment, status\).*'user'.*'my-app'"
    ):
        call(assignment.mark_decision_point, APPLIED)


IN_ANOTHER_PROCESS = """
import pickle, sys

from upgrade_client_lib import UpgradeClient

assignment = pickle.loads(sys.stdin.buffer.read())
client = UpgradeClient(assignment.user_id, sys.argv[1], assignment.context)
client.mark_assignment_sync(assignment, "condition applied")
"""


def test_an_assignment_is_marked_in_another_process() -> None:
    local = local_upgrade()
    with local.serve() as url:
        client = UpgradeClient("u1", url, "my-app")
        client.init_sync()
        assignment = assigned_at(blocking, client, "home", "banner")

        subprocess.run(
            [sys.executable, "-c", inspect.cleandoc(IN_ANOTHER_PROCESS), url],
            input=pickle.dumps(assignment),
            check=True,
            timeout=60,
        )

    local.assert_marked("home", "banner", user="u1", condition=assignment.get_condition())
