"""``assign`` for one user."""

from __future__ import annotations

import json

import pytest

from tests.cli.support_cli import Command
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade


@pytest.fixture(autouse=True)
def known(command: Command, local: LocalUpgrade) -> None:
    UpgradeClient("student-4", command.host_url, "my-app").init_sync()
    local.force("home", "banner", user="student-4", condition="treatment")
    local.force("lesson", "hint", user="student-4", condition="short")


def test_all_assignments_are_a_table_by_decision_point(command: Command) -> None:
    ended = command("assign", "student-4")
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines() if "Simple" in line]
    assert [line[:3] for line in lines] == [
        ["home", "banner", "treatment"],
        ["lesson", "hint", "short"],
        ["lesson", "question", "words"],
    ]
    assert "Welcome back!" in ended.out


def test_all_assignments_as_json(command: Command) -> None:
    listed = json.loads(command("assign", "student-4", "--json").out)
    assert [(one["site"], one["target"], one["condition"]) for one in listed][:2] == [
        ("home", "banner", "treatment"),
        ("lesson", "hint", "short"),
    ]
    assert listed[0]["payload"] == {"type": "string", "value": "Welcome back!"}


def test_one_decision_point_is_a_table(command: Command) -> None:
    ended = command("assign", "student-4", "home", "banner")
    assert ended.status == 0
    for word in ["treatment", "Welcome back!", "assigned"]:
        assert word in ended.out


def test_one_decision_point_as_json(command: Command) -> None:
    decision = json.loads(command("assign", "student-4", "home", "banner", "--json").out)
    assert (decision["condition"], decision["reason"]) == ("treatment", "assigned")


def test_that_nothing_is_assigned_is_an_answer(command: Command) -> None:
    ended = command("assign", "student-4", "home")
    assert ended.status == 0
    assert "not assigned" in ended.out


def test_an_unknown_user_is_status_1_and_is_not_made_known(
    command: Command, local: LocalUpgrade
) -> None:
    for arguments in [["nobody"], ["nobody", "home", "banner"]]:
        ended = command("assign", *arguments)
        assert (ended.status, ended.out) == (1, "")
        assert "User not found: nobody" in ended.err
    assert [request.endpoint for request in local.requests] == ["init", "assign", "assign"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a USER, or --users FILE"),
        (["student-4", "--point", "home", "banner"], "--point goes with --users"),
        (["student-4", "--out", "rows.csv"], "--out goes with --users"),
        (["student-4", "--resume"], "--resume goes with --users"),
        (["student-4", ""], "site must not be empty"),
        (["snowman-☃"], "user_id holds characters outside latin-1"),
    ],
)
def test_wrong_arguments_are_status_2(
    command: Command, local: LocalUpgrade, arguments: list[str], message: str
) -> None:
    ended = command("assign", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert [request.endpoint for request in local.requests] == ["init"]
