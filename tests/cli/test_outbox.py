"""``mark``, ``outbox`` and ``deliver``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support_cli import Command, Ended, hand_over
from tests.support_clock import until
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib._signals import STOPPED
from upgrade_client_lib.testing import LocalUpgrade


@pytest.fixture
def outbox(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outbox.db'}"


def known(command: Command, *users: str) -> None:
    for user in users:
        UpgradeClient(user, command.host_url, "my-app").init_sync()


# ---- mark ----


def test_a_mark_carries_what_is_assigned(command: Command, local: LocalUpgrade) -> None:
    known(command, "u1")
    local.force("home", "banner", user="u1", condition="treatment")
    ended = command("mark", "u1", "home", "banner", "--uniquifier", "visit-1", "--json")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["condition"] == "treatment"
    local.assert_marked(
        "home",
        "banner",
        user="u1",
        condition="treatment",
        status="condition applied",
        uniquifier="visit-1",
    )


def test_a_mark_where_nothing_is_assigned(command: Command, local: LocalUpgrade) -> None:
    known(command, "u1")
    ended = command("mark", "u1", "home", UPGRADE_OUTBOX="memory:")
    assert ended.status == 0
    assert "home" in ended.out
    local.assert_marked("home", user="u1", condition=None, status="no condition assigned")


def test_a_mark_with_another_status(command: Command, local: LocalUpgrade) -> None:
    known(command, "u1")
    status = "condition not applied"
    assert command("mark", "u1", "home", "banner", "--status", status).status == 0
    local.assert_marked("home", "banner", user="u1", status=status)
    assert command("mark", "u1", "home", "banner", "--status", "seen").status == 2


def test_a_mark_that_fails_is_status_1(command: Command, local: LocalUpgrade) -> None:
    ended = command("mark", "nobody", "home", "banner")
    assert (ended.status, ended.out) == (1, "")
    assert local.marks == ()


def test_a_mark_comes_after_what_waits_of_the_user(
    command: Command, local: LocalUpgrade, outbox: str
) -> None:
    known(command, "u1")
    hand_over(command.host_url, outbox, "u1")
    ended = command("mark", "u1", "home", "banner", *at(outbox))
    assert (ended.status, ended.err) == (0, "")
    sent = [request.endpoint for request in local.requests]
    assert [one for one in sent if one in ("log", "mark")] == ["log", "mark"]
    assert counted(command, outbox) == {}


@pytest.mark.parametrize(
    "arguments", [["flags", "u1"], ["assign", "u1"], ["assign", "u1", "home", "banner"]]
)
def test_what_only_reads_delivers_nothing(
    command: Command, local: LocalUpgrade, outbox: str, arguments: list[str]
) -> None:
    known(command, "u1")
    hand_over(command.host_url, outbox, "u1")
    assert command(*arguments, *at(outbox)).status == 0
    assert local.logs == ()
    assert counted(command, outbox) == {"waiting": 1}


# ---- outbox ----


@pytest.fixture
def refused(command: Command, local: LocalUpgrade, outbox: str) -> dict[str, Any]:
    """An event that was set aside, beside one that waits."""
    known(command, "u1", "u2")
    local.fail_next("log", status=409)
    hand_over(command.host_url, outbox, "u1", delivers=True)
    hand_over(command.host_url, outbox, "u2")
    event: dict[str, Any]
    (event,) = listed(command("outbox", "list", "--state", "refused", "--json", *at(outbox)))
    return event


def at(outbox: str) -> list[str]:
    return ["--outbox", outbox]


def listed(ended: Ended) -> list[dict[str, Any]]:
    assert (ended.status, ended.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def counted(command: Command, outbox: str) -> dict[str, int]:
    counts: dict[str, int] = json.loads(command("outbox", "counts", "--json", *at(outbox)).out)
    return counts


def test_events_are_counted_and_listed(
    command: Command, outbox: str, refused: dict[str, Any]
) -> None:
    assert (refused["user_id"], refused["kind"]) == ("u1", "log")
    assert counted(command, outbox) == {"waiting": 1, "refused": 1}
    table = command("outbox", "counts", UPGRADE_OUTBOX=outbox, UPGRADE_CONTEXT="").out
    assert "waiting" in table
    table = command("outbox", "list", *at(outbox)).out
    for word in [refused["id"], "refused", "waiting", "u1", "u2", "log"]:
        assert word in table


def test_an_event_is_retried(
    command: Command, local: LocalUpgrade, outbox: str, refused: dict[str, Any]
) -> None:
    ended = command("outbox", "retry", refused["id"], *at(outbox))
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert counted(command, outbox) == {}
    assert {log.user for log in local.logs} == {"u1", "u2"}


def test_an_event_is_discarded(
    command: Command, local: LocalUpgrade, outbox: str, refused: dict[str, Any]
) -> None:
    assert command("outbox", "discard", refused["id"], *at(outbox)).status == 0
    assert counted(command, outbox) == {"waiting": 1}
    assert local.logs == ()


@pytest.mark.parametrize("name", ["retry", "discard"])
def test_an_event_that_is_not_there_is_status_2(command: Command, outbox: str, name: str) -> None:
    ended = command("outbox", name, "nothing", *at(outbox))
    assert ended.status == 2
    assert "nothing" in ended.err


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """The address of an outbox whose file is none of SQLite's."""
    path = tmp_path / "broken.db"
    path.write_text("text\n" * 100)
    return f"sqlite:///{path}"


