"""LocalUpgrade's Python side: definitions and the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.testing.support_local import (
    CONDITIONS,
    bearer,
    client,
    codes,
    post,
)
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade, Payload

# Definitions


def test_the_same_definition_draws_the_same_in_every_server() -> None:
    first, second = LocalUpgrade(), LocalUpgrade()
    for local in (first, second):
        local.experiment("home", "banner", conditions=CONDITIONS)
        for number in range(50):
            client(local, f"u{number}")
    drawn = [codes(first, f"u{number}") for number in range(50)]
    assert drawn == [codes(second, f"u{number}") for number in range(50)]
    assert {head for one in drawn for head in one["home/banner"]} == set(CONDITIONS)


def test_weights_are_shares_of_whatever_they_sum_to() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions={"a": 1, "b": 2, "never": 0})
    assert [condition.weight for condition in experiment.conditions] == [
        pytest.approx(100 / 3),
        pytest.approx(200 / 3),
        0,
    ]
    for number in range(100):
        client(local, f"u{number}")
        assert codes(local, f"u{number}")["home/banner"] != ["never"]


def test_payloads_are_strings_or_json_and_differ_by_decision_point() -> None:
    local = LocalUpgrade()
    local.experiment(
        "home",
        "banner",
        conditions=["only"],
        payloads={"only": {"title": "Hi"}},
        points={
            ("home", "footer"): {"only": "Bye"},
            ("home", "side"): {"only": Payload("csv", "a,b")},
            ("home", "none"): {},
        },
    )
    user = client(local)
    payloads = {
        target: assignment.get_payload() if assignment else None
        for target in ("banner", "footer", "side", "none")
        for assignment in [user.get_decision_point_assignment_sync("home", target)]
    }
    assert [payload and (payload.type, payload.value) for payload in payloads.values()] == [
        ("json", '{"title": "Hi"}'),
        ("string", "Bye"),
        ("csv", "a,b"),
        None,
    ]


def test_payloads_hold_at_further_points_that_have_none_of_their_own() -> None:
    local = LocalUpgrade()
    experiment = local.experiment(
        "home",
        "banner",
        conditions=["only"],
        payloads={"only": "Hi"},
        points=[("home", "footer"), ("away", None)],
    )
    assert [(point.site, point.target) for point in experiment.points] == [
        ("home", "banner"),
        ("home", "footer"),
        ("away", None),
    ]
    assert all(point.payloads["only"].value == "Hi" for point in experiment.points)


def test_a_factorial_experiment_has_every_combination_of_its_levels() -> None:
    local = LocalUpgrade()
    local.experiment(
        "page",
        "layout",
        factors={"color": {"red": "#f00", "blue": ""}, "shape": ["circle", "square"]},
        unit="within-subjects",
        order="ordered round robin",
    )
    client(local)
    (item,) = post(local, "assign", {"context": "my-app"}).json()
    assert item["experimentType"] == "Factorial"
    assert codes(local)["page/layout"] == [
        "color=red; shape=circle",
        "color=red; shape=square",
        "color=blue; shape=circle",
        "color=blue; shape=square",
    ]
    assert item["assignedFactor"][1:3] == [
        {
            "color": {"level": "red", "payload": {"type": "string", "value": "#f00"}},
            "shape": {"level": "square", "payload": None},
        },
        {
            "color": {"level": "blue", "payload": None},
            "shape": {"level": "circle", "payload": None},
        },
    ]


def test_a_factorial_experiment_may_name_some_combinations() -> None:
    experiment = LocalUpgrade().experiment(
        "page",
        "layout",
        factors={"color": ["red", "blue"], "shape": ["circle", "square"]},
        conditions={"color=red; shape=circle": 30, "color=blue; shape=square": 70},
    )
    assert [condition.code for condition in experiment.conditions] == [
        "color=red; shape=circle",
        "color=blue; shape=square",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"conditions": {"a": -1, "b": 2}}, "weights: -1 of 'a'"),
        ({"conditions": {"a": float("nan")}}, "weights: nan of 'a'"),
        ({"conditions": {"a": 0}}, "weights: they sum to 0"),
        ({"conditions": {"a": True}}, "weights: True of 'a'"),
        ({}, "conditions: give at least one, or factors"),
        ({"conditions": []}, "conditions: give at least one, or factors"),
        ({"conditions": {}}, "conditions: give at least one, or factors"),
        ({"factors": {"color": []}}, "conditions: give at least one, or factors"),
        ({"conditions": ["a", "a"]}, "conditions: a code occurs more than once"),
        ({"conditions": ["a", ""]}, "conditions: a condition code must not be empty"),
        ({"conditions": ["a"], "payloads": {"b": "x"}}, "payloads: there is no condition 'b'"),
        ({"conditions": ["a"], "points": [("home", "banner")]}, "points: .* more than once"),
        ({"conditions": ["a"], "points": [("", "x")]}, "points: a site must not be empty"),
        ({"conditions": ["a"], "unit": "class"}, "unit: 'class' is not one of individual"),
        ({"conditions": ["a"], "unit": "group"}, "group_type: a group experiment needs"),
        ({"conditions": ["a"], "group_type": "class"}, "group_type: only group experiments"),
        ({"conditions": ["a"], "order": "random"}, "order: only within-subjects"),
        ({"conditions": ["a"], "unit": "within-subjects", "order": "odd"}, "order: 'odd'"),
        ({"conditions": ["a"], "state": "on"}, "state: 'on' is not one of inactive"),
        ({"conditions": ["a"], "context": ""}, "context: must not be empty"),
        ({"conditions": ["a"], "id": ""}, "id: must not be empty"),
        ({"conditions": ["a"], "unit": "within-subjects", "adaptive": True}, "adaptive: "),
        ({"conditions": ["a"], "factors": {"color": ["red"]}}, "factors: 'a' is not a combin"),
    ],
)
def test_a_definition_that_does_not_add_up_names_the_experiment_and_the_field(
    arguments: dict[str, Any], complaint: str
) -> None:
    local = LocalUpgrade()
    with pytest.raises(ValueError, match=rf"experiment 'broken': ({complaint})"):
        local.experiment("home", "banner", name="broken", **arguments)
    assert local.experiments == ()


@pytest.mark.parametrize(
    "arguments",
    [
        {"conditions": "control"},
        {"conditions": ["a"], "payloads": {"a": object()}},
        {"conditions": ["a"], "points": ["home"]},
        {"conditions": ["a"], "include_users": "u1"},
        {"conditions": ["a"], "include": {"class": "class-1"}},
    ],
)
def test_a_string_where_a_list_belongs_is_a_type_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        LocalUpgrade().experiment("home", "banner", **arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"site": 5}, "experiment 'broken': site"),
        ({"target": 5}, "experiment 'broken': target"),
        ({"name": 5}, "experiment 5: name"),
        ({"name": None, "context": None}, "an experiment's context"),
        ({"id": 5}, "experiment 'broken': id"),
        ({"unit": "group", "group_type": 5}, "experiment 'broken': group_type"),
        ({"conditions": [1, 2]}, "experiment 'broken': conditions: a code"),
        ({"points": [("home", 5)]}, "experiment 'broken': points: a site or target"),
        ({"payloads": {"a": Payload("string", 5)}}, "experiment 'broken': payload of 'a'"),  # type: ignore[arg-type]
        ({"factors": {5: ["red"]}}, "experiment 'broken': factors: a factor"),
        ({"factors": {"color": "red"}}, "experiment 'broken': factors: 'color'"),
        ({"factors": {"color": [5]}}, "experiment 'broken': factors: a level of 'color'"),
        ({"factors": {"color": {"red": 5}}}, "experiment 'broken': factors: payload of 'red'"),
        ({"factors": {"color": {"red": {}}}}, "experiment 'broken': factors: payload of 'red'"),
        ({"exclude_users": [5]}, "a user id"),
        ({"exclude": {"class": [5]}}, "one of the 'class' groups"),
        ({"include": {5: ["class-1"]}}, "a group type"),
    ],
)
def test_what_is_not_text_where_text_belongs_is_a_type_error(
    arguments: dict[str, Any], complaint: str
) -> None:
    local = LocalUpgrade()
    given: dict[str, Any] = {"site": "home", "name": "broken", "conditions": ["a"], **arguments}
    if "factors" in given:
        del given["conditions"]
    with pytest.raises(TypeError, match=f"^{complaint} must "):
        local.experiment(**given)
    assert local.experiments == ()


def test_half_a_surrogate_pair_is_refused_before_it_could_be_sent() -> None:
    local, half = LocalUpgrade(), "home\ud800"
    definitions: list[Callable[[], object]] = [
        lambda: local.experiment(half, conditions=["a"]),
        lambda: local.experiment("home", half, conditions=["a"]),
        lambda: local.experiment("home", conditions=[half]),
        lambda: local.experiment("home", conditions=["a"], payloads={"a": half}),
        lambda: local.experiment("home", conditions=["a"], payloads={"a": [half]}),
        lambda: local.experiment("home", factors={"color": {"red": half}}),
        lambda: local.flag(half),
        lambda: local.metric(half),
        lambda: local.context(half),
    ]
    for define in definitions:
        with pytest.raises(ValueError, match="must not hold half a surrogate pair: ") as raised:
            define()
        assert not isinstance(raised.value, UnicodeError)
    assert (local.experiments, local.flags) == ((), ())


def test_a_payload_that_json_has_no_value_for_is_refused() -> None:
    payloads = {"a": [float("nan")]}
    with pytest.raises(ValueError, match=r"experiment 'home': payload of 'a': \[nan\] is not JSON"):
        LocalUpgrade().experiment("home", conditions=["a"], payloads=payloads)


def test_the_state_of_an_experiment_of_another_server_cannot_be_set() -> None:
    experiment = LocalUpgrade().experiment("home", "banner", conditions=CONDITIONS)
    with pytest.raises(ValueError, match="experiment 'home/banner' is not one of this server's"):
        LocalUpgrade().set_state(experiment, "enrollmentComplete")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"include": "x"}, "include must be lists of groups by group type, not 'x'"),
        ({"exclude": ["x"]}, r"exclude must be lists of groups by group type, not \['x'\]"),
        ({"include": {"class": "x"}}, "include: the 'class' groups must be a list, not 'x'"),
        ({"include_users": "u1"}, "include_users must be a list, not 'u1'"),
        ({"exclude_users": 5}, "exclude_users must be a list, not 5"),
        ({"include": {5: ["x"]}}, "a group type must be a string, not 5"),
    ],
)
def test_lists_of_users_and_groups_are_named_where_they_are_none(
    arguments: dict[str, Any], complaint: str
) -> None:
    local = LocalUpgrade()
    with pytest.raises(TypeError, match=complaint):
        local.experiment("home", "banner", conditions=["only"], **arguments)
    with pytest.raises(TypeError, match=complaint):
        local.flag("new-dashboard", **arguments)
    assert (local.experiments, local.flags) == ((), ())


def test_names_of_contexts_group_types_and_categories_come_in_lists() -> None:
    with pytest.raises(TypeError, match="contexts must be a list"):
        LocalUpgrade(contexts="my-app")
    with pytest.raises(TypeError, match="group_types must be a list"):
        LocalUpgrade().context("my-app", group_types="class")
    with pytest.raises(TypeError, match="metric 'time': contexts must be a list, not 'my-app'"):
        LocalUpgrade().metric("time", contexts="my-app")
    with pytest.raises(TypeError, match="metric 'time': allowed must be a list, not 'long'"):
        LocalUpgrade().metric("time", allowed="long")


def test_names_ids_and_flag_keys_are_taken_once() -> None:
    local = LocalUpgrade()
    first = local.experiment("home", "banner", conditions=CONDITIONS)
    second = local.experiment("home", "banner", conditions=CONDITIONS)
    assert (first.name, second.name) == ("home/banner", "home/banner 2")
    with pytest.raises(ValueError, match="'home/banner': name: context 'my-app' has one"):
        local.experiment("x", "y", name="home/banner", conditions=CONDITIONS)
    with pytest.raises(ValueError, match=r"'other': id: .* is taken"):
        local.experiment("x", "y", name="other", id=first.id, conditions=CONDITIONS)
    local.flag("new")
    with pytest.raises(ValueError, match="flag 'new': key"):
        local.flag("new")


def test_a_context_limits_the_group_types_of_its_experiments() -> None:
    local = LocalUpgrade()
    local.context("school-app", group_types=["class", "school"])
    with pytest.raises(ValueError, match="group_type: 'team' is not one of context 'school-app'"):
        local.experiment(
            "home",
            context="school-app",
            unit="group",
            group_type="team",
            conditions=CONDITIONS,
        )


@pytest.mark.parametrize(
    "arguments", [{"server": "5.0"}, {"token_secret": "secret"}, {"api_key": "key"}]
)
def test_a_server_that_does_not_exist_is_a_value_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"server|together"):
        LocalUpgrade(**arguments)


# The transport


def test_one_transport_serves_sync_and_async_clients() -> None:
    local = LocalUpgrade()
    local.flag("new")

    async def keys() -> list[str]:
        async with UpgradeClient(
            "u1", "http://upgrade.local", "my-app", transport=local.transport
        ) as user:
            await user.init()
            return [flag.key for flag in await user.get_all_feature_flags()]

    assert asyncio.run(keys()) == ["new"]
    assert [flag.key for flag in client(local).get_all_feature_flags_sync()] == ["new"]


@pytest.mark.parametrize("user_id", [" u1", "u1 ", "u\n1", "u\x001"])
def test_a_header_that_cannot_travel_is_refused_as_httpx_would(user_id: str) -> None:
    with (
        httpx.Client(transport=LocalUpgrade().transport) as http,
        pytest.raises(httpx.LocalProtocolError),
    ):
        http.post("http://upgrade.local/api/v6/init", headers={"User-Id": user_id}, json={})


def test_every_answer_has_a_request_id_of_its_own() -> None:
    local = LocalUpgrade()
    answers = [post(local, "init", {}), post(local, "assign", {}), post(local, "nope", {})]
    assert [answer.status_code for answer in answers] == [200, 400, 404]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


@pytest.mark.parametrize("given", [None, bearer({"APIKey": "key"})[len("Bearer ") :]])
def test_a_good_token_is_taken_where_tokens_are_checked(given: str | None) -> None:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    token = local.token if given is None else given
    user = UpgradeClient(
        "u1", "http://upgrade.local", "my-app", token=token, transport=local.transport
    )
    assert user.init_sync().id == "u1"


def test_a_server_that_checks_no_tokens_gives_none() -> None:
    assert LocalUpgrade().token == ""
