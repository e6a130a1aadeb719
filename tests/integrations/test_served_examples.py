"""The example applications, started by real server programs: a page, an outage, the page again."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from kombu import pools

from examples.school import school
from tests.support_programs import signal_all
from tests.support_redis import RedisServer
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn and prefork need fork")

ROOT = Path(__file__).parent.parent.parent
LONGEST = 60.0
"""No program takes longer to start or to stop, in seconds."""

UVICORN = ["uvicorn", "--port", "0"]
GUNICORN = ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:0"]
LISTENING = re.compile(r"(?:running on|Listening at:) (http://127\.0\.0\.1:\d+)")


@contextmanager
def started(
    command: Sequence[str], ready: re.Pattern[str], **environment: str
) -> Generator[re.Match[str], None, None]:
    """Run a program until the block ends; it must end by itself then, and report no error."""
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        log = ""
        too_long = threading.Timer(2 * LONGEST, signal_all, [process, signal.SIGKILL])
        too_long.start()
        try:
            found = None
            while found is None:
                line = process.stdout.readline()
                log += line
                assert line, log
                found = ready.search(line)
            yield found
            process.send_signal(signal.SIGTERM)
            log += process.communicate(timeout=LONGEST)[0]
        finally:
            too_long.cancel()
            signal_all(process, signal.SIGKILL)
    assert "Traceback" not in log, log
    assert process.returncode in (0, -signal.SIGTERM), log


@pytest.fixture
def local() -> LocalUpgrade:
    local = school()
    local.force("home", "banner", user="student-1", condition="treatment")
    return local


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*UVICORN, "--factory", "examples.fastapi_app:create_app"], id="fastapi"),
        pytest.param([*GUNICORN, "--preload", "examples.flask_app:create_app()"], id="flask"),
        pytest.param([*GUNICORN, "--preload", "examples.django_app:application"], id="django"),
        pytest.param([*UVICORN, "examples.django_app:asgi_application"], id="django-async"),
    ],
)
def test_a_page_comes_during_an_outage_and_is_right_after_it(
    local: LocalUpgrade, command: list[str]
) -> None:
    welcome = "<h1>Welcome back!</h1><p>student-1, here is the new dashboard.</p>"
    usual = "<h1>Hello.</h1><p>student-1, here is the dashboard.</p>"
    with (
        local.serve() as url,
        started(command, LISTENING, UPGRADE_HOST_URL=url) as found,
        httpx.Client(base_url=found[1], timeout=LONGEST, trust_env=False) as browser,
    ):
        assert "Sign in" in browser.get("/", follow_redirects=True).text
        form = {"student": "student-1", "school_class": "class-1"}
        assert browser.post("/sign-in", data=form).status_code in (302, 303)
        for _ in range(6):  # which any of the workers answers
            assert browser.get("/").text.strip() == welcome
        local.assert_marked("home", "banner", user="student-1", condition="treatment")
        assert browser.get("/health").json() == {"upgrade": "ok"}

        local.down()
        assert browser.get("/").text.strip() == usual
        assert browser.post("/lesson-done", data={"seconds": "95"}).status_code == 204
        local.up()
        assert browser.get("/").text.strip() == welcome
        assert browser.post("/lesson-done", data={"seconds": "95"}).status_code == 204
    local.assert_logged("totalTimeSeconds", value=95, user="student-1")
    assert {mark.user for mark in local.marks} == {"student-1"}


@contextmanager
def sending_tasks(redis: RedisServer) -> Generator[Celery, None, None]:
    """An application whose tasks go through Redis, until the block ends: it leaves nothing open."""
    with Celery("test", broker=redis.url, backend=redis.url) as app:
        try:
            yield app
        finally:
            gc.collect()  # a result waits for the collector, and wants the server once more
            backend: Any = app.backend
            backend.result_consumer.stop()
            backend.client.connection_pool.disconnect()
            pools.reset()


@pytest.mark.parametrize("has_outbox", [False, True], ids=["sent-at-once", "with-an-outbox"])
def test_the_tasks_of_a_worker_decide_during_an_outage_and_are_right_after_it(
    local: LocalUpgrade, redis_server: RedisServer, tmp_path: Path, has_outbox: bool
) -> None:
    worker = ["celery", "--app", "examples.celery_app", "worker", "--concurrency", "2"]
    worker += ["--loglevel", "info"]
    outbox = tmp_path / "outbox.db"
    environment = {"CELERY_BROKER_URL": redis_server.url}
    if has_outbox:
        environment["UPGRADE_OUTBOX"] = f"sqlite:///{outbox}"

    def send_letters(number: int) -> list[dict[str, object]]:
        sent = [
            app.send_task("examples.celery_app.send_letter", ["student-1", "class-1"])
            for _ in range(number)
        ]
        return [task.get(timeout=LONGEST) for task in sent]

    def all_are_delivered() -> bool:
        if not has_outbox:
            return True
        with UpgradeConnection(url, outbox=SQLiteStore(outbox)) as connection:
            return connection.outbox.flush_sync(LONGEST) == 0

    with (
        sending_tasks(redis_server) as app,
        local.serve() as url,
        started(worker, re.compile(r"ready\."), UPGRADE_HOST_URL=url, **environment),
    ):
        letters = send_letters(8)
        assert {letter["condition"] for letter in letters} == {"treatment"}
        assert all_are_delivered()  # one that the outage cut short would be sent again
        local.down()
        (letter,) = send_letters(1)
        assert (letter["condition"], letter["reason"]) == ("control", "error")
        local.up()
        (letter,) = send_letters(1)
        assert (letter["condition"], letter["reason"]) == ("treatment", "assigned")
        assert all_are_delivered()
    assert len(local.marks) == 9, "each letter but the one of the outage"
