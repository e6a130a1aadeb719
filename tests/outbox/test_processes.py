"""Outboxes in processes of their own: how these end, fork, and deliver for others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest

from tests.outbox.support_outbox import LOG, known_user
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_clock import until
from tests.support_programs import run_python
from tests.support_server import PATIENCE
from upgrade_client_lib import UpgradeConnection, _delivering
from upgrade_client_lib._signals import STOPPED
from upgrade_client_lib.stores import MemoryStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """
import sys
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.types import LogInput, LogMetrics

connection = UpgradeConnection(sys.argv[1], outbox=MemoryStore(), **{options})
client = connection.client("user", "my-app", group={{}})
for number in range(20):
    client.enqueue_log_sync([LogInput("2026-11-20", LogMetrics({{"seconds": number}}))])
"""
IN_A_LOOP = """
import asyncio, sys
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore

async def page():
    connection = UpgradeConnection(sys.argv[1], outbox=MemoryStore())
    client = connection.client("user", "my-app", group={})
    await client.enqueue_log([{"timestamp": "2026-11-20", "metrics": {"attributes": {"a": 1}}}])

asyncio.run(page())
"""
IN_A_FORKED_CHILD = """
import multiprocessing, sys

def connect():
    from upgrade_client_lib import UpgradeConnection
    from upgrade_client_lib.stores import MemoryStore

    return UpgradeConnection(sys.argv[1], outbox=MemoryStore())

preloaded = connect() if sys.argv[2] == "parent" else None

def work():
    connection = preloaded or connect()
    client = connection.client("child", "my-app", group={})
    client.enqueue_log_sync([{"timestamp": "2026-11-20", "metrics": {"attributes": {"a": 1}}}])

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


@pytest.fixture
def local() -> LocalUpgrade:
    upgrade = LocalUpgrade()
    upgrade.metric("seconds")
    upgrade.metric("a")
    return upgrade


@pytest.fixture
def url(local: LocalUpgrade) -> Generator[str, None, None]:
    with local.serve() as served:
        yield served


