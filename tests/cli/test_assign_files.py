"""``assign --users``: files in, files out, and going on where it stopped."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support_cli import Command, Ended
from tests.support_clock import until
from upgrade_client_lib._signals import STOPPED
from upgrade_client_lib.testing import LocalUpgrade

BANNER = ["--point", "home", "banner"]
TWO_POINTS = [*BANNER, "--point", "odd", ""]
MANY = [f"student-{number}" for number in range(350)]
LATE = MANY[300]
"""Before this one's row, so many are written that some reach the file."""
ODD_PAYLOAD = 'line 1\nline "2"\r\nline 3, é\r☃'


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control", "treatment"])
    local.experiment("odd", "", conditions=["a"], payloads={"a": ODD_PAYLOAD})
    local.experiment("classroom", "board", conditions=["shown"], unit="group", group_type="class")
    return local


@pytest.fixture
def students(tmp_path: Path) -> Path:
    """Three users, who are made known."""
    return written(tmp_path / "students.csv", "user,group.class\nu1,\nu2,\nu3,\n")


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_rows_are_csv_on_standard_output(command: Command, students: Path) -> None:
    ended = command("assign", "--users", students, *BANNER)
    assert (ended.status, ended.err) == (0, "3 users, 0 failed\n")
    assert list(rows(ended.out)[0]) == [
        "user", "site", "target", "condition", "payload", "reason", "error",
    ]  # fmt: skip
    assert [row["user"] for row in rows(ended.out)] == ["u1", "u2", "u3"]
    assert {row["condition"] for row in rows(ended.out)} <= {"control", "treatment"}


def test_rows_are_json_lines_for_programs(command: Command, students: Path) -> None:
    ended = command("assign", "--users", students, *TWO_POINTS, "--json")
    read = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["user"], row["site"], row["target"]) for row in read[:3]] == [
        ("u1", "home", "banner"),
        ("u1", "odd", ""),
        ("u2", "home", "banner"),
    ]
    assert read[1]["payload"] == {"type": "string", "value": ODD_PAYLOAD}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_go_to_a_file(command: Command, students: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"rows.{ending}"
    ended = command("assign", "--users", students, *TWO_POINTS, "--out", out)
    assert (ended.status, ended.out) == (0, "")
    if ending == "csv":
        with out.open(encoding="utf-8", newline="") as file:
            read: list[Any] = list(csv.DictReader(file))
        assert read[1]["payload"] == ODD_PAYLOAD
    else:
        read = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["user"] for row in read] == ["u1", "u1", "u2", "u2", "u3", "u3"]


def test_groups_are_those_of_the_columns(
    command: Command, local: LocalUpgrade, tmp_path: Path
) -> None:
    users = written(
        tmp_path / "users.csv",
        "\ufeffname,user,group.class,group.school,working_group.class\n"
        "Ada,u1,class-1;class-2,school-1,class-2\n\n"
        "Bob,u2,,,\n",
    )
    ended = command("assign", "--users", users, "--point", "classroom", "board")
    assert [row["condition"] for row in rows(ended.out)] == ["shown", ""]
    inits = [request.json for request in local.requests if request.endpoint == "init"]
    assert {"group": {"class": ["class-1", "class-2"], "school": ["school-1"]},
            "workingGroup": {"class": "class-2"}} in inits  # fmt: skip
    assert {"group": {}, "workingGroup": {}} in inits


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_of_users_is_read_once(command: Command, tmp_path: Path) -> None:
    pipe = tmp_path / "users.csv"
    os.mkfifo(pipe)
    # More than a pipe holds at a time.
    text = "user,group.class\n" + "".join(f"{user},{'x' * 500}\n" for user in MANY)
    writer = threading.Thread(target=pipe.write_text, args=(text,), daemon=True)
    writer.start()
    ended = command("assign", "--users", pipe, *BANNER)
    writer.join(60)
    assert ended.status == 0
    assert [row["user"] for row in rows(ended.out)] == MANY


def test_users_without_columns_of_groups_are_not_made_known(
    command: Command, local: LocalUpgrade, tmp_path: Path
) -> None:
    ended = command("assign", "--users", written(tmp_path / "u.csv", "user\nu1\n"), *BANNER)
    assert (ended.status, rows(ended.out)[0]["reason"]) == (3, "error")
    assert [request.endpoint for request in local.requests] == ["assign"]


