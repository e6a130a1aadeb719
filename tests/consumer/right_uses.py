"""Every documented call as an application makes it, with the type it must have. Never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Optional, Union

from typing_extensions import assert_type

from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.exceptions import NotAuthorizedError, UserNotInitializedError
from upgrade_client_lib.types import (
    ExperimentType,
    ExperimentUser,
    FeatureFlag,
    LogGroupMetrics,
    LogInput,
    LogMetrics,
    LogRecord,
    MarkedDecisionPoint,
    Payload,
    PayloadType,
    Reward,
    RewardResponse,
    UserAliases,
)

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS
REWARD = UpgradeClient.BINARY_REWARD_VALUE


def make_clients() -> None:
    assert_type(UpgradeClient("user", "https://upgrade.example.org", "my-app"), UpgradeClient)
    UpgradeClient("user", "https://upgrade.example.org", "my-app", "token", "session")
    UpgradeClient(user_id="user", host_url="https://upgrade.example.org", context="my-app")

    connection = UpgradeConnection("https://upgrade.example.org", token="token", timeout=5.0)
    assert_type(connection.client("user", "my-app"), UpgradeClient)
    assert_type(connection.host_url, str)


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
        client.get_decision_point_assignment_sync("home", "banner")
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
        assert_type(client.send_reward_sync(REWARD.SUCCESS, "experiment-id"), RewardResponse)
        client.send_reward_sync("FAILURE", context="my-app")
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
        await client.get_decision_point_assignment("home", "banner")
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
        await client.send_reward("FAILURE", context="my-app")
        await client.aclose()


async def read_assignment(assignment: Assignment) -> None:
    assert_type(assignment.site, str)
    assert_type(assignment.target, str)
    assert_type(assignment.experiment_id, Optional[str])
    assert_type(assignment.condition_id, Optional[str])
    assert_type(assignment.get_condition(), str)
    assert_type(assignment.get_experiment_type(), Union[ExperimentType, str, None])
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
