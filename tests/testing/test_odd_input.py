"""Odd input that a client could send by mistake, answered as the real server does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.testing.support_local import CONDITIONS, client, mark, post
from upgrade_client_lib.testing import LocalUpgrade

NUL = 'invalid byte sequence for encoding "UTF8": 0x00'


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    client(local)
    return local


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"experimentId": 5}, "(userId: u1, experimentId: 5, rewardValue: SUCCESS)."),
        ({"experimentId": ["x", None]}, "(userId: u1, experimentId: x,, rewardValue: SUCCESS)."),
        (
            {"experimentId": {"a": 1}},
            "(userId: u1, experimentId: [object Object], rewardValue: SUCCESS).",
        ),
        (
            {"context": True, "decisionPoint": {"site": None}},
            "(context: true, site: null, target: undefined), could not send reward.",
        ),
    ],
)
def test_a_reward_does_not_look_at_types(
    local: LocalUpgrade, body: dict[str, Any], message: str
) -> None:
    answer = post(local, "reward", {"rewardValue": "SUCCESS", **body})
    assert answer.status_code == 409
    assert answer.json()["message"].endswith(message)


def test_a_nul_character_in_a_context_or_an_alias_fails(local: LocalUpgrade) -> None:
    for answer in (
        post(local, "assign", {"context": "a\0b"}),
        post(local, "useraliases", {"aliases": ["a\0b"]}, method="PATCH"),
    ):
        assert (answer.status_code, answer.json()["message"]) == (500, NUL)


@pytest.mark.parametrize(
    ("data", "status"),
    [("[]", 500), ('[{"site": "home", "target": "banner"}]', 500), ("[{}]", 400), ("[5]", 400)],
)
def test_a_list_of_marks_has_no_site(local: LocalUpgrade, data: str, status: int) -> None:
    assert post(local, "mark", {"data": json.loads(data)}).status_code == status


@pytest.mark.parametrize(
    ("session", "status"),
    [
        ({"groupsForSession": None, "includeStoredUserGroups": True}, 200),
        ({"groupsForSession": None, "includeStoredUserGroups": False}, 200),
        ({"groupsForSession": None}, 200),
        ({"includeStoredUserGroups": True}, 400),
        ({"groupsForSession": {}}, 400),
    ],
)
def test_null_session_groups_are_none(
    local: LocalUpgrade, session: dict[str, Any], status: int
) -> None:
    assert post(local, "featureflag", {"context": "my-app", **session}).status_code == status


def test_a_mark_of_who_is_excluded_by_group_fails_without_a_working_group() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS, exclude={"class": ["closed"]})
    client(local, group={"class": ["closed"]})
    answer = mark(local, "home", "banner", None)
    assert (answer.status_code, answer.json()["name"]) == (500, "TypeError")
    client(local, group={"class": ["closed"]}, working_group={})
    assert mark(local, "home", "banner", None).status_code == 200


def test_an_adaptive_experiment_is_marked_with_its_codes_alone() -> None:
    local = LocalUpgrade()
    local.experiment(
        "lesson", "hint", conditions=["a", "b"], payloads={"a": "Try it."}, adaptive=True
    )
    client(local)
    for condition in (None, "Try it."):
        answer = mark(local, "lesson", "hint", condition)
        assert (answer.status_code, answer.json()["name"]) == (500, "MoocletError")
    assert mark(local, "lesson", "hint", None, status="condition not applied").status_code == 200
    assert mark(local, "lesson", "hint", "a").status_code == 200


def test_a_condition_with_one_factor_is_its_payload() -> None:
    local = LocalUpgrade()
    local.experiment("one", "x", factors={"tone": {"warm": "w!"}})
    local.experiment("one", "y", factors={"tone": ["cold"]})
    client(local)
    answer = post(local, "assign", {"context": "my-app"}).json()
    sent = [item["assignedCondition"][0]["conditionCode"] for item in answer]
    assert sent == [{"type": "string", "value": "w!"}, {"type": "string", "value": ""}]


def log_of(name: str, uniquifier: str = "x", metric: str = "points") -> tuple[LocalUpgrade, object]:
    """A server with a user of this name, and the body of a log call for a grouped metric."""
    local = LocalUpgrade()
    local.metric(metric, group_class="quiz", group_key="first")
    client(local, name)
    group = {"groupClass": "quiz", "groupKey": "first", "groupUniquifier": uniquifier}
    metrics = {"groupedMetrics": [{**group, "attributes": {metric: 1}}]}
    return local, {"value": [{"timestamp": "2026-11-20T08:00:00Z", "metrics": metrics}]}


@pytest.mark.parametrize(
    ("name", "uniquifier", "metric"),
    [("o'brien", "x", "points"), ("u1", "o'x", "points"), ("u1", "x", "o'points")],
)
def test_a_log_fails_where_an_id_holds_an_apostrophe(
    name: str, uniquifier: str, metric: str
) -> None:
    local, body = log_of(name, uniquifier, metric)
    answer = post(local, "log", body, name)
    assert (answer.status_code, answer.json()["name"]) == (500, "QueryFailedError")
    assert local.logs == ()


def test_a_log_of_metrics_that_are_not_queried_takes_an_apostrophe() -> None:
    local, _ = log_of("o'brien")
    metrics = {"attributes": {"unknown": 1}}
    body = {"value": [{"timestamp": "2026-11-20T08:00:00Z", "metrics": metrics}]}
    assert post(local, "log", body, "o'brien").json() == []


def test_two_apostrophes_are_logged_and_never_found_again() -> None:
    local, body = log_of("u''1")
    first, second = (post(local, "log", body, "u''1").json() for _ in range(2))
    assert [row["id"] for row in first + second] == [1, 2]
    assert all("user" in row for row in first + second)


def test_a_logged_metric_has_a_name(local: LocalUpgrade) -> None:
    metrics = {"attributes": {"": 1}}
    body = {"value": [{"timestamp": "2026-11-20T08:00:00Z", "metrics": metrics}]}
    assert post(local, "log", body).status_code == 400


def test_a_row_is_not_updated_by_seconds_since_1970(local: LocalUpgrade) -> None:
    local.metric("time")
    answers: list[Any] = []
    for timestamp in ("1732089600", "1732089601", "2026-11-20T08:00:00Z", "1732089602"):
        entry = {"timestamp": timestamp, "metrics": {"attributes": {"time": 1}}}
        answers.append(post(local, "log", {"value": [entry]}).json())
    assert [len(rows) for rows in answers] == [1, 0, 1, 0]
    assert [log.stored for log in local.logs] == [True, False, True, False]