def test_groups_are_those_of_the_json_lines(
    command: Command, local: LocalUpgrade, tmp_path: Path
) -> None:
    lines: list[Any] = [
        {"user": "u1", "group": {"class": ["c"]}, "working_group": {"class": "c"}, "name": "Ada"},
        {"user": "u2", "group": {}},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    users = written(tmp_path / "users.jsonl", text + '\n\n"nobody"\n')
    ended = command("assign", "--users", users, "--point", "classroom", "board", "--json")
    read = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["user"], row["condition"], row["reason"]) for row in read] == [
        ("u1", "shown", "assigned"),
        ("u2", "", "not assigned"),
        ("nobody", "", "error"),
    ]
    assert "User not found" in read[2]["error"]
    assert (ended.status, ended.err) == (3, "3 users, 1 failed\n")
    assert not {request.user for request in local.requests if request.endpoint == "init"} - {
        "u1",
        "u2",
    }


def test_users_who_fail_are_rows_and_status_3(command: Command, tmp_path: Path) -> None:
    users = written(tmp_path / "users.csv", "user,group.class\nu1,\n☃,\nu3,\n")
    ended = command("assign", "--users", users, *TWO_POINTS)
    assert (ended.status, ended.err) == (3, "3 users, 1 failed\n")
    assert [line.split(",")[0] for line in ended.out.splitlines() if "error" in line][1:] == [
        "☃",
        "☃",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.csv", "", 'the first line must name the columns, and one must be "user"'),
        ("u.csv", "u1\nu2\n", 'one must be "user"'),
        ("u.csv", "user,group.\nu1,\n", "the column 'group.' must name a group type"),
        ("u.csv", "user,group\nu1,\n", "the column 'group' must name a group type"),
        ("u.csv", "user,user\nu1,u2\n", "the first line names the column 'user' 2 times"),
        ("u.csv", "group.a,user,group.a\n,u1,\n", "names the column 'group.a' 2 times"),
        ("u.csv", "user,group.class\nu1\n", "line 2 has 1 cells, not 2"),
        ("u.csv", '"user"s\nu1\n', "line 1 is not CSV: "),
        ("u.csv", 'user\n\n"u1"x\n', "line 3 is not CSV: "),
        ("u.csv", 'user\n"u1\n', "line 2 is not CSV: unexpected end of data"),
        ("u.jsonl", "u1\n", "line 1 is not JSON"),
        ("u.jsonl", '"u1"\n' + "[" * 100_000 + "\n", "line 2 is not JSON: "),
        ("u.jsonl", '"u1"\n5\n', "line 2 must be a text, or an object"),
        ("u.jsonl", '{"name": "Ada"}\n', "line 1 must be a text, or an object"),
    ],
)
def test_a_file_that_is_wrong_is_status_1_and_says_where(
    command: Command, tmp_path: Path, name: str, text: str, message: str
) -> None:
    ended = command("assign", "--users", written(tmp_path / name, text), *BANNER)
    assert ended.status == 1
    assert f"{name}: " in ended.err
    assert message in ended.err


@pytest.mark.parametrize(
    ("name", "good"),
    [("u.csv", "user,group.class\nu1,\nu2,\n"), ("u.jsonl", '"u1"\n{"user": "u2"}\n\n')],
)
def test_a_line_that_is_not_utf_8_is_named_after_the_rows_of_those_before(
    command: Command, tmp_path: Path, name: str, good: str
) -> None:
    users = tmp_path / name
    users.write_bytes(good.encode() + b'"\xff"\n')
    ended = command("assign", "--users", users, *BANNER)
    assert (ended.status, ended.err) == (1, f"Error: {name}: line 4 is not UTF-8\n")
    assert [row["user"] for row in rows(ended.out)] == ["u1", "u2"]


