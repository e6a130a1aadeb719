"""The spec says what a real server was recorded to do: which bodies it takes, what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml
from openapi_spec_validator import validate

from tests.support_spec import HERE, OPERATIONS, SCHEMAS, SPEC, YAML_LOADER, resolve, schema_of

# Bodies that the server takes and the spec refuses, by why it is the stricter of the two.
STRICTER = {
    "a list is no init request, although the server reads it as an empty one": {
        "init_json_array_of_objects",
    },
    "ignored keys, among them what other clients echo from an assignment": {
        "featureflag_key_in_body",
        "groupmembership_extra_id",
        "log_extra_userId",
        "mark_extra_fields",
        "mark_python_client_body",
        "mark_simple_full",
        "reward_extra_fields",
        "within_factorial_mark",
        "within_ordered-round-robin_mark_0",
        "within_ordered-round-robin_mark_1",
        "within_random-round-robin_mark_0",
        "within_random-round-robin_mark_1",
        "within_random_mark_1",
        "within_random_mark_2",
    },
    "a marked condition is an object, although the server shrugs at a list": {
        "mark_assigned_condition_list",
    },
    "null where leaving the key out says the same": {
        "featureflag_groups_null",
        "reward_experimentId_null_with_dp",
    },
    "aliases that the server accepts and that help nobody: repeated or empty": {
        "useraliases_duplicates",
        "useraliases_empty_string",
    },
}


class Exchange(NamedTuple):
    """One recorded request and its answer; a body that is not JSON is kept as None."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    request: Any
    status: int
    answer: Any
    answer_text: str

    @property
    def operation(self) -> dict[str, Any]:
        return OPERATIONS[self.method, self.path]

    @property
    def body_was_read(self) -> bool:
        json_body = self.headers.get("content-type", "").startswith("application/json")
        return json_body and self.request is not None

    @property
    def body_was_refused(self) -> bool:
        return self.status == 400 and self.answer["message"].startswith("Invalid body")


def recorded_singly() -> Iterator[Exchange]:
    for file in sorted((HERE / "recordings" / "exchanges").glob("*.json")):
        recorded = json.loads(file.read_text(encoding="utf-8"))
        request, response = recorded["request"], recorded["response"]
        yield Exchange(
            recorded["name"],
            request["method"],
            request["path"],
            {name.lower(): value for name, value in request["headers"]},
            request["body_json"],
            response["status"],
            response["body_json"],
            response.get("body_text", ""),
        )


def recorded_in_flows() -> Iterator[Exchange]:
    for file in sorted((HERE / "cassettes").glob("*.yaml")):
        cassette = yaml.load(file.read_bytes(), Loader=YAML_LOADER)
        for number, interaction in enumerate(cassette["interactions"]):
            request, response = interaction["request"], interaction["response"]
            yield Exchange(
                f"{file.stem}-{number}",
                request["method"],
                urlsplit(str(request["uri"])).path,
                {name.lower(): values[0] for name, values in request["headers"].items()},
                json.loads(request["body"]),
                response["status"]["code"],
                json.loads(response["body"]["string"]),
                "",
            )


EXCHANGES = [
    exchange
    for exchange in (*recorded_singly(), *recorded_in_flows())
    if (exchange.method, exchange.path) in OPERATIONS
]
STRICTER_NAMES = {name for names in STRICTER.values() for name in names}


def complaints(schema: dict[str, Any], value: Any) -> list[str]:
    """Say what the schema has against the value: nothing if they agree."""
    whole = {**schema, "components": SPEC["components"]}
    return [str(error) for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(value)]


