"""Every documented call as an application makes it, with the type it must have. Never run."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Optional, Union

import httpx
from typing_extensions import assert_type

from upgrade_client_lib import (
    Assignment,
    Timeout,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
    __version__,
)
from upgrade_client_lib.exceptions import NotAuthorizedError, UserNotInitializedError
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import (
    BinaryRewardValue,
    BinaryRewardValueText,
    DecisionPoint,
    ExperimentType,
    ExperimentUser,
    FeatureFlag,
    LogGroupMetrics,
    LogInput,
    LogMetrics,
    LogRecord,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
    Payload,
    PayloadType,
    Reward,
    RewardResponse,
    UserAliases,
)

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS
REWARD = UpgradeClient.BINARY_REWARD_VALUE
APPLIED: Final = "condition applied"


def make_clients() -> None:
    assert_type(UpgradeClient("user", "https://upgrade.example.org", "my-app"), UpgradeClient)
    UpgradeClient("user", "https://upgrade.example.org", "my-app", "token", "session")
    UpgradeClient(user_id="user", host_url="https://upgrade.example.org", context="my-app")

    UpgradeClient(
        "user",
        "https://upgrade.example.org",
        "my-app",
        rotation="decision_point",
        groups_for_session={"class": ("class-1",)},
        include_stored_user_groups=False,
    )

    connection = UpgradeConnection("https://upgrade.example.org", token="token", timeout=5.0)
    UpgradeConnection(
        "https://upgrade.example.org",
        timeout=Timeout(total=2.0, connect=0.5),
        retries=0,
        max_connections=50,
        headers={"X-Proxy-Key": "key"},
        proxy="http://proxy.example.org:3128",
        trust_env=False,
        ssl_context=ssl.create_default_context(),
        http_client=httpx.Client(),
        async_http_client=httpx.AsyncClient(),
    )
    assert_type(connection.host_url, str)
    client = connection.client("user", "my-app", token="token", rotation="experiment")
    assert_type(client, UpgradeClient)
    assert_type(client.user_id, str)
    assert_type(client.context, str)
    assert_type(client.client_session_id, str)
    assert_type(client.with_options(timeout=0.5, retries=0), UpgradeClient)
    client.with_options(timeout=Timeout(total=1))
    client.set_feature_flag_user_groups_for_session({"class": ["class-1"]}, True)
    client.set_feature_flag_user_groups_for_session(None, None)
    version: str = __version__
    assert version


def name_values() -> None:
    assert_type(STATUS, type[MarkedDecisionPointStatus])
    assert_type(REWARD, type[BinaryRewardValue])
    text: str = STATUS.NO_CONDITION_ASSIGNED
    assert text
    assert_type(f"{ExperimentType.SIMPLE} {ExperimentType.FACTORIAL}", str)


def use_blocking(connection: UpgradeConnection) -> None:
    with connection as entered, entered.client("user", "my-app") as client:
        assert_type(client, UpgradeClient)
        assert_type(client.init_sync(), ExperimentUser)
        assert_type(client.init_sync({"class": ["class-1"]}, {"class": "class-1"}), ExperimentUser)
        assert_type(client.set_group_membership_sync({"class": ["class-1"]}), ExperimentUser)
        assert_type(client.set_working_group_sync({"class": "class-1"}), ExperimentUser)
        assert_type(client.set_alt_user_ids_sync(["alias"]), UserAliases)

        assert_type(client.get_all_experiment_conditions_sync(), list[Assignment])
        client.get_all_experiment_conditions_sync(ignore_cache=True)
        assert_type(client.get_decision_point_assignment_sync("home"), Optional[Assignment])
        assignment = client.get_decision_point_assignment_sync("home", "banner")
        if assignment is not None:
            assert_type(client.mark_assignment_sync(assignment, APPLIED), MarkedDecisionPoint)
            client.mark_assignment_sync(assignment, STATUS.CONDITION_APPLIED, None, None)
        assert_type(
            client.mark_decision_point_sync("home", "banner", "control", STATUS.CONDITION_APPLIED),
            MarkedDecisionPoint,
        )
        client.mark_decision_point_sync(
            "home", "banner", None, "no condition assigned", "attempt-1", "error"
        )

        assert_type(client.get_all_feature_flags_sync(), list[FeatureFlag])
        client.get_all_feature_flags_sync(ignore_cache=True)
        assert_type(client.has_feature_flag_sync("dashboard"), bool)

        assert_type(client.log_sync([metrics_of_now()]), list[LogRecord])
        client.log_sync([{"timestamp": datetime.now(), "metrics": {"attributes": {"a": 1}}}])
        assert_type(client.send_reward_sync(REWARD.SUCCESS, "experiment-id"), RewardResponse)
        client.send_reward_sync("FAILURE", None, "my-app", DecisionPoint("home", "hint"))
        client.send_reward_sync("FAILURE", decision_point={"site": "home"})
        client.close()


async def use_async(connection: UpgradeConnection) -> None:
    async with connection as entered, entered.client("user", "my-app") as client:
        assert_type(client, UpgradeClient)
        assert_type(await client.init(), ExperimentUser)
        assert_type(await client.init({"class": ["class-1"]}, {"class": "class-1"}), ExperimentUser)
        assert_type(await client.set_group_membership({"class": ["class-1"]}), ExperimentUser)
        assert_type(await client.set_working_group({"class": "class-1"}), ExperimentUser)
        assert_type(await client.set_alt_user_ids(["alias"]), UserAliases)

        assert_type(await client.get_all_experiment_conditions(), list[Assignment])
        await client.get_all_experiment_conditions(ignore_cache=True)
        assert_type(await client.get_decision_point_assignment("home"), Optional[Assignment])
        assignment = await client.get_decision_point_assignment("home", "banner")
        if assignment is not None:
            assert_type(await client.mark_assignment(assignment, APPLIED), MarkedDecisionPoint)
            await client.mark_assignment(assignment, STATUS.CONDITION_APPLIED, None, None)
        assert_type(
            await client.mark_decision_point("home", "banner", "control", STATUS.CONDITION_APPLIED),
            MarkedDecisionPoint,
        )
        await client.mark_decision_point(
            "home", "banner", None, "no condition assigned", "attempt-1", "error"
        )

        assert_type(await client.get_all_feature_flags(), list[FeatureFlag])
        await client.get_all_feature_flags(ignore_cache=True)
        assert_type(await client.has_feature_flag("dashboard"), bool)

        assert_type(await client.log([metrics_of_now()]), list[LogRecord])
        assert_type(await client.send_reward(REWARD.SUCCESS, "experiment-id"), RewardResponse)
        await client.send_reward("FAILURE", None, "my-app", DecisionPoint("home", "hint"))
        await client.send_reward("FAILURE", decision_point={"site": "home"})
        await client.aclose()


async def read_assignment(assignment: Assignment) -> None:
    assert_type(assignment.user_id, str)
    assert_type(assignment.context, str)
    assert_type(assignment.site, str)
    assert_type(assignment.target, str)
    assert_type(assignment.experiment_id, Optional[str])
    assert_type(assignment.condition_id, Optional[str])
    assert_type(assignment.get_condition(), str)
    assert_type(assignment.get_experiment_type(), Union[ExperimentType, str, None])
    assert_type(assignment.as_dict(), dict[str, Any])
    assert_type(assignment.factors, list[str])
    assert_type(assignment.get_factor_level("color"), str)
    assert_type(assignment.get_factor_payload("color"), Optional[Payload])
    payload = assignment.get_payload()
    assert_type(payload, Optional[Payload])
    if payload is not None:
        assert_type(payload.type, Union[PayloadType, str])
        assert_type(payload.value, str)
        assert_type(payload.parse(), Any)
    assert_type(await assignment.mark_decision_point(STATUS.CONDITION_APPLIED), MarkedDecisionPoint)
    assert_type(
        assignment.mark_decision_point_sync(STATUS.CONDITION_FAILED_TO_APPLY, "attempt-1", "error"),
        MarkedDecisionPoint,
    )


def report(
    client: UpgradeClient,
    status: MarkedDecisionPointStatusText,
    outcome: BinaryRewardValueText,
    text: str,
) -> None:
    client.mark_decision_point_sync("home", "banner", None, status, uniquifier=None)
    client.mark_decision_point_sync("home", "banner", None, MarkedDecisionPointStatus(text))
    client.send_reward_sync(outcome, context="my-app")
    client.send_reward_sync(BinaryRewardValue(text))


def metrics_of_now() -> LogInput:
    group = LogGroupMetrics(
        groupClass="masteryWorkspace",
        groupKey="workspace-1",
        groupUniquifier="attempt-1",
        attributes={"timeSeconds": 12.5, "completionStatus": "GRADUATED"},
    )
    metrics = LogMetrics(attributes={"totalTimeSeconds": 95}, groupedMetrics=[group])
    LogInput(timestamp="2026-11-20T08:00:00.000Z", metrics=metrics)
    return LogInput(timestamp=datetime.now(), metrics=metrics)


def read_answers(
    user: ExperimentUser, mark: MarkedDecisionPoint, row: LogRecord, answer: RewardResponse
) -> None:
    assert_type(user.id, str)
    assert_type(user.group, Optional[Mapping[str, Sequence[str]]])
    assert_type(user.workingGroup, Optional[Mapping[str, str]])
    assert_type(mark.condition, Optional[str])
    assert_type(mark.experimentId, Optional[str])
    assert_type(row.id, Union[int, str, None])
    assert_type(row.timeStamp, Optional[datetime])
    assert_type(row.data, Mapping[str, Any])
    assert_type(answer.message, str)
    assert_type(answer.reward, Optional[Reward])


def handle_errors(client: UpgradeClient) -> None:
    try:
        client.init_sync()
    except (NotAuthorizedError, UserNotInitializedError):
        raise
    except UpgradeApiError as error:
        assert_type(error.message, str)
        assert_type(error.status_code, Optional[int])
        assert_type(error.error_type, Optional[str])
        assert_type(error.request_id, Optional[str])
        assert_type(error.endpoint, Optional[str])
        assert_type(error.response_body, Optional[str])
        assert_type(error.attempts, int)
        assert_type(error.may_have_been_applied, bool)


def test_an_application() -> None:
    local = LocalUpgrade(server="6.7", contexts=["my-app"])
    local.experiment(
        "home",
        "banner",
        conditions={"control": 50, "treatment": 50},
        payloads={"treatment": {"text": "Welcome back!"}},
    )
    local.flag("dashboard", include={"class": ["class-1"]})
    local.force("home", "banner", user="user", condition="treatment")
    client = UpgradeClient("user", "http://upgrade", "my-app", transport=local.transport)
    with local.serve() as url:
        assert_type(url, str)
        UpgradeClient("user", url, "my-app")
    local.fail_next("mark", status=503, times=2)
    client.init_sync()
    local.assert_marked("home", "banner", user="user", condition="treatment")
    assert_type([mark.condition for mark in local.marks], list[Optional[str]])