def test_a_file_whose_first_line_is_wrong_leaves_no_file_of_rows(
    command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    arguments: list[str | Path] = ["assign", "--users", tmp_path / "u.csv", *BANNER, "--out", out]
    written(tmp_path / "u.csv", "u1,group.class\nu2,\n")
    assert command(*arguments).status == 1
    assert not out.exists()
    written(tmp_path / "u.csv", "user,group.class\nu2,\n")
    assert command(*arguments).status == 0
    assert users_of(out) == ["u2"]


def test_what_standard_output_cannot_encode_is_escaped(
    command: Command, students: Path, tmp_path: Path
) -> None:
    with command.process(
        "assign", "--users", students, *TWO_POINTS, PYTHONIOENCODING="ascii"
    ) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "3 users, 0 failed\n")
    assert out.count(r"line 3, \xe9") == out.count(r"\u2603") == 3
    users = written(tmp_path / "users.jsonl", r'"\ud800"')
    ended = command("assign", "--users", users, *BANNER)
    assert (ended.status, ended.err) == (3, "1 users, 1 failed\n")
    assert rows(ended.out)[0]["user"] == r"\ud800"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--users", "users.csv"], "--users goes with one --point SITE TARGET or more"),
        (["--users", "users.csv", *BANNER, "--resume"], "--resume goes with --out"),
        (["--users", "users.txt", *BANNER], "users.txt must end in .csv or .jsonl"),
        (["--users", "users.csv", *BANNER, "--out", "rows.txt"], "rows.txt must end in .csv"),
        (["--users", "nowhere.csv", *BANNER], "'nowhere.csv' does not exist"),
        (["--users", "users.csv", *BANNER, "--concurrency", "0"], "0 is not in the range"),
        (["--users", "users.csv", "--point", "", "x"], "site must not be empty"),
        (["u1", "--users", "users.csv", *BANNER], "USER goes without --users"),
    ],
)
def test_wrong_arguments_are_status_2(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ["users.csv", "users.txt"]:
        written(Path(name), "user\nu1\n")
    ended = command("assign", *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert not Path("rows.txt").exists()


@pytest.mark.parametrize(
    "wrong", [["--point", "", "x"], [*BANNER, "--store", "nowhere:"]], ids=["point", "setting"]
)
def test_wrong_arguments_leave_no_file_of_rows(
    command: Command, students: Path, tmp_path: Path, wrong: list[str]
) -> None:
    out = tmp_path / "rows.csv"
    ended = command("assign", "--users", students, *wrong, "--out", out)
    assert (ended.status, ended.out) == (2, "")
    assert not out.exists()
    assert command("assign", "--users", students, *wrong).out == ""
    assert command("assign", "--users", students, *BANNER, "--out", out).status == 0


def test_a_file_that_cannot_be_written_is_status_1(
    command: Command, students: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nowhere" / "rows.csv"
    ended = command("assign", "--users", students, *BANNER, "--out", out)
    assert ended.status == 1
    assert "No such file" in ended.err


# ---- Going on ----


def test_a_file_that_exists_is_not_written_over(
    command: Command, students: Path, tmp_path: Path
) -> None:
    out = written(tmp_path / "rows.csv", "mine")
    ended = command("assign", "--users", students, *BANNER, "--out", out)
    assert ended.status == 2
    assert "exists: go on with --resume" in ended.err
    assert out.read_text() == "mine"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_wherever_a_file_ends_resume_completes_it(
    command: Command, students: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"rows.{ending}"
    arguments: list[str | Path] = ["assign", "--users", students, *TWO_POINTS, "--out", out]
    assert command(*arguments, "--resume").status == 0  # which begins where there is no file
    complete = out.read_bytes()
    for end in range(0, len(complete) + 1, 7):
        out.write_bytes(complete[:end])
        assert command(*arguments, "--resume").status == 0
        assert out.read_bytes() == complete, end


def test_resume_asks_for_the_rest_alone(
    command: Command, local: LocalUpgrade, students: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    arguments: list[str | Path] = ["assign", "--users", students, *TWO_POINTS, "--out", out]
    command(*arguments)
    complete = out.read_bytes()
    out.write_bytes(complete[: complete.index(b"u2,odd")])
    local.reset()
    ended = command(*arguments, "--resume")
    assert (ended.status, ended.err) == (0, "2 users, 0 failed, after 1 earlier\n")
    assert {request.user for request in local.requests} == {"u2", "u3"}
    assert out.read_bytes() == complete
    local.reset()
    assert command(*arguments, "--resume").err == "0 users, 0 failed, after 3 earlier\n"
    assert local.requests == ()


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_resume_remembers_who_failed_before(command: Command, tmp_path: Path, ending: str) -> None:
    users = written(tmp_path / "users.csv", "user,group.class\nu1,\n☃,\nu3,\n")
    out = tmp_path / f"rows.{ending}"
    arguments: list[str | Path] = ["assign", "--users", users, *TWO_POINTS, "--out", out]
    assert command(*arguments).status == 3
    ended = command(*arguments, "--resume")
    assert ended.err == "0 users, 0 failed, after 3 earlier, of whom 1 failed\n"
    assert ended.status == 3


def test_cells_may_be_of_any_length(command: Command, local: LocalUpgrade, tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "x" * (limit + 1)
    local.experiment("long", "", conditions=["a"], payloads={"a": long})
    users = written(tmp_path / "users.csv", f"user,group.class,note\nu1,,{long}\nu2,,\n")
    out = tmp_path / "rows.csv"
    point = ["--point", "long", ""]
    arguments: list[str | Path] = ["assign", "--users", users, *point, "--out", out]
    ended = command(*arguments)
    assert (ended.status, ended.err) == (0, "2 users, 0 failed\n")
    ended = command(*arguments, "--resume")
    assert (ended.status, ended.err) == (0, "0 users, 0 failed, after 2 earlier\n")
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.csv", "user,name\nu1,Ada\n", "holds something that is no row"),
        ("rows.csv", 'a,"b"c,d\n', "holds something that is no row"),
        ("rows.csv", "u2,home,banner,control,,assigned,\r\n", "where the next user is 'u1'"),
        ("rows.csv", "u1,home,other,control,,assigned,\r\n", "is not of these users and points"),
        ("rows.csv", "mine", "holds something that is no row"),
        ("rows.csv", '"mine\n', "holds something that is no row"),
        ("rows.jsonl", '{"mine": 1}', "holds something that is no row"),
        ("rows.jsonl", "[]\n", "holds something that is no row"),
        ("rows.jsonl", "{}\n", "holds something that is no row"),
        ("rows.jsonl", "u1\n", "holds something that is no row"),
        ("rows.jsonl", "[" * 100_000 + "\n", "holds something that is no row"),
        (
            "rows.jsonl",
            "".join(
                json.dumps({"user": f"u{number}", "site": "home", "target": "banner"}) + "\n"
                for number in range(1, 5)
            ),
            "where the next user is None",
        ),
    ],
)
def test_resume_leaves_a_file_of_something_else_alone(
    command: Command, students: Path, tmp_path: Path, name: str, text: str, message: str
) -> None:
    out = written(tmp_path / name, text)
    ended = command("assign", "--users", students, *BANNER, "--out", out, "--resume")
    assert ended.status == 1
    assert message in ended.err
    assert out.read_bytes() == text.encode()


@pytest.mark.parametrize(("name", "text"), [("u.csv", "user"), ("u.jsonl", '{"user": "u1"}')])
def test_resume_leaves_the_file_of_users_alone(
    command: Command, tmp_path: Path, name: str, text: str
) -> None:
    users = written(tmp_path / name, text)
    ended = command("assign", "--users", users, *BANNER, "--out", users, "--resume")
    assert ended.status == 2
    assert "--out must be another file than --users" in ended.err
    assert users.read_bytes() == text.encode()


def many(tmp_path: Path) -> Path:
    lines = "".join(f"{user},\n" for user in MANY)
    return written(tmp_path / "many.csv", f"user,group.class\n{lines}")


def wait_for_rows(out: Path, bytes_: int) -> None:
    until = time.monotonic() + 60
    while not out.exists() or out.stat().st_size < bytes_:
        assert time.monotonic() < until, "no rows came"
        time.sleep(0.01)


def users_of(out: Path) -> list[str]:
    return [row["user"] for row in rows(out.read_text("utf-8"))]


def test_resume_loses_and_repeats_no_row_after_a_kill(
    command: Command, local: LocalUpgrade, tmp_path: Path
) -> None:
    users, out = many(tmp_path), tmp_path / "rows.csv"
    local.hang(user=LATE)
    arguments: list[str | Path] = ["assign", "--users", users, *BANNER, "--out", out]
    with command.process(*arguments) as process:
        wait_for_rows(out, 5_000)
        process.kill()
    local.up()
    assert command(*arguments, "--resume").status == 0
    assert users_of(out) == MANY


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_stops_and_resume_goes_on(
    command: Command, local: LocalUpgrade, tmp_path: Path
) -> None:
    users, out = many(tmp_path), tmp_path / "rows.csv"
    local.hang(user=LATE)
    arguments: list[str | Path] = ["assign", "--users", users, *BANNER, "--out", out]
    with command.process(*arguments) as process:
        wait_for_rows(out, 5_000)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=60)
    assert (process.returncode, printed) == (STOPPED, ""), err
    done = len(users_of(out))
    assert 0 < done <= MANY.index(LATE)
    assert err == f"stopped after {done} users; the same command with --resume goes on from there\n"
    local.up()
    assert command(*arguments, "--resume").status == 0
    assert users_of(out) == MANY


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_without_a_file_says_how_far_it_came(
    command: Command, local: LocalUpgrade, students: Path
) -> None:
    local.hang(user="u3")
    with command.process("assign", "--users", students, *BANNER) as process:
        until(lambda: local.requests)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=60)
    assert process.returncode == STOPPED, err
    assert err == f"stopped after {len(rows(printed))} users\n"


def test_ctrl_c_stops_whatever_it_interrupts(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception is lost that is raised in the callback of a weak reference."""
    signals = [signal.SIGINT]

    def interrupt(_: object) -> None:
        with contextlib.suppress(IndexError):
            signal.raise_signal(signals.pop())

    def interrupted(bar: Any, *_: object) -> None:
        dropped = weakref.ref(Ended(0, "", ""), interrupt)
        assert dropped() is None

    monkeypatch.setattr("rich.progress.Progress.advance", interrupted)
    ended = command("assign", "--users", many(tmp_path), *BANNER)
    assert ended.status == STOPPED
    assert ended.err.startswith("stopped after ")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_interrupts_where_it_is(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_twice(bar: Any, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("rich.progress.Progress.advance", interrupted_twice)
    assert command("assign", "--users", many(tmp_path), *BANNER).status == STOPPED


def test_ctrl_c_stays_ignored_in_the_background(
    command: Command, students: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(bar: Any, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("rich.progress.Progress.advance", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert command("assign", "--users", students, *BANNER).status == 0
    finally:
        signal.signal(signal.SIGINT, before)


def printed_on_a_terminal(
    command: Command, users: Path, end: bytes, *, rows_too: bool = False
) -> bytes:
    """Return what a command prints there that fails for some users, up to these last words."""
    import pty
    import subprocess

    parent, child = pty.openpty()
    given = {name: value for name, value in command.environment({}).items() if value}
    with subprocess.Popen(
        [sys.executable, "-m", "upgrade_client_lib", "assign", "--users", str(users), *BANNER],
        stdout=child if rows_too else subprocess.DEVNULL,
        stderr=child,
        env={
            **os.environ,
            **given,
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            "PYTHONIOENCODING": "utf-8",
        },
    ) as process:
        os.close(child)
        printed = b""
        while end not in printed:
            printed += os.read(parent, 65536)
        assert process.wait(60) == 3
    os.close(parent)
    return printed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_a_terminal_shows_how_far_it_is(command: Command, tmp_path: Path) -> None:
    lines = "".join(f"u{number},\n" for number in range(300))
    users = written(tmp_path / "users.csv", f"user,group.class\n{lines}☃,\n")
    printed = printed_on_a_terminal(command, users, b"301 users, 1 failed")
    assert b"users/s" in printed
    assert b"1 failed" in printed
    assert b"301/301" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_rows_on_a_terminal_are_not_mixed_with_a_bar(command: Command, tmp_path: Path) -> None:
    users = written(tmp_path / "users.csv", "user,group.class\nu1,\n☃,\n")
    printed = printed_on_a_terminal(command, users, b"2 users, 1 failed", rows_too=True)
    assert b"\x1b" not in printed
    lines = printed.splitlines()
    assert [line.partition(b",")[0] for line in lines if line] == [
        b"user", b"u1", "☃".encode(), b"2 users",
    ]  # fmt: skip
