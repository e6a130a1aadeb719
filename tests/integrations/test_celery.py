"""UpGrade in the worker processes of Celery, as its signals tell of them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals

from tests.support_children import needs_fork
from tests.support_programs import run_python
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.integrations.celery import Upgrade
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade

ROOT = Path(__file__).parent.parent.parent


class Connections:
    """Makes connections, and keeps them for the test."""

    def __init__(self, **options: Any) -> None:
        self.local = LocalUpgrade()
        self.local.experiment("letter", "subject", conditions=["short"])
        self.made: list[UpgradeConnection] = []
        self._options = options

    def __call__(self) -> UpgradeConnection:
        self.made.append(
            UpgradeConnection(
                "http://upgrade.local",
                transport=self.local.transport,
                retries=0,
                **self._options,
            )
        )
        return self.made[-1]


def is_closed(connection: UpgradeConnection) -> bool:
    try:
        connection.client("student-1", "my-app").init_sync()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("stop", [signals.worker_process_shutdown, signals.worker_shutdown])
def test_a_worker_process_makes_a_connection_and_closes_it(stop: Any) -> None:
    connections = Connections()
    upgrade = Upgrade(connect=connections)
    assert connections.made == []
    signals.worker_process_init.send(sender="worker-1")
    (connection,) = connections.made
    assert upgrade.connection is connection
    assert not is_closed(connection)
    stop.send(sender="worker-1", pid=os.getpid(), exitcode=0)
    stop.send(sender="worker-1", pid=os.getpid(), exitcode=0)
    assert is_closed(connection)


def test_a_task_decides_and_marks() -> None:
    connections = Connections()
    upgrade = Upgrade(connect=connections)
    app = Celery("letters")
    app.conf.task_always_eager = True

    @app.task
    def send_letter(student: str) -> str:
        client = upgrade.connection.client(student, "my-app", group={})
        subject = client.decide_sync("letter", "subject", default="as usual")
        subject.mark_sync()
        return subject.condition

    assert [send_letter.delay(f"student-{number}").get() for number in range(2)] == ["short"] * 2
    assert len(connections.made) == 1, "the connection is made once, when it is needed"
    assert [mark.user for mark in connections.local.marks] == ["student-0", "student-1"]


def test_a_worker_that_stops_delivers_what_was_handed_over() -> None:
    connections = Connections(outbox=MemoryStore())
    upgrade = Upgrade(connect=connections)
    client = upgrade.connection.client("student-1", "my-app", group={})
    client.decide_sync("letter", "subject").mark_sync()
    signals.worker_process_shutdown.send(sender="worker-1", pid=os.getpid(), exitcode=0)
    connections.local.assert_marked("letter", "subject", user="student-1", condition="short")


def run(program: str) -> str:
    done = run_python("-c", textwrap.dedent(program), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_fork
def test_a_forked_process_has_a_connection_of_its_own() -> None:
    printed = run("""
        import os
        from celery import signals
        from upgrade_client_lib import UpgradeConnection
        from upgrade_client_lib.integrations.celery import Upgrade

        upgrade = Upgrade(connect=lambda: UpgradeConnection("http://upgrade.local"))
        parents = upgrade.connection
        if os.fork() == 0:
            signals.worker_process_init.send(sender="worker-1")
            assert upgrade.connection is not parents
            print("child", flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        assert upgrade.connection is parents
        print("parent")
    """)
    assert printed == "child\nparent\n"


def test_a_process_that_ends_closes_its_connection() -> None:
    printed = run("""
        from upgrade_client_lib import UpgradeConnection
        from upgrade_client_lib.integrations.celery import Upgrade

        class Told(UpgradeConnection):
            def close(self):
                print("closed")
                super().close()

        upgrade = Upgrade(connect=lambda: Told("http://upgrade.local"))
        upgrade.connection
        print("ends")
    """)
    assert printed == "ends\nclosed\n"


def test_the_connection_is_made_from_the_environment_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade.example.org")
    assert Upgrade().connection.host_url == "http://upgrade.example.org"
