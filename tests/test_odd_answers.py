"""Whatever JSON a server answers: it is read, or it is an UpgradeApiError; healthy items survive.

Both forms run the same lines behind an answer, so the blocking one stands for both here.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint
from tests.support_exchanges import Answer, ScriptedServer
from tests.support_forms import blocking
from upgrade_client_lib import Assignment, UpgradeApiError
from upgrade_client_lib.types import FeatureFlag, LogInput, LogMetrics, LogRecord

every_operation = pytest.mark.parametrize("operation", by_endpoint(HARMLESS + COUNTED))
lean = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
STAMP = "2026-11-20T08:00:00.000Z"

USER: dict[str, Any] = {
    "id": "user",
    "group": {"class": ["class-1"]},
    "workingGroup": {"class": "class-1"},
}
CONDITION: dict[str, Any] = {
    "id": "c-1",
    "conditionCode": "red",
    "payload": {"type": "json", "value": "{}"},
    "experimentId": "e-1",
}
LEVEL: dict[str, Any] = {"level": "red", "payload": {"type": "string", "value": "#f00"}}
ASSIGNMENT: dict[str, Any] = {
    "site": "home",
    "target": "banner",
    "experimentType": "Factorial",
    "assignedCondition": [CONDITION, CONDITION],
    "assignedFactor": [{"color": LEVEL}, {"color": LEVEL}],
}
RECORD: dict[str, Any] = {
    "id": 1,
    "uniquifier": "1",
    "timeStamp": STAMP,
    "data": {"seconds": 1},
    "metrics": [{"key": "seconds"}],
    "user": USER,
    "userId": "user",
}
HEALTHY: dict[str, Any] = {
    "init": USER,
    "groupmembership": USER,
    "workinggroup": USER,
    "useraliases": {"userId": "user", "aliases": ["alias"]},
    "assign": [ASSIGNMENT],
    "featureflag": ["new-dashboard"],
    "log": [RECORD],
    "mark": {
        "id": "m-1",
        "userId": "user",
        "site": "home",
        "target": "banner",
        "experimentId": "e-1",
        "condition": "red",
    },
    "reward": {
        "message": "ok",
        "request": {"rewardValue": "SUCCESS"},
        "reward": {"variable": "v", "value": 1, "mooclet": 1, "version": 1, "learner": "user"},
    },
}
ERROR: dict[str, Any] = {
    "name": "Error",
    "message": "User not found",
    "endPoint": "/api/v6/init",
    "errorCode": 404,
    "type": "Experiment user not defined",
    "request": {"context": "my-app"},
}


# ---- JSON, and JSON that is close to what the API answers ----

keys = st.sampled_from(["id", "site", "target", "message", "type", "data", "color"]) | st.text(
    max_size=4
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn, healthy: Any) -> Any:
    """The value, of which some parts are left out, spoiled themselves, or replaced by anything."""
    value: Any = copy.copy(healthy)
    if isinstance(healthy, list):
        for index in range(len(value)):
            value[index] = draw(spoiled(value[index]) | anything)
        return value
    if not isinstance(healthy, dict):
        return draw(anything)
    for key in draw(st.sets(st.sampled_from(sorted(value)), max_size=2)):
        if draw(st.booleans()):
            value[key] = draw(spoiled(value[key]) | anything)
        else:
            del value[key]
    return value


def mixed(healthy: list[Any], junk: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """The healthy items in any order, with junk between them."""
    return st.lists(junk, max_size=4).flatmap(lambda odd: st.permutations([*healthy, *odd]))


# ---- Nothing but UpgradeApiError ----


@pytest.mark.filterwarnings("default")
@every_operation
@lean
@given(data=st.data())
def test_any_answer_is_read_or_is_an_api_error(operation: Operation, data: st.DataObject) -> None:
    body = data.draw(spoiled(HEALTHY[operation.endpoint]) | anything)
    client = ScriptedServer(Answer(200, json.dumps(body))).client("user")

    try:
        answer = operation.call(blocking, client)
    except UpgradeApiError as error:
        assert_told(error)
    else:
        repr(answer)


@lean
@given(body=spoiled(HEALTHY["assign"]) | anything)
@example(body=HEALTHY["assign"])
@example(body={})
def test_any_assignments_can_be_used_as_they_are(body: Any) -> None:
    server = ScriptedServer(Answer(200, json.dumps(body)))
    client = server.client("user")
    try:
        assignments: list[Assignment] = client.get_all_experiment_conditions_sync()
    except UpgradeApiError as error:
        assert_told(error)
        return

    assert len(server.sent) == 1
    for assignment in assignments:
        found = client.get_decision_point_assignment_sync(assignment.site, assignment.target)
        assert found == assignment
        assert_readable(assignment)
    assert len(server.sent) == 1


@every_operation
@lean
@given(data=st.data())
def test_any_error_answer_is_an_api_error(operation: Operation, data: st.DataObject) -> None:
    body = data.draw(spoiled(ERROR) | anything)
    status = data.draw(st.sampled_from([300, 400, 401, 404, 409, 413, 422, 500, 501, 555]))
    client = ScriptedServer(Answer(status, json.dumps(body))).client("user")

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(blocking, client)

    assert caught.value.status_code == status
    assert_told(caught.value)


@every_operation
@lean
@given(body=st.binary(max_size=60), status=st.sampled_from([200, 201, 302, 404, 500]))
@example(body=b"[]", status=200)
def test_any_bytes_are_an_api_error_or_are_read(
    operation: Operation, body: bytes, status: int
) -> None:
    client = ScriptedServer(Answer(status, body)).client("user")

    try:
        operation.call(blocking, client)
    except UpgradeApiError as error:
        assert_told(error)
    else:
        assert json.loads(body) is not None


# ---- Healthy items survive ----


@lean
@given(data=st.data())
def test_healthy_assignments_survive_any_neighbours(data: st.DataObject) -> None:
    healthy = [
        {
            **ASSIGNMENT,
            "site": f"a healthy site {number}",
            "target": target,
            "assignedCondition": [{**CONDITION, "conditionCode": f"code-{number}"}],
        }
        for number, target in enumerate(["banner", "", None])
    ]
    answer = data.draw(mixed(healthy, spoiled(ASSIGNMENT)))
    client = ScriptedServer(Answer(200, json.dumps(answer))).client("user")

    for number, target in enumerate(["banner", "", None]):
        assignment = client.get_decision_point_assignment_sync(f"a healthy site {number}", target)
        assert assignment is not None
        assert assignment.get_condition() == f"code-{number}"
        assert assignment.get_factor_level("color") == "red"
        assert assignment in client.get_all_experiment_conditions_sync()


@lean
@given(answer=mixed(["first", "second"], anything))
def test_healthy_flags_survive_any_neighbours_in_their_order(answer: list[Any]) -> None:
    client = ScriptedServer(Answer(200, json.dumps(answer))).client("user")

    flags = client.get_all_feature_flags_sync()

    texts = dict.fromkeys(key for key in answer if isinstance(key, str))
    assert flags == [FeatureFlag(key) for key in texts]
    assert client.has_feature_flag_sync("first")
    assert client.has_feature_flag_sync("second")


@lean
@given(data=st.data())
def test_healthy_log_records_survive_any_neighbours(data: st.DataObject) -> None:
    names = [f"healthy-{number}" for number in range(2)]
    records = [{**RECORD, "uniquifier": name} for name in names]
    answer = data.draw(mixed(records, spoiled(RECORD)))
    client = ScriptedServer(Answer(200, json.dumps(answer))).client("user")

    read: list[LogRecord] = client.log_sync([LogInput(STAMP, LogMetrics({"seconds": 1}))])

    healthy = [record for record in read if record.uniquifier in names]
    assert sorted(str(record.uniquifier) for record in healthy) == names
    assert all(record.data == {"seconds": 1} for record in healthy)


def assert_told(error: UpgradeApiError) -> None:
    """The error can be shown, and is no empty word."""
    assert error.message
    assert error.endpoint is not None
    assert error.endpoint in str(error)


def assert_readable(assignment: Assignment) -> None:
    """Everything that an assignment offers has the type that it promises."""
    repr(assignment)
    assert isinstance(assignment.get_condition(), str)
    assert isinstance(assignment.experiment_id, (str, type(None)))
    assert isinstance(assignment.condition_id, (str, type(None)))
    assert isinstance(assignment.get_experiment_type(), (str, type(None)))
    payloads = [assignment.get_payload()]
    for factor in assignment.factors:
        assert isinstance(assignment.get_factor_level(factor), str)
        payloads.append(assignment.get_factor_payload(factor))
    for payload in filter(None, payloads):
        assert isinstance(payload.type, str)
        assert isinstance(payload.value, str)