def run(program: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python("-W", "error", *program, environment=environment)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


# ---- Ends ----


@pytest.mark.parametrize("program", [SCRIPT.format(options={}), IN_A_LOOP])
def test_a_program_that_ends_delivers_what_it_handed_over(
    local: LocalUpgrade, url: str, program: str
) -> None:
    ended = run(["-c", program, url])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(local.logs) == (20 if program is not IN_A_LOOP else 1)


def test_a_program_whose_server_is_away_ends_in_time(url: str) -> None:
    away = url.rsplit(":", 1)[0] + ":1"
    ended = run(["-c", SCRIPT.format(options={"flush_at_exit": 1.0}), away])
    assert ended.returncode == 0
    assert "the outbox pauses" in ended.stderr
    assert "Traceback" not in ended.stderr


@needs_fork
def test_a_child_delivers_what_it_handed_over_itself_and_nothing_of_its_parent(
    local: LocalUpgrade, url: str
) -> None:
    connection = UpgradeConnection(url, outbox=MemoryStore())
    known_user(connection).enqueue_log_sync(LOG)

    def work() -> int:
        known_user(connection, "child").enqueue_log_sync(LOG)
        return connection.outbox.flush_sync(PATIENCE)

    assert in_children([work, work]) == ["0", "0"]
    connection.close()
    assert sorted(log.user for log in local.logs) == ["child", "child", "user"]


@needs_fork
@pytest.mark.parametrize("made_in", ["parent", "child"])
def test_a_forked_child_of_multiprocessing_delivers_at_its_end(
    local: LocalUpgrade, url: str, made_in: str
) -> None:
    ended = run(["-c", IN_A_FORKED_CHILD, url, made_in])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [log.user for log in local.logs] == ["child"]


@needs_fork
def test_a_forked_child_of_multiprocessing_does_not_wait_for_what_others_handed_over(
    url: str, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "outbox.db")
    store.add_event(url, "event", "user", b"", max_events=1, remember=0)
    connection = UpgradeConnection(url, outbox=store, flush_at_exit=PATIENCE)
    child = multiprocessing.get_context("fork").Process(target=id, args=[connection])
    child.start()
    child.join()
    assert store.count_events(url) == {"waiting": 1}
    connection.close()


@needs_fork
def test_a_preloaded_connection_delivers_in_each_worker(
    local: LocalUpgrade, url: str, tmp_path: Path
) -> None:
    connection = UpgradeConnection(url, outbox=SQLiteStore(tmp_path / "outbox.db"))

    def work(number: int) -> int:
        client = known_user(connection, f"worker-{number}")
        for _ in range(10):
            client.enqueue_log_sync(LOG)
        return connection.outbox.flush_sync(PATIENCE)

    assert in_children([lambda: work(1), lambda: work(2)]) == ["0", "0"]
    assert len(local.logs) == 20
    connection.close()


@needs_fork
def test_the_workers_of_a_preloaded_gunicorn_deliver_what_they_handed_over(
    local: LocalUpgrade, url: str, tmp_path: Path
) -> None:
    pytest.importorskip("gunicorn")
    module, path = "tests.outbox.support_prefork", str(tmp_path / "socket")
    command = ["-m", "gunicorn", "--config", f"python:{module}", "--bind", f"unix:{path}"]
    gunicorn = subprocess.Popen(
        [sys.executable, *command, f"{module}:application"],
        cwd=ROOT,
        env={**os.environ, "UPGRADE_HOST_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(local.logs) == 3, gunicorn)
        with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as browser:
            assert browser.get("http://gunicorn/").text == "handed over"
    finally:
        gunicorn.terminate()
        _, said = gunicorn.communicate(timeout=60)
    assert gunicorn.returncode == 0, said
    users = sorted(log.user for log in local.logs)
    assert users[:2] == ["master", "page"]
    assert len(set(users)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel wants another event loop there")
def test_a_notebook_delivers_what_its_cells_hand_over(local: LocalUpgrade, url: str) -> None:
    nbclient: Any = pytest.importorskip("nbclient", reason="nox -s examples has nbclient")
    nbformat: Any = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="nox -s examples has ipykernel")
    cells = [
        "from upgrade_client_lib import UpgradeConnection\n"
        "from upgrade_client_lib.stores import MemoryStore\n"
        f"connection = UpgradeConnection({url!r}, outbox=MemoryStore())\n"
        "client = connection.client('user', 'my-app', group={})\n"
        "entry = {'timestamp': '2026-11-20', 'metrics': {'attributes': {'seconds': 1}}}",
        "client.enqueue_log_sync([entry])",
        "await client.enqueue_log([entry])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    assert len(local.logs) == 2


# ---- python -m upgrade_client_lib deliver ----


@pytest.fixture
def waiting(url: str, tmp_path: Path) -> Generator[UpgradeConnection, None, None]:
    """A connection that handed three events over, and does not deliver them."""
    with handed_over(url, tmp_path / "outbox.db") as connection:
        yield connection


@contextmanager
def handed_over(url: str, path: Path) -> Generator[UpgradeConnection, None, None]:
    store = SQLiteStore(path)
    with UpgradeConnection(url, outbox=store, flush_at_exit=0) as connection:
        client = known_user(connection)
        internals: Any = connection
        internals._server.outbox._deliverer.stop(PATIENCE)
        for _ in range(3):
            client.enqueue_log_sync(LOG)
        yield connection


def test_a_process_of_its_own_delivers_and_ends_when_nothing_is_left(
    local: LocalUpgrade, url: str, waiting: UpgradeConnection, tmp_path: Path
) -> None:
    ended = run(
        ["-m", "upgrade_client_lib", "deliver", "--once", "30"],
        UPGRADE_HOST_URL=url,
        UPGRADE_OUTBOX=f"sqlite:///{tmp_path}/outbox.db",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert waiting.outbox.counts_sync() == {}
    assert len(local.logs) == 3


def test_it_tells_by_its_status_that_something_is_left(url: str, tmp_path: Path) -> None:
    away = url.rsplit(":", 1)[0] + ":1"
    with UpgradeConnection(
        away, outbox=SQLiteStore(tmp_path / "outbox.db"), flush_at_exit=0
    ) as connection:
        connection.client("user", "my-app").enqueue_reward_sync("SUCCESS", "an id")
    ended = run(
        ["-m", "upgrade_client_lib", "deliver", "--once", "0.2"],
        UPGRADE_HOST_URL=away,
        UPGRADE_OUTBOX=f"sqlite:///{tmp_path}/outbox.db",
    )
    assert ended.returncode == 1


def delivering(
    url: str, folder: Path, *arguments: str, stderr: int | None = None
) -> subprocess.Popen[str]:
    """Start a process that delivers what is in the outbox of a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "upgrade_client_lib", "deliver", *arguments],
        env={
            **os.environ,
            "UPGRADE_HOST_URL": url,
            "UPGRADE_OUTBOX": f"sqlite:///{folder}/outbox.db",
        },
        stderr=stderr,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_delivers_until_it_is_stopped(
    local: LocalUpgrade,
    url: str,
    waiting: UpgradeConnection,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    connection = waiting
    process = delivering(url, tmp_path)
    try:
        wait_until(lambda: connection.outbox.counts_sync() == {}, process)
        connection.client("user", "my-app").enqueue_log_sync(LOG)
        wait_until(lambda: connection.outbox.counts_sync() == {}, process)
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert len(local.logs) == 4


def test_it_waits_for_a_store_that_is_away(
    local: LocalUpgrade,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "later"

    class WhenDelivered(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            folder.mkdir()
            with handed_over(url, folder / "outbox.db") as connection:
                until(lambda: connection.outbox.counts_sync() == {})
            self.set()
            return True

    monkeypatch.setenv("UPGRADE_HOST_URL", url)
    monkeypatch.setenv("UPGRADE_OUTBOX", f"sqlite:///{folder}/outbox.db")
    assert _delivering.main([], "program", WhenDelivered()) == 0
    assert len(local.logs) == 3
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["the outbox's store failed: OperationalError: unable to open database file"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_by_its_status_that_it_was_stopped_before_its_time(
    local: LocalUpgrade,
    url: str,
    waiting: UpgradeConnection,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    local.down()
    process = delivering(url, tmp_path, "--once", "50", stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert any("the outbox pauses" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == STOPPED
    assert "Traceback" not in said
    assert waiting.outbox.counts_sync() == {"waiting": 3}


def test_a_store_that_stays_away_is_said_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"sqlite:///{tmp_path}/nowhere/outbox.db"
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("UPGRADE_OUTBOX", address)
    assert _delivering.main(["--once", "0"], "program") == 1
    said = capsys.readouterr().err
    assert f"error: the outbox {address} (UPGRADE_OUTBOX) failed: OperationalError" in said


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
def test_seconds_that_are_none_are_a_usage_error(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        _delivering.main(["--once", seconds], "program")
    assert exited.value.code == 2
    assert f"--once: must be 0 or more seconds, not '{seconds}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "UPGRADE_HOST_URL must be set"),
        ({"UPGRADE_HOST_URL": "https://upgrade.example.org"}, "UPGRADE_OUTBOX must name what"),
        (
            {"UPGRADE_HOST_URL": "https://upgrade.example.org", "UPGRADE_OUTBOX": "memory:"},
            "UPGRADE_OUTBOX must name what other processes share",
        ),
        (
            {"UPGRADE_HOST_URL": "https://upgrade.example.org", "UPGRADE_OUTBOX": "file"},
            "UPGRADE_OUTBOX is wrong",
        ),
    ],
)
def test_wrong_settings_are_named(
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ["UPGRADE_HOST_URL", "UPGRADE_OUTBOX", "UPGRADE_STORE", "UPGRADE_TOKEN"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _delivering.main([], "program") == 2
    assert said in capsys.readouterr().err


def test_it_stops_when_it_is_told_to(
    local: LocalUpgrade,
    url: str,
    waiting: UpgradeConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert waiting.outbox.counts_sync() == {"waiting": 3}
    monkeypatch.setenv("UPGRADE_HOST_URL", url)
    monkeypatch.setenv("UPGRADE_OUTBOX", f"sqlite:///{tmp_path}/outbox.db")
    stop: Any = threading.Event()
    stop.set()
    assert _delivering.main([], "program", stop) == 0
    assert _delivering.main(["--once", "10"], "program") == 0
    assert len(local.logs) == 3


def test_its_help_says_what_it_needs() -> None:
    ended = run(["-m", "upgrade_client_lib", "deliver", "--help"])
    assert ended.returncode == 0
    assert "UPGRADE_OUTBOX" in ended.stdout
