"""The command as a whole: help, version, settings, and what goes where."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner

from tests.cli.support_cli import Command
from upgrade_client_lib import UpgradeClient, __version__, cli
from upgrade_client_lib._signals import STOPPED
from upgrade_client_lib.cli.commands import upgrade_client
from upgrade_client_lib.testing import LocalUpgrade

NOWHERE = Command("http://127.0.0.1:9")


def known(command: Command, user: str, token: str = "") -> None:
    client = UpgradeClient(user, command.host_url, "my-app", token)
    client.init_sync(group={"class": ["class-1"]})


def test_the_entry_point_is_the_command() -> None:
    scripts = entry_points()
    found = (
        scripts.select(group="console_scripts", name="upgrade-client")
        if hasattr(scripts, "select")
        else [one for one in scripts["console_scripts"] if one.name == "upgrade-client"]
    )
    assert {one.load() for one in found} == {cli.main}


def test_python_m_is_the_same_and_tells_the_version() -> None:
    for module in ["upgrade_client_lib", "upgrade_client_lib.__main__"]:
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_importing_the_module_runs_nothing() -> None:
    assert importlib.import_module("upgrade_client_lib.__main__").main is cli.main


def test_help_names_every_command_and_the_exit_statuses() -> None:
    helped = NOWHERE("--help")
    assert helped.status == 0
    for word in ["assign", "doctor", "flags", "serve", "--version", "Exit status: 0", "130"]:
        assert word in helped.out
    assert NOWHERE("-h").out == helped.out


@pytest.mark.parametrize("name", ["assign", "doctor", "flags"])
def test_each_command_helps_and_names_where_settings_come_from(name: str) -> None:
    helped = NOWHERE(name, "--help", UPGRADE_TOKEN="s3cret")
    assert helped.status == 0
    for setting in ["--host-url", "UPGRADE_HOST_URL", "--context", "UPGRADE_TOKEN", "--json"]:
        assert setting in helped.out
    assert "s3cret" not in helped.out


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from upgrade_client_lib.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'python -m pip install "upgrade-client-lib[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_whose_extra_is_missing_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\nfrom upgrade_client_lib.cli import main; main()"
    )
    options = [
        "--host-url",
        NOWHERE.host_url,
        "--context",
        "my-app",
        "--store",
        "redis://localhost",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, "flags", "student-1", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'Error: RedisStore needs redis: pip install "upgrade-client-lib[redis]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_another_missing_module_is_the_error_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upgrade_client_lib.cli.commands", None)
    with pytest.raises(ModuleNotFoundError, match=r"cli\.commands"):
        cli.main()


def test_flags_are_a_table_for_people_and_a_list_for_programs(command: Command) -> None:
    known(command, "student-1")
    assert "new-dashboard" in command("flags", "student-1").out
    listed = command("flags", "student-1", "--json")
    assert json.loads(listed.out) == ["new-dashboard"]
    assert (listed.status, listed.err) == (0, "")


def test_a_failure_is_on_standard_error_with_what_to_do(command: Command) -> None:
    ended = command("flags", "nobody")
    assert (ended.status, ended.out) == (1, "")
    assert "User not found: nobody" in ended.err
    assert "Nobody was made known" in ended.err


def test_a_server_that_is_away_is_status_1() -> None:
    ended = NOWHERE("flags", "student-1", UPGRADE_TIMEOUT="0.5")
    assert (ended.status, ended.out) == (1, "")
    assert "Check the address, the network" in ended.err


def test_a_refused_token_says_which_variable_to_set() -> None:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    with local.serve() as url:
        command = Command(url)
        known(command, "student-1", local.token)
        refused = command("flags", "student-1", UPGRADE_TOKEN="t.o.k")
        taken = command("flags", "student-1", "--token", local.token, "--json")
    assert refused.status == 1
    assert "set UPGRADE_TOKEN" in refused.err
    assert "t.o.k" not in refused.err
    assert (taken.status, json.loads(taken.out)) == (0, [])


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize(
    "arguments",
    [["flags", "u1"], ["assign", "u1"], ["mark", "u1", "home", "banner"], ["doctor", "u1"]],
)
def test_ctrl_c_while_the_server_is_silent_is_status_130(arguments: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = Command(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with command.process(*arguments) as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                printed, err = process.communicate(timeout=60)
    assert (process.returncode, printed, err) == (STOPPED, "", "stopped\n")


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {"UPGRADE_HOST_URL": ""}, "--host-url (UPGRADE_HOST_URL) must be set"),
        ([], {"UPGRADE_CONTEXT": ""}, "--context (UPGRADE_CONTEXT) must be set"),
        (["--timeout", "soon"], {}, "--timeout (UPGRADE_TIMEOUT) must be a number of seconds"),
        (["--host-url", "ftp://x"], {}, "--host-url (UPGRADE_HOST_URL) is wrong"),
        (["--token", "t\n"], {}, "--token (UPGRADE_TOKEN) holds control characters"),
        (["--store", "nowhere:"], {}, "UPGRADE_STORE is wrong: the address of a store"),
    ],
)
def test_a_wrong_setting_is_status_2_and_named(
    arguments: list[str], environment: dict[str, str], message: str
) -> None:
    ended = NOWHERE("flags", "student-1", *arguments, **environment)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err


def test_an_option_wins_over_the_environment(command: Command) -> None:
    known(command, "student-1")
    elsewhere = Command("http://127.0.0.1:9", "elsewhere")
    options = ["--host-url", command.host_url, "--context", "my-app", "--timeout", "5"]
    assert elsewhere("flags", "student-1", "--json", *options).status == 0


def test_a_store_is_used(command: Command, local: LocalUpgrade, tmp_path: Path) -> None:
    known(command, "student-1")
    store = f"sqlite:///{tmp_path / 'upgrade.db'}"
    for _ in range(2):
        assert command("flags", "student-1", "--store", store).status == 0
    assert [request.endpoint for request in local.requests] == ["init", "featureflag"]


def test_texts_of_the_server_reach_no_terminal_as_commands(tmp_path: Path) -> None:
    local = LocalUpgrade()
    local.flag("red\x1b[31m[bold]flag")
    with local.serve() as url:
        command = Command(url)
        known(command, "student-1")
        assert r"red\x1b[31m[bold]flag" in command("flags", "student-1").out


def test_colours_are_for_terminals_alone(command: Command) -> None:
    known(command, "student-1")
    with command.process("doctor", "student-1") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_a_terminal_gets_colours(command: Command) -> None:
    import pty

    known(command, "student-1")
    parent, child = pty.openpty()
    given = {name: value for name, value in command.environment({}).items() if value}
    with subprocess.Popen(
        [sys.executable, "-m", "upgrade_client_lib", "doctor", "student-1"],
        stdout=child,
        env={**os.environ, **given, "TERM": "xterm-256color"},
    ) as process:
        os.close(child)
        printed = b""
        while b"store" not in printed:
            printed += os.read(parent, 65536)
        assert process.wait(60) == 0
    os.close(parent)
    assert b"\x1b[32mok" in printed


def test_a_narrow_terminal_gets_the_whole_of_each_cell(command: Command) -> None:
    known(command, "student-1")
    narrow = command("flags", "student-1", FORCE_COLOR="1", COLUMNS="10")
    assert narrow.status == 0
    assert max(map(len, narrow.out.splitlines()[3:])) <= 10  # below the heading, which is bold
    assert "new-dashboard" in "".join(narrow.out.split())


PRINTS = [
    ["flags", "student-1"],
    ["flags", "student-1", "--json"],
    ["assign", "--users", "users.csv", "--point", "home", "banner"],
]
FULL = Path("/dev/full")


@pytest.fixture
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have programs keep what they print until they end."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def ended_with(
    command: Command, tmp_path: Path, arguments: list[str], stdout: IO[str]
) -> tuple[int, str]:
    """Return the exit status and the errors of a command that prints to this."""
    known(command, "student-1")
    users = tmp_path / "users.csv"
    users.write_text("user\nstudent-1\n")
    given = [str(users) if argument == users.name else argument for argument in arguments]
    with command.process(*given, stdout=stdout) as process:
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
@pytest.mark.usefixtures("_buffered")
@pytest.mark.parametrize("arguments", PRINTS)
def test_output_that_cannot_be_written_is_status_1(
    command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    with FULL.open("w") as full:
        ended = ended_with(command, tmp_path, arguments, full)
    assert ended == (1, "Error: [Errno 28] No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break in another way")
@pytest.mark.usefixtures("_buffered")
@pytest.mark.parametrize("arguments", PRINTS)
def test_output_that_nobody_reads_is_status_1_without_a_word(
    command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        assert ended_with(command, tmp_path, arguments, broken) == (1, "")


@pytest.mark.skipif(sys.platform == "win32", reason="asks a shell to close it")
def test_a_closed_standard_output_is_status_1() -> None:
    closing = ["sh", "-c", 'exec "$@" >&-', "sh"]
    done = subprocess.run(
        [*closing, sys.executable, "-m", "upgrade_client_lib", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == ("Error: standard output is closed: have it go to a file, or nowhere\n")


def test_the_shell_completes_commands_and_options() -> None:
    for words, wanted in [("upgrade-client do", "doctor"), ("upgrade-client assign --us", "--use")]:
        completed = CliRunner().invoke(
            upgrade_client,
            prog_name="upgrade-client",
            env={
                "_UPGRADE_CLIENT_COMPLETE": "bash_complete",
                "COMP_WORDS": words,
                "COMP_CWORD": str(words.count(" ")),
            },
        )
        assert wanted in completed.output


def test_serve_serves_a_school_until_it_is_stopped() -> None:
    with NOWHERE.process("serve", "--port", "0") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        url = first.split(" at ")[1].split(",")[0]
        assert Command(url)("doctor", "student-4").status == 0
        process.terminate()
        process.communicate(timeout=60)
    assert first.startswith("UpGrade 6.5 at http://127.0.0.1:")
    assert process.returncode == 0


def test_serve_explains_instead_of_serving() -> None:
    with NOWHERE.process("serve", "--explain", "student-4", "home", "banner") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("student-4 gets 'treatment' at home/banner:\n- ")


def test_serve_helps_under_its_own_name() -> None:
    with NOWHERE.process("serve", "--help") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "serve [-h]" in out
    assert "--explain USER SITE TARGET" in out
