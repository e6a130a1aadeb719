"""The recorded flows about a user: a first visit, groups, aliases, metrics, rewards, errors."""

from __future__ import annotations

from datetime import datetime, timezone

import attrs

from tests.support_flows_checks import (
    POINTS_OF_MY_APP,
    STATUS,
    assert_marked,
    assert_says,
    assigned,
    flags_of,
    points,
)
from tests.support_replay import Session
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.exceptions import (
    BadRequestError,
    ConflictError,
    ServerError,
    UserNotInitializedError,
)
from upgrade_client_lib.types import (
    DecisionPoint,
    ExperimentType,
    ExperimentUser,
    LogGroupMetrics,
    LogInput,
    LogMetrics,
    LogRecord,
    MarkedDecisionPoint,
    MetricValue,
    Payload,
    PayloadType,
    UserAliases,
)

REWARD = UpgradeClient.BINARY_REWARD_VALUE


async def quick_start(session: Session) -> None:
    call, client = session.call, session.client("learner-quick-start")
    assert await call(client.init) == ExperimentUser("learner-quick-start")

    assert points(await call(client.get_all_experiment_conditions)) == POINTS_OF_MY_APP
    banner = await assigned(session, client, "home", "banner")
    assert banner.get_condition() == "treatment"
    assert banner.get_payload() == Payload(PayloadType.STRING, "Welcome back!")
    assert banner.get_experiment_type() is ExperimentType.SIMPLE
    assert banner.factors == []
    marked = await call(banner.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, banner, "learner-quick-start")

    assert await call(client.has_feature_flag, "NEW_DASHBOARD")
    assert not await call(client.has_feature_flag, "RESTRICTED")
    assert await flags_of(session, client) == {"NEW_DASHBOARD", "ALL_BUT_EXCLUDED"}


async def quick_start_with_groups(session: Session) -> None:
    call, client = session.call, session.client("learner-groups")
    groups = {"class": ["class-1"], "school": ["school-1"]}
    known = ExperimentUser("learner-groups", groups, {"class": "class-1"})
    assert await call(client.init, group=groups, working_group={"class": "class-1"}) == known

    everywhere = await call(client.get_all_experiment_conditions)
    assert points(everywhere) == POINTS_OF_MY_APP | {("group", "classroom")}
    classroom = await assigned(session, client, "group", "classroom")
    assert classroom.get_condition() == "treatment"
    assert classroom.get_payload() == Payload(PayloadType.STRING, "g-treatment")
    marked = await call(classroom.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, classroom, "learner-groups")

    wanted = {"RESTRICTED", "NEW_DASHBOARD", "ALL_BUT_EXCLUDED"}
    assert await flags_of(session, client) == wanted
    assert await call(client.init) == known


async def no_experiment_at_point(session: Session) -> None:
    call, client = session.call, session.client("learner-no-experiment")
    await call(client.init)
    assert await call(client.get_decision_point_assignment, "nowhere", "nothing") is None
    marked = await call(
        client.mark_decision_point, "nowhere", "nothing", None, STATUS.NO_CONDITION_ASSIGNED
    )
    assert marked.id
    assert attrs.evolve(marked, id="") == MarkedDecisionPoint(
        "", "learner-no-experiment", "nowhere", "nothing", experimentId=None, condition=None
    )


async def group_changes(session: Session) -> None:
    call, client = session.call, session.client("learner-group-changes")
    user, first, both = "learner-group-changes", {"class": ["class-2"]}, ["class-1", "class-2"]
    initialised = await call(client.init, group=first, working_group={"class": "class-2"})
    assert initialised == ExperimentUser(user, first, {"class": "class-2"})
    assert await flags_of(session, client) == {"NEW_DASHBOARD", "ALL_BUT_EXCLUDED"}

    changed = await call(client.set_group_membership, {"class": both})
    assert changed == ExperimentUser(user, {"class": both}, {"class": "class-2"})
    assert await call(client.has_feature_flag, "RESTRICTED")

    changed = await call(client.set_working_group, {"class": "class-1"})
    assert changed == ExperimentUser(user, {"class": both}, {"class": "class-1"})
    classroom = await assigned(session, client, "group", "classroom")
    assert classroom.get_condition() == "treatment"

    stored = ExperimentUser(user, {"class": both}, {"class": "class-1"})
    assert await call(client.init) == stored


async def aliases(session: Session) -> None:
    call, root = session.call, session.client("learner-alias-root")
    await call(root.init)
    for ids in (
        ["learner-alias-1", "learner-alias-2"],
        ["learner-alias-1", "learner-alias-2", "learner-alias-3"],
    ):
        linked = await call(root.set_alt_user_ids, ids)
        assert linked == UserAliases("learner-alias-root", ids)

    alias = session.client("learner-alias-1")
    assert await call(alias.init) == ExperimentUser("learner-alias-root")
    banner = await assigned(session, alias, "home", "banner")
    assert banner.get_condition() == "control"  # the root's; the alias itself would get treatment

    other = session.client("learner-alias-other")
    await call(other.init)
    taken = await session.refused(ServerError, other.set_alt_user_ids, ["learner-alias-1"])
    assert_says(taken, 500, "Query Failed", "Users already associated with other users")
    assert taken.endpoint == "PATCH /api/v6/useraliases"


