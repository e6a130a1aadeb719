"""Mistakes that a type checker must find. An ignore that is not needed fails the check.

Never run.
"""

from __future__ import annotations

from upgrade_client_lib import Assignment, Timeout, UpgradeClient, UpgradeConnection
from upgrade_client_lib.types import LogGroupMetrics, LogInput, LogMetrics

STATUS = UpgradeClient.MARKED_DECISION_POINT_STATUS


def make_clients() -> None:
    UpgradeClient("user", "https://upgrade.example.org")  # type: ignore[call-arg]
    UpgradeClient(17, "https://upgrade.example.org", "my-app")  # type: ignore[arg-type]
    UpgradeConnection("https://upgrade.example.org", "token")  # type: ignore[call-arg]
    UpgradeConnection("https://upgrade.example.org", timeout="soon")  # type: ignore[arg-type]
    UpgradeConnection("https://upgrade.example.org").client(17, "a")  # type: ignore[arg-type]
    UpgradeConnection("https://upgrade.example.org").client("user")  # type: ignore[call-arg]
    Timeout(2.0)  # type: ignore[call-arg]


def use_blocking(client: UpgradeClient) -> None:
    client.init_sync({"class": 1})  # type: ignore[dict-item]
    client.set_working_group_sync({"class": ["class-1"]})  # type: ignore[dict-item]
    client.set_alt_user_ids_sync([1, 2])  # type: ignore[list-item]
    client.get_decision_point_assignment_sync()  # type: ignore[call-arg]
    client.get_decision_point_assignment_sync("home").get_condition()  # type: ignore[union-attr]
    client.mark_decision_point_sync("home", "banner", "control")  # type: ignore[call-arg]
    client.mark_decision_point_sync("home", "banner", "control", True)  # type: ignore[arg-type]
    client.mark_decision_point_sync("home", "", None, "applied")  # type: ignore[arg-type]
    client.log_sync("totalTimeSeconds")  # type: ignore[arg-type]
    client.send_reward_sync(1)  # type: ignore[arg-type]
    client.send_reward_sync("success")  # type: ignore[arg-type]
    client.send_reward_sync("SUCCESS", decision_point="home")  # type: ignore[arg-type]
    client.with_options(2.0)  # type: ignore[call-arg]
    client.with_options(retries="often")  # type: ignore[arg-type]
    client.set_feature_flag_user_groups_for_session({"class": ["a"]})  # type: ignore[call-arg]
    client.has_feature_flags_sync("dashboard")  # type: ignore[attr-defined]


async def use_async(client: UpgradeClient, assignment: Assignment) -> None:
    enabled: bool = client.has_feature_flag("dashboard")  # type: ignore[assignment]
    assert enabled
    await client.mark_decision_point("home", STATUS.CONDITION_APPLIED)  # type: ignore[call-arg]
    await client.init_sync()  # type: ignore[misc]
    client.get_decision_point_assignment("home").get_condition()  # type: ignore[attr-defined]
    await assignment.mark_decision_point()  # type: ignore[call-arg]
    await assignment.mark_decision_point("applied")  # type: ignore[arg-type]
    await client.mark_assignment("condition applied", assignment)  # type: ignore[arg-type]


def use_text_of_any_kind(client: UpgradeClient, assignment: Assignment, text: str) -> None:
    client.mark_decision_point_sync("home", "banner", None, text)  # type: ignore[arg-type]
    client.mark_assignment_sync(assignment, text)  # type: ignore[arg-type]
    assignment.mark_decision_point_sync(text)  # type: ignore[arg-type]
    client.send_reward_sync(text)  # type: ignore[arg-type]


def read_answers(client: UpgradeClient, assignment: Assignment) -> None:
    client.get_all_feature_flags_sync()[0].name  # type: ignore[attr-defined]
    client.init_sync().working_group  # type: ignore[attr-defined]
    assignment.get_payload().value  # type: ignore[union-attr]
    assignment.factors()  # type: ignore[operator]
    assignment.get_factor_level()  # type: ignore[call-arg]


def change_snapshot(assignment: Assignment) -> None:
    assignment.site = "elsewhere"  # type: ignore[misc]
    assignment.factors = []  # type: ignore[misc]


def make_metrics() -> None:
    LogInput("2026-11-20T08:00:00.000Z")  # type: ignore[call-arg]
    LogInput(95, LogMetrics({"totalTimeSeconds": 95}))  # type: ignore[arg-type]
    LogMetrics({"totalTimeSeconds": None})  # type: ignore[dict-item]
    LogGroupMetrics(groupClass="masteryWorkspace")  # type: ignore[call-arg]
