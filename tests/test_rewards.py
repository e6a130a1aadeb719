"""Rewards for adaptive experiments; rewards and statuses may be given as their strings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_exchanges import HOST, Answer, ScriptedServer, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    ConflictError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeClient,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import (
    BinaryRewardValue,
    DecisionPoint,
    MarkedDecisionPointStatus,
    Reward,
    RewardResponse,
)

SUCCESS, FAILURE = UpgradeClient.BINARY_REWARD_VALUE
STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS
ACCEPTED = Answer(200, {"message": "Reward sent to mooclet successfully.", "request": {}})
EXPERIMENT_ID = "a4be12c2-f123-5443-bec1-19de6a300e15"


# ---- What is sent, and what the answer becomes ----


@both_forms
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("reward_ok_by_id", {"reward_value": SUCCESS, "experiment_id": EXPERIMENT_ID}),
        ("reward_ok_failure", {"reward_value": FAILURE, "experiment_id": EXPERIMENT_ID}),
        (
            "reward_ok_by_decision_point",
            {"reward_value": SUCCESS, "decision_point": DecisionPoint("adapt", "hint")},
        ),
        (
            "reward_ok_by_decision_point",
            {
                "reward_value": "SUCCESS",
                "context": "my-app",
                "decision_point": {"site": "adapt", "target": "hint"},
            },
        ),
    ],
)
def test_a_reward_is_sent_and_its_answer_kept(
    call: Form, name: str, arguments: dict[str, Any]
) -> None:
    client, server, recorded = playing(name)

    answer = call(client.send_reward, **arguments)

    assert (server.only.method, server.only.path) == ("POST", "/api/v6/reward")
    assert server.only.json == recorded.body
    body: Any = recorded.answer.body
    assert answer == RewardResponse(body["message"], body["request"], Reward(**body["reward"]))


@both_forms
def test_newer_servers_leave_the_reward_out(call: Form) -> None:
    local = LocalUpgrade(server="6.7")
    client = enrolled(call, local)

    answer = call(client.send_reward, SUCCESS, decision_point=DecisionPoint("adapt", "hint"))

    assert answer.reward is None
    assert answer.request["rewardValue"] == "SUCCESS"
    assert [reward.value for reward in local.rewards] == ["SUCCESS"]


@both_forms
def test_the_documented_positions(call: Form) -> None:
    server = ScriptedServer(ACCEPTED)
    point = DecisionPoint("adapt", "hint")

    call(server.client().send_reward, FAILURE, "experiment", "other-app", point)

    assert server.only.json == {
        "rewardValue": "FAILURE",
        "experimentId": "experiment",
        "context": "other-app",
        "decisionPoint": {"site": "adapt", "target": "hint"},
    }


@both_forms
def test_a_decision_point_without_a_context_means_the_clients(call: Form) -> None:
    server = ScriptedServer(ACCEPTED)

    call(server.client(context="big-app").send_reward, SUCCESS, decision_point=DecisionPoint("s"))

    assert server.only.json == {
        "rewardValue": "SUCCESS",
        "context": "big-app",
        "decisionPoint": {"site": "s", "target": ""},
    }


@both_forms
def test_an_experiment_alone_goes_out_without_a_context(call: Form) -> None:
    server = ScriptedServer(ACCEPTED)

    call(server.client().send_reward, SUCCESS, "experiment")

    assert server.only.json == {"rewardValue": "SUCCESS", "experimentId": "experiment"}


@both_forms
@pytest.mark.parametrize(
    "point",
    [
        DecisionPoint("s"),
        DecisionPoint("s", None),  # type: ignore[arg-type]
        {"site": "s"},
        {"site": "s", "target": None},
        {"site": "s", "target": ""},
    ],
)
def test_no_target_goes_out_as_an_empty_one(call: Form, point: Any) -> None:
    server = ScriptedServer(ACCEPTED)

    call(server.client().send_reward, SUCCESS, decision_point=point)

    assert server.only.json["decisionPoint"] == {"site": "s", "target": ""}


@both_forms
def test_each_reward_counts(call: Form) -> None:
    local = LocalUpgrade()
    client = enrolled(call, local)
    point = DecisionPoint("adapt", "hint")

    for value in ("SUCCESS", FAILURE, "SUCCESS"):
        assert call(client.send_reward, value, decision_point=point).reward is not None

    assert [reward.value for reward in local.rewards] == ["SUCCESS", "FAILURE", "SUCCESS"]


# ---- What the server refuses ----


@both_forms
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reward_unknown_experiment", ConflictError),
        ("reward_non_adaptive_experiment", ConflictError),
        ("reward_unknown_decision_point", ConflictError),
        ("reward_dp_empty_target_unmarked", ConflictError),
        ("reward_mooclets_disabled", BadRequestError),
        ("reward_not_initialised", UserNotInitializedError),
    ],
)
def test_a_reward_that_fits_nothing_is_an_error_with_the_servers_words(
    call: Form, name: str, kind: type[UpgradeApiError]
) -> None:
    client, server, recorded = playing(name)
    point = recorded.body.get("decisionPoint")
    experiment_id = recorded.body.get("experimentId")

    with pytest.raises(kind) as caught:
        call(client.send_reward, "SUCCESS", experiment_id, None, point)

    body: Any = recorded.answer.body
    assert server.only.json == recorded.body
    assert caught.value.message.startswith(body["message"])
    assert caught.value.error_type == body["type"]


@both_forms
def test_a_reward_before_the_mark_is_a_conflict(call: Form) -> None:
    local = adaptive(LocalUpgrade())
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)

    with pytest.raises(ConflictError):
        call(client.send_reward, SUCCESS, decision_point=DecisionPoint("adapt", "hint"))

    assert local.rewards == ()


# ---- Wrong arguments and odd answers ----


@both_forms
@pytest.mark.parametrize(
    ("arguments", "kind", "named"),
    [
        ({}, ValueError, "an experiment_id or a decision_point"),
        ({"context": "my-app"}, ValueError, "an experiment_id or a decision_point"),
        ({"experiment_id": ""}, ValueError, "experiment_id must not be empty"),
        ({"experiment_id": 5}, TypeError, "experiment_id must be a string, not int"),
        ({"experiment_id": "e", "context": ""}, ValueError, "context must not be empty"),
        ({"decision_point": "adapt"}, TypeError, "decision_point must be a DecisionPoint, not str"),
        (
            {"decision_point": ("adapt", "hint")},
            TypeError,
            "must be a DecisionPoint",
        ),
        ({"decision_point": {}}, TypeError, "site must be a string, not None"),
        ({"decision_point": {"site": ""}}, ValueError, "site must not be empty"),
        ({"decision_point": {"target": "hint"}}, TypeError, "site must be a string"),
        ({"decision_point": {"site": "s", "target": 5}}, TypeError, "target must be a string"),
        ({"decision_point": {"site": "s", "point": "p"}}, ValueError, "no 'point'"),
        ({"decision_point": DecisionPoint("")}, ValueError, "site must not be empty"),
        (
            {"decision_point": DecisionPoint("s"), "context": 5},
            TypeError,
            "context must be a string, not int",
        ),
    ],
)
def test_a_reward_that_says_too_little_is_refused_before_anything_is_sent(
    call: Form, arguments: dict[str, Any], kind: type[Exception], named: str
) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises(kind, match=named):
        call(server.client().send_reward, SUCCESS, **arguments)

    assert server.sent == []


@both_forms
@pytest.mark.parametrize("value", ["success", "MAYBE", "", "condition applied"])
def test_an_unknown_reward_is_refused_with_the_known_ones(call: Form, value: str) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises(ValueError, match="one of 'SUCCESS', 'FAILURE', not "):
        call(server.client().send_reward, value, "experiment")

    assert server.sent == []


@both_forms
@pytest.mark.parametrize("value", [1, True, None, STATUS.CONDITION_APPLIED])
def test_a_reward_of_another_type_is_refused(call: Form, value: Any) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises((TypeError, ValueError), match="reward_value must be"):
        call(server.client().send_reward, value, "experiment")

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"message": "ok"}, RewardResponse("ok")),
        ({"message": "ok", "request": None, "reward": None}, RewardResponse("ok")),
        ({"message": "ok", "request": [], "more": 1}, RewardResponse("ok")),
        (
            {"message": "ok", "reward": {"value": 1}},
            RewardResponse("ok", None, Reward(None, 1, None, None, None)),
        ),
        (
            {"message": "ok", "reward": {"variable": None, "value": True, "mooclet": "7"}},
            RewardResponse("ok", None, Reward(None, None, None, None, None)),
        ),
        (
            {"message": "ok", "reward": {"variable": 5, "value": 1}},
            RewardResponse("ok", None, Reward(None, 1, None, None, None)),
        ),
    ],
)
def test_an_accepted_reward_is_no_error_whatever_the_details_look_like(
    call: Form, answer: object, read: RewardResponse
) -> None:
    client = ScriptedServer(Answer(200, answer)).client()

    assert call(client.send_reward, SUCCESS, "experiment") == read


@both_forms
@pytest.mark.parametrize(
    "answer", [{}, {"message": None}, {"message": 5}, {"message": "ok", "reward": 5}, [], None, 5]
)
def test_an_answer_without_a_message_is_unreadable(call: Form, answer: object) -> None:
    server = ScriptedServer(Answer(200, answer))

    with pytest.raises(UnreadableAnswerError) as caught:
        call(server.client().send_reward, SUCCESS, "experiment")

    assert caught.value.may_have_been_applied is True
    assert len(server.sent) == 1


# ---- Statuses of marks, as strings ----


@both_forms
@pytest.mark.parametrize("status", list(MarkedDecisionPointStatus))
@pytest.mark.parametrize("as_text", [False, True])
def test_a_status_may_be_given_as_its_string(
    call: Form, status: MarkedDecisionPointStatus, as_text: bool
) -> None:
    local = LocalUpgrade()
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)

    given = status.value if as_text else status
    call(client.mark_decision_point, "no", "experiment", None, given)

    (mark,) = local.marks
    assert mark.status == status.value
    assert local.requests[-1].json["status"] == status.value


@both_forms
@pytest.mark.parametrize("status", ["CONDITION_APPLIED", "applied", "", "SUCCESS"])
def test_an_unknown_status_is_refused_with_the_known_ones(call: Form, status: str) -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control"])
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)
    assignment = call(client.get_decision_point_assignment, "home", "banner")
    known = "'condition applied', 'condition not applied', 'no condition assigned'"

    with pytest.raises(ValueError, match=f"status must be one of {known}, not {status!r}"):
        call(client.mark_decision_point, "home", "banner", "control", status)
    with pytest.raises(ValueError, match=f"status must be one of {known}, not {status!r}"):
        call(assignment.mark_decision_point, status)

    assert local.marks == ()


@both_forms
@pytest.mark.parametrize("status", [None, True, 1, BinaryRewardValue.SUCCESS])
def test_a_status_of_another_type_is_refused(call: Form, status: Any) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises((TypeError, ValueError), match="status must be"):
        call(server.client().mark_decision_point, "home", "banner", "control", status)

    assert server.sent == []


def adaptive(local: LocalUpgrade) -> LocalUpgrade:
    local.experiment("adapt", "hint", conditions=["short", "long"], adaptive=True)
    return local


def enrolled(call: Form, local: LocalUpgrade) -> UpgradeClient:
    """A client whose user has marked an adaptive experiment."""
    adaptive(local)
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)
    assignment = call(client.get_decision_point_assignment, "adapt", "hint")
    call(assignment.mark_decision_point, STATUS.CONDITION_APPLIED)
    return client