async def session_groups(session: Session) -> None:
    call, client = session.call, session.client("learner-session-groups")
    groups = {"class": ["class-1"]}
    for_all, restricted = {"NEW_DASHBOARD", "ALL_BUT_EXCLUDED"}, "RESTRICTED"

    await session.refused(UserNotInitializedError, client.get_all_feature_flags)
    client.set_feature_flag_user_groups_for_session(groups, False)
    assert await flags_of(session, client) == {*for_all, restricted}
    client.set_feature_flag_user_groups_for_session(groups, True)
    unknown = await session.refused(UserNotInitializedError, client.get_all_feature_flags)
    assert_says(unknown, 404, "Experiment user not defined", "learner-session-groups")

    client.set_feature_flag_user_groups_for_session(None, None)
    await call(client.init, group={"class": ["class-9"]})
    assert await flags_of(session, client) == for_all
    client.set_feature_flag_user_groups_for_session(groups, True)
    assert await flags_of(session, client) == {*for_all, restricted}


async def metrics(session: Session) -> None:
    call, client = session.call, session.client("learner-metrics")
    await call(client.init)
    plain: dict[str, MetricValue] = {
        "totalTimeSeconds": 95,
        "workspaceCompletionStatus": "GRADUATED",
    }
    grouped: dict[str, MetricValue] = {
        "timeSeconds": 80,
        "hintCount": 2,
        "completionStatus": "GRADUATED",
    }
    workspace = "calculating_area_various_figures"
    group = LogGroupMetrics("masteryWorkspace", workspace, "attempt-1", grouped)
    entry = LogInput("2026-11-20T08:00:00.000Z", LogMetrics(plain, [group]))

    new = await call(client.log, [entry])
    again = await call(client.log, [entry])
    for records in (new, again):
        assert [(record.userId, record.uniquifier, record.data) for record in records] == [
            ("learner-metrics", "1", plain),
            ("learner-metrics", "attempt-1", {"masteryWorkspace": {workspace: grouped}}),
        ]
        eight_o_clock = datetime(2026, 11, 20, 8, tzinfo=timezone.utc)
        assert {record.timeStamp for record in records} == {eight_o_clock}
    assert [record.id for record in again] == [record.id for record in new]
    assert all(isinstance(record.id, int) for record in new)
    assert [keys_of_metrics(record) for record in new] == [
        {"totalTimeSeconds", "workspaceCompletionStatus"},
        {f"masteryWorkspace@__@{workspace}@__@{name}" for name in grouped},
    ]
    assert [record.metrics for record in again] == [None, None]

    unknown = LogInput("2026-11-20T09:00:00.000Z", LogMetrics({"noSuchMetric": 1}))
    assert await call(client.log, [unknown]) == []


async def rewards(session: Session) -> None:
    call, client = session.call, session.client("learner-reward")
    await call(client.init)
    hint = await assigned(session, client, "adapt", "hint")
    early = await session.refused(
        ConflictError, client.send_reward, REWARD.SUCCESS, hint.experiment_id
    )
    assert_says(early, 409, "Error processing Mooclet reward", "unique user enrollment")

    marked = await call(hint.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, hint, "learner-reward")
    won = await call(client.send_reward, REWARD.SUCCESS, hint.experiment_id)
    assert won.request == {"rewardValue": "SUCCESS", "experimentId": hint.experiment_id}
    point = DecisionPoint("adapt", "hint")
    lost = await call(client.send_reward, REWARD.FAILURE, decision_point=point)
    assert lost.request == {
        "rewardValue": "FAILURE",
        "context": "my-app",
        "decisionPoint": {"site": "adapt", "target": "hint"},
    }
    for response, value in ((won, 1), (lost, 0)):
        assert response.message == "Reward sent to mooclet successfully."
        assert response.reward is not None
        assert (response.reward.learner, response.reward.value) == ("learner-reward", value)


async def errors(session: Session) -> None:
    user_id = "learner-not-initialised"
    call, client = session.call, session.client(user_id)
    for method in (client.get_all_experiment_conditions, client.get_all_feature_flags):
        unknown = await session.refused(UserNotInitializedError, method)
        assert_says(unknown, 404, "Experiment user not defined", f"User not found: {user_id}")
    groups = {"class": ["class-1"]}
    unknown = await session.refused(UserNotInitializedError, client.set_group_membership, groups)
    assert_says(unknown, 404, "Experiment user not defined", f"User not found: {user_id}")

    await call(client.init)
    elsewhere = session.client(user_id, "no-such-context")
    wrong = await session.refused(BadRequestError, elsewhere.get_all_experiment_conditions)
    assert_says(wrong, 400, "Parameter not in the correct format", "Invalid app context")

    banner = await assigned(session, client, "home", "banner")
    assert banner.get_condition() == "control"
    no_such = await session.refused(
        ServerError,
        client.mark_decision_point,
        "home",
        "banner",
        "no-such-condition",
        STATUS.CONDITION_APPLIED,
    )
    assert_says(no_such, 500, "Condition not found", "Condition not found: no-such-condition")
    oneself = await session.refused(ServerError, client.set_alt_user_ids, [user_id])
    assert_says(oneself, 500, "Query Failed", f"an alias of {user_id}")


def keys_of_metrics(record: LogRecord) -> set[object]:
    return {metric["key"] for metric in record.metrics or ()}