@pytest.mark.parametrize("arguments", [["counts"], ["list"], ["retry", "id"], ["discard", "id"]])
def test_an_outbox_that_fails_is_status_1_and_says_which(
    command: Command, broken: str, arguments: list[str]
) -> None:
    ended = command("outbox", *arguments, *at(broken))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        f"Error: the outbox {broken} (UPGRADE_OUTBOX) failed: DatabaseError: file is not a"
        " database; check that this is its address, and that it is there and can be written\n"
    )


def test_an_outbox_that_is_away_is_named_without_its_password(command: Command) -> None:
    address = "redis://user:s3cret@127.0.0.1:1/0"
    ended = command("outbox", "counts", *at(f"{address}?password=s3cret"))
    assert (ended.status, ended.out) == (1, "")
    assert "the outbox redis://127.0.0.1:1/0 (UPGRADE_OUTBOX) failed: ConnectionError" in ended.err
    assert "s3cret" not in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_stops_a_retry(
    command: Command, local: LocalUpgrade, outbox: str, refused: dict[str, Any]
) -> None:
    local.hang()
    with command.process("outbox", "retry", refused["id"], *at(outbox)) as process:
        until(lambda: "sending" in counted(command, outbox))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == STOPPED


def test_without_an_outbox_there_is_nothing_to_see(command: Command) -> None:
    ended = command("outbox", "counts")
    assert ended.status == 2
    assert "--outbox (UPGRADE_OUTBOX) must be set" in ended.err


# ---- deliver ----


def test_what_waits_is_delivered_without_any_extra(
    command: Command, local: LocalUpgrade, outbox: str
) -> None:
    known(command, "u1")
    hand_over(command.host_url, outbox, "u1")
    program = (
        "import sys; sys.modules['click'] = sys.modules['rich'] = None\n"
        "from upgrade_client_lib.cli import main; main()"
    )
    given = command.environment({"UPGRADE_OUTBOX": outbox})
    done = subprocess.run(
        [sys.executable, "-c", program, "deliver", "--once", "30"],
        env={**os.environ, **{name: value for name, value in given.items() if value}},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == ""
    assert [log.user for log in local.logs] == ["u1"]


def test_the_command_passes_its_arguments_on(command: Command) -> None:
    helped = command("deliver", "--help")
    assert (helped.status, "--once" in helped.out) == (0, True)


# ---- Files of users ----


def test_users_of_a_file_are_marked_once(
    command: Command, local: LocalUpgrade, outbox: str, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user,group.class\nu1,\nu2,\n")
    arguments: list[str | Path] = [
        "assign",
        "--users",
        users,
        "--point",
        "home",
        "banner",
        "--mark",
        *at(outbox),
    ]
    for _ in range(2):
        ended = command(*arguments)
        assert (ended.status, ended.err) == (0, "2 users, 0 failed; in the outbox: nothing\n")
    assert [mark.user for mark in local.marks] in (["u1", "u2"], ["u2", "u1"])


def test_marks_that_cannot_be_handed_over_are_rows_and_status_3(
    command: Command, broken: str, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user,group.class\nu1,\nu2,\n")
    ended = command("assign", "--users", users, "--point", "home", "banner", "--mark", *at(broken))
    assert ended.out.count("the mark was not handed over, since the outbox's store failed") == 2
    assert f"2 users, 2 failed; the outbox {broken} (UPGRADE_OUTBOX) failed: " in ended.err
    assert ended.status == 3


def test_an_outbox_that_fails_although_no_user_did_is_status_1(
    command: Command, broken: str, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user\n")
    ended = command("assign", "--users", users, "--point", "home", "banner", "--mark", *at(broken))
    assert f"0 users, 0 failed; the outbox {broken} (UPGRADE_OUTBOX) failed: " in ended.err
    assert ended.status == 1


@pytest.mark.parametrize("outbox", ["", "memory:"])
def test_marks_need_an_outbox_that_outlives_the_command(
    command: Command, outbox: str, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user\nu1\n")
    ended = command(
        "assign", "--users", users, "--point", "home", "banner", "--mark", UPGRADE_OUTBOX=outbox
    )
    assert ended.status == 2
    assert "an --outbox (UPGRADE_OUTBOX) that outlives this command" in ended.err
