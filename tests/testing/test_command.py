"""``python -m upgrade_client_lib.testing``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.testing.support_recorded import EXPORTS
from upgrade_client_lib import UpgradeClient, __version__
from upgrade_client_lib.testing.__main__ import main

EXPERIMENTS, FLAGS = EXPORTS / "experiments.json", EXPORTS / "flags.json"
COMMAND = [sys.executable, "-m", "upgrade_client_lib.testing", str(EXPERIMENTS), "--port", "0"]


@pytest.fixture
def serving() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "--flags", str(FLAGS), "--context", "empty-app", "--server", "6.7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_what_it_serves_logs_requests_and_stops(
    serving: subprocess.Popen[str], stop: signal.Signals
) -> None:
    assert serving.stdout is not None
    assert serving.stderr is not None
    first = serving.stdout.readline()
    told = re.fullmatch(r"UpGrade 6\.7 at (http://127\.0\.0\.1:\d+), until Ctrl-C\n", first)
    assert told is not None, first
    lines = [serving.stdout.readline().rstrip() for _ in range(24)]
    assert "  my-app: simple-banner, enrolling, at home/banner" in lines
    assert "  null-app: null-target, enrolling, at nullsite, nullsite/has-target" in lines
    assert lines[-1] == "  my-app: flag DISABLED_FLAG, disabled"

    url = told[1]
    assert httpx.get(f"{url}/api/version").json() == "6.7.0"
    headers = {"User-Id": "u1"}
    assert httpx.post(f"{url}/api/v6/init", headers=headers, json={}).status_code == 200
    body = {"context": "empty-app"}
    assert httpx.post(f"{url}/api/v6/assign", headers=headers, json=body).json() == []

    serving.send_signal(stop)
    rest, errors = serving.communicate(timeout=10)
    assert serving.returncode == 0
    assert errors == ""
    assert [re.sub(r"\d+\.\d ms$", "n ms", line) for line in rest.splitlines()] == [
        "200 GET /api/version - n ms",
        "200 POST /api/v6/init u1 n ms",
        "200 POST /api/v6/assign u1 n ms",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break in another way")
def test_requests_are_answered_when_nobody_reads_what_is_printed(
    serving: subprocess.Popen[str],
) -> None:
    assert serving.stdout is not None
    url = serving.stdout.readline().split()[3].rstrip(",")
    serving.stdout.close()
    for _ in range(2):
        assert httpx.get(f"{url}/api/version").json() == "6.7.0"


class UntilVisited(Event):
    """Waits once in vain; then lets somebody visit, and presses Ctrl-C."""

    def __init__(self, capsys: pytest.CaptureFixture[str], visit: Callable[[str], object]) -> None:
        super().__init__()
        self._capsys = capsys
        self._visit = visit
        self._waits = 0
        self.printed = ""

    def wait(self, timeout: float | None = None) -> bool:
        self._waits += 1
        if self._waits == 1:
            return False
        self.printed = self._capsys.readouterr().out
        self._visit(self.printed.split()[3].rstrip(","))
        signal.raise_signal(signal.SIGINT)
        return self.is_set()


def test_it_runs_inside_a_program_too(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def visit(url: str) -> None:
        headers = {"User-Id": "u1"}
        httpx.get(f"{url}/api/version")
        httpx.post(f"{url}/api/v6/assign", headers=headers, json={"context": "empty-app"})

    visited = UntilVisited(capsys, visit)
    arguments = [*COMMAND[3:], "--context", "empty-app", "--flags", str(FLAGS)]
    assert main(arguments, visited) == 0
    assert len(visited.printed.splitlines()) == 25
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" ")[0][:-4] for line in lines] == [
        "200 GET /api/version -",
        "404 POST /api/v6/assign u1",
    ]
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_without_a_file_it_serves_a_sample_school_and_tells_whom_to_try(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: dict[str, str | None] = {}

    def visit(url: str) -> None:
        for user_id in ("student-4", "student-6"):
            with UpgradeClient(user_id, url, "my-app") as client:
                client.init_sync(group={"class": ["class-1"]})
                assert client.has_feature_flag_sync("new-dashboard")
                banner = client.get_decision_point_assignment_sync("home", "banner")
                given[user_id] = banner.get_condition() if banner else None

    visited = UntilVisited(capsys, visit)
    assert main(["--port", "0", "--server", "6.7"], visited) == 0
    first, *told = visited.printed.splitlines()
    assert first.startswith("UpGrade 6.7 at http://127.0.0.1:")
    assert told[:2] == [
        "A sample school in the context my-app, whose groups are class-1 and class-2. Try it:",
        "at home/banner, student-4 gets the treatment, and student-6 the control.",
    ]
    assert told[2] == "  my-app: a warmer welcome, enrolling, at home/banner"
    assert told[-1] == "  my-app: flag dark-mode, enabled"
    assert given == {"student-4": "treatment", "student-6": "control"}


def test_flags_can_be_served_without_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    visited = UntilVisited(capsys, httpx.get)
    assert main(["--port", "0", "--flags", str(FLAGS)], visited) == 0
    assert [line.split()[1] for line in visited.printed.splitlines()[1:]] == ["flag"] * 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing.json"], "No such file or directory: 'nothing.json'"),
        ([str(FLAGS)], "error: experiment 'Flag NEW_DASHBOARD': assignmentUnit: missing"),
        ([str(EXPERIMENTS), str(EXPERIMENTS)], "is taken"),
        ([str(EXPERIMENTS), "--port", "70000"], "error: port must be from 0 to 65535, not 70000"),
        ([str(EXPERIMENTS), "--host", "192.0.2.1"], "cannot serve on 192.0.2.1 port 3030: "),
        (["--host", "192.0.2.1"], "cannot serve on 192.0.2.1 port 3030: "),
    ],
)
def test_what_it_cannot_serve_is_one_line_and_a_status(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert complaint in printed.err
    assert printed.err.count("\n") == 1


def test_the_exit_status_is_the_commands() -> None:
    done = subprocess.run(
        [*COMMAND[:3], "nothing.json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "nothing.json" in done.stderr


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"
