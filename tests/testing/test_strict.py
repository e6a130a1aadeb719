"""A strict LocalUpgrade: what a real server drops in silence is an error."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.support_local import CONDITIONS, client, mark, post
from upgrade_client_lib.testing import LocalUpgrade


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade(strict=True)
    local.experiment("home", "banner", name="welcome", conditions=CONDITIONS)
    local.metric("totalTimeSeconds")
    client(local)
    return local


def logged(name: str) -> dict[str, Any]:
    metrics = {"attributes": {name: 1}}
    return {"value": [{"timestamp": "2026-11-20T08:00:00Z", "metrics": metrics}]}


def rewarded(context: str, target: str) -> dict[str, Any]:
    point = {"site": "home", "target": target}
    return {"rewardValue": "SUCCESS", "context": context, "decisionPoint": point}


def marked(site: str, target: str, code: str, **more: str) -> dict[str, Any]:
    condition = {"conditionCode": code}
    return {"data": {"site": site, "target": target, "assignedCondition": condition}, **more}


@pytest.mark.parametrize(
    ("endpoint", "body", "message"),
    [
        (
            "mark",
            marked("home", "baner", "control"),
            "no decision point home/baner; did you mean home/banner?",
        ),
        (
            "mark",
            marked("home", "banner", "controll"),
            "no condition of 'welcome': controll; did you mean control?",
        ),
        (
            "mark",
            marked("home", "banner", "control", context="my-ap"),
            "no context my-ap; did you mean my-app?",
        ),
        (
            "reward",
            rewarded("my-app", "baner"),
            "no decision point home/baner; did you mean home/banner?",
        ),
        ("reward", rewarded("my-ap", "banner"), "no context my-ap; did you mean my-app?"),
        ("assign", {"context": "my-apt"}, "no context my-apt; did you mean my-app?"),
        ("featureflag", {"context": "app"}, "no context app; did you mean my-app?"),
        (
            "log",
            logged("totalTimeSecond"),
            "no metric totalTimeSecond; did you mean totalTimeSeconds?",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(
    local: LocalUpgrade, endpoint: str, body: dict[str, Any], message: str
) -> None:
    answer = post(local, endpoint, body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert (local.marks, local.logs) == ((), ())


def test_what_is_known_is_answered_as_ever(local: LocalUpgrade) -> None:
    for endpoint, body in (
        ("mark", marked("home", "banner", "control", context="my-app")),
        ("assign", {"context": "my-app"}),
        ("log", logged("totalTimeSeconds")),
    ):
        assert post(local, endpoint, body).status_code == 200


def test_a_reward_that_goes_nowhere_is_refused_as_ever(local: LocalUpgrade) -> None:
    for body in (rewarded("my-app", "banner"), {"rewardValue": "SUCCESS", "experimentId": "x"}):
        assert post(local, "reward", body).status_code == 409


def test_a_point_without_target_and_an_empty_server_are_named_too() -> None:
    local = LocalUpgrade(strict=True)
    client(local)
    answer = mark(local, "home", "", None)
    assert answer.json()["message"] == "no decision point home; there is none at all"


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("total", "did you mean TOTAL?"),
        ("TIMESPEND", "did you mean timeSpent?"),
        ("zzz", "known: TOTAL, timeSpent"),
    ],
)
def test_the_nearest_name_is_looked_for_in_any_letter_case(name: str, question: str) -> None:
    local = LocalUpgrade(strict=True)
    for known in ("TOTAL", "timeSpent"):
        local.metric(known)
    client(local)
    assert post(local, "log", logged(name)).json()["message"] == f"no metric {name}; {question}"


def test_where_nothing_is_near_a_long_list_is_not_shown() -> None:
    local = LocalUpgrade(strict=True)
    for number in range(6):
        local.metric(f"metric{number}")
    client(local)
    assert post(local, "log", logged("zzz")).json()["message"] == "no metric zzz"


@pytest.mark.parametrize(
    ("known", "sent", "message"),
    [
        (
            ("home", "banner"),
            ("home/banner", ""),
            "no decision point ('home/banner', ''); did you mean home/banner?",
        ),
        (
            ("a", "b/c"),
            ("a/b", "c"),
            "no decision point ('a/b', 'c'); did you mean ('a', 'b/c')?",
        ),
    ],
)
def test_a_slash_does_not_make_another_point_known(
    known: tuple[str, str], sent: tuple[str, str], message: str
) -> None:
    local = LocalUpgrade(strict=True)
    local.experiment(*known, conditions=CONDITIONS)
    client(local)
    answer = mark(local, *sent, None)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert mark(local, *known, None).status_code == 200
    assert str(local.explain("u1", *sent)).endswith(message.partition("; ")[2])


def test_no_target_is_an_empty_one() -> None:
    local = LocalUpgrade(strict=True)
    local.experiment("home", None, conditions=CONDITIONS)
    client(local)
    assert mark(local, "home", "", None).status_code == 200