def bodies_of(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The body of the request, where it has one, and those of the answers."""
    bodies = {"request": operation.get("requestBody"), **operation["responses"]}
    return {where: body for where, body in bodies.items() if body is not None}


def examples() -> Iterator[Any]:
    media = [
        (f"{operation['operationId']}-{where}", resolve(node)["content"]["application/json"])
        for operation in OPERATIONS.values()
        for where, node in bodies_of(operation).items()
        if "content" in resolve(node)
    ]
    for where, content in media:
        for name, example in content.get("examples", {}).items():
            yield pytest.param(content["schema"], example["value"], id=f"{where}-{name}")


def request_schemas() -> set[str]:
    """Name the object schemas with fixed keys that requests are made of."""
    found: set[str] = set()
    bodies = [bodies_of(operation).get("request") for operation in OPERATIONS.values()]
    unread = [schema_of(body) for body in bodies if body is not None]
    while unread:
        named = re.findall(r"#/components/schemas/(\w+)", json.dumps(unread.pop()))
        unread += [SCHEMAS[name] for name in named if name not in found]
        found.update(named)
    return {name for name in found if "properties" in SCHEMAS[name]}


def test_spec_is_valid_openapi() -> None:
    validate(SPEC)


RECORDED = {
    ("POST", "/api/v6/init"): "init",
    ("PATCH", "/api/v6/groupmembership"): "set_group_membership",
    ("PATCH", "/api/v6/workinggroup"): "set_working_group",
    ("PATCH", "/api/v6/useraliases"): "set_user_aliases",
    ("POST", "/api/v6/assign"): "assign",
    ("POST", "/api/v6/mark"): "mark",
    ("POST", "/api/v6/featureflag"): "feature_flags",
    ("POST", "/api/v6/log"): "log",
    ("POST", "/api/v6/reward"): "reward",
}


def test_spec_has_the_operations_that_a_real_server_was_recorded_with() -> None:
    described = {key: operation["operationId"] for key, operation in OPERATIONS.items()}
    assert RECORDED.items() <= described.items()


def test_each_of_them_has_a_recorded_success() -> None:
    recorded = {e.operation["operationId"] for e in EXCHANGES if e.status == 200}
    assert recorded == set(RECORDED.values())


@pytest.mark.parametrize(
    "operation", [pytest.param(o, id=o["operationId"]) for o in OPERATIONS.values()]
)
def test_operation_takes_the_four_headers_and_needs_only_the_user(
    operation: dict[str, Any],
) -> None:
    headers = [resolve(parameter) for parameter in operation["parameters"]]
    assert {header["name"]: header.get("required", False) for header in headers} == {
        "User-Id": True,
        "Session-Id": False,
        "Client-Context": False,
        "Client-Version": False,
    }


def test_requests_are_closed_and_answers_open() -> None:
    closed = {
        name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False
    }
    assert closed == request_schemas()


@pytest.mark.parametrize(("schema", "value"), list(examples()))
def test_example_follows_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert complaints(schema, value) == []


@pytest.mark.parametrize(
    "exchange",
    # The recording of the long condition keeps only the beginning of the answer.
    [e for e in EXCHANGES if e.name != "mark_long_condition"],
    ids=attrgetter("name"),
)
def test_recorded_answer_follows_the_spec(exchange: Exchange) -> None:
    answer = resolve(exchange.operation["responses"][str(exchange.status)])
    if "content" not in answer:
        assert (exchange.answer, exchange.answer_text) == (None, "")
    else:
        assert complaints(schema_of(answer), exchange.answer) == []


@pytest.mark.parametrize(
    "exchange",
    [e for e in EXCHANGES if e.status == 200 and e.body_was_read],
    ids=attrgetter("name"),
)
def test_body_that_the_server_took_follows_the_spec(exchange: Exchange) -> None:
    found = complaints(schema_of(exchange.operation["requestBody"]), exchange.request)
    assert bool(found) == (exchange.name in STRICTER_NAMES), found


@pytest.mark.parametrize(
    "exchange",
    [e for e in EXCHANGES if e.body_was_refused],
    ids=attrgetter("name"),
)
def test_body_that_the_server_refused_breaks_the_spec(exchange: Exchange) -> None:
    assert complaints(schema_of(exchange.operation["requestBody"]), exchange.request)


def test_list_of_stricter_bodies_names_recordings() -> None:
    assert {e.name for e in EXCHANGES if e.status == 200} >= STRICTER_NAMES


ANSWERS_TO_COME: list[tuple[str, dict[str, Any]]] = [
    ("DecisionPointAssignment", {"site": "s", "assignedCondition": [{}], "new": 1}),
    (
        "DecisionPointAssignment",
        {"site": "s", "target": None, "experimentType": "Unheard", "assignedCondition": []},
    ),
    ("AssignedCondition", {"conditionCode": None, "payload": {"type": "xml", "value": "<a>"}}),
    ("LogRecord", {"id": 1, "uniquifier": "", "timeStamp": "", "data": {}, "metrics": [None]}),
    ("RewardAnswer", {"message": "sent"}),
]


@pytest.mark.parametrize(("name", "answer"), ANSWERS_TO_COME)
def test_answers_may_grow(name: str, answer: dict[str, Any]) -> None:
    assert complaints(SCHEMAS[name], answer) == []


WRONG_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("AssignRequest", {"context": "my-app", "userId": "u"}),
    ("MarkRequest", {"data": {"site": "s", "target": "t"}, "status": "shown"}),
    ("MarkedCondition", {"conditionCode": ""}),
    ("FeatureFlagsRequest", {"context": "my-app", "groupsForSession": {}}),
    ("LogAttributes", {"metric": None}),
    ("LogAttributes", {"metric": ""}),
    ("RewardRequest", {"rewardValue": "SUCCESS", "decisionPoint": {"site": "s", "target": ""}}),
]


@pytest.mark.parametrize(("name", "body"), WRONG_BODIES)
def test_requests_may_not_grow_or_be_vague(name: str, body: dict[str, Any]) -> None:
    assert complaints(SCHEMAS[name], body)
