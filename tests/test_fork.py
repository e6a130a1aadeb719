"""Child processes: they never use their parent's sockets, locks or loads, nor disturb them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import trustme

from tests import support_children
from tests.support_calls import upgrade_with_user
from tests.support_children import FORK_WARNING, LONGEST, in_child, needs_fork
from tests.support_clock import Clock
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import blocking, each_engine
from tests.support_programs import run_python
from tests.support_server import Background, SteeredServer, initialised, local_upgrade
from upgrade_client_lib import (
    CircuitOpenError,
    Decision,
    RequestTimeoutError,
    UpgradeClient,
    UpgradeConnection,
    _server,
)
from upgrade_client_lib._user import single_flight

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.filterwarnings(FORK_WARNING),
    needs_fork,
]


@contextmanager
def held_elsewhere(lock: AbstractContextManager[object]) -> Generator[None, None, None]:
    """Have another thread hold the lock."""

    def hold() -> None:
        with lock:
            held.set()
            done.wait(LONGEST)

    held, done = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as other:
        other.submit(hold)
        held.wait(LONGEST)
        try:
            yield
        finally:
            done.set()


def test_what_fails_in_a_child_is_told() -> None:
    assert "ZeroDivisionError: division by zero" in in_child(lambda: 1 / 0)


def users_by_connection(server: FaultyServer) -> dict[int, set[str]]:
    """Who sent requests over each connection."""
    users: dict[int, set[str]] = {}
    for request in server.received:
        users.setdefault(request.connection, set()).add(request.headers["user-id"])
    return users


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support_children, "LONGEST", 0.5)
    with pytest.raises(AssertionError, match="the child hung"):
        in_child(signal.pause)


def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    program = "import os, signal\nos.fork()\nsignal.pause()"
    with pytest.raises(pytest.fail.Exception, match="it hung"):
        run_python("-c", program, longest=0.01)


def test_a_child_opens_a_connection_of_its_own_and_the_parent_keeps_its() -> None:
    def work() -> str:
        return own.client("child", "my-app").init_sync().id

    with FaultyServer() as server, UpgradeConnection(server.url) as own:
        parent = own.client("parent", "my-app")
        parent.init_sync()
        assert in_child(work) == "child"
        parent.init_sync()

    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}}


def test_a_child_of_tls_connections_leaves_them_alone() -> None:
    def work() -> str:
        own.client("child", "my-app").init_sync()
        own.close()
        return "done"

    authority, serving = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(serving)  # pyright: ignore[reportUnknownMemberType]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    with (
        FaultyServer(tls=serving) as server,
        UpgradeConnection(server.url, ssl_context=trusting) as own,
    ):
        parent = own.client("parent", "my-app")
        parent.init_sync()
        assert in_child(work) == "done"
        parent.init_sync()

    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}}


@each_engine
def test_a_child_of_an_event_loop_opens_connections_of_its_own() -> None:
    def work() -> str:
        child = own.client("child", "my-app")
        return child.init_sync().id + asyncio.run(child.init()).id

    async def scenario() -> None:
        parent = own.client("parent", "my-app")
        await parent.init()
        assert in_child(work) == "childchild"
        await parent.init()

    with FaultyServer() as server, UpgradeConnection(server.url) as own:
        asyncio.run(scenario())

    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}, 2: {"child"}}


@each_engine
def test_a_child_that_closes_the_connection_closes_its_own_sockets_alone() -> None:
    def work() -> str:
        own.close()
        asyncio.run(own.aclose())
        return "closed"

    async def scenario() -> None:
        parent = own.client("parent", "my-app")
        parent.init_sync()
        await parent.init()
        assert in_child(work) == "closed"
        parent.init_sync()
        await parent.init()

    with FaultyServer() as server, UpgradeConnection(server.url, keepalive_expiry=60.0) as own:
        asyncio.run(scenario())

    assert (server.count("init"), server.connections) == (4, 2)


def test_clients_that_share_a_connection_have_another_in_the_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work() -> str:
        return UpgradeClient("child", server.url, "my-app").init_sync().id

    shared: dict[str, _server.Server] = {}
    monkeypatch.setattr(_server, "_shared", shared)
    with FaultyServer() as server:
        UpgradeClient("parent", server.url, "my-app").init_sync()
        assert in_child(work) == "child"
        UpgradeClient("parent", server.url, "my-app").init_sync()
        for one in shared.values():
            one.close()

    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}}


def test_grandchildren_have_connections_of_their_own_too() -> None:
    def grandchild() -> str:
        return own.client("grandchild", "my-app").init_sync().id

    def work() -> str:
        own.client("child", "my-app").init_sync()
        return in_child(grandchild)

    with FaultyServer() as server, UpgradeConnection(server.url) as own:
        own.client("parent", "my-app").init_sync()
        assert in_child(work) == "grandchild"

    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}, 2: {"grandchild"}}


def test_what_was_cached_before_the_fork_is_warm_in_the_child() -> None:
    def work() -> bool:
        return client.has_feature_flag_sync("new-dashboard")

    upgrade = upgrade_with_user()
    with FaultyServer(upgrade) as server, UpgradeConnection(server.url) as own:
        client = own.client("user", "my-app")
        client.has_feature_flag_sync("new-dashboard")
        assert in_child(work) == "True"

    assert server.count("featureflag") == 1


def test_a_child_reads_while_its_parent_holds_the_lock_of_the_caches() -> None:
    def work() -> bool:
        return client.has_feature_flag_sync("new-dashboard")

    with FaultyServer(upgrade_with_user()) as server, UpgradeConnection(server.url) as own:
        client = own.client("user", "my-app")
        with held_elsewhere(single_flight.lock):
            assert in_child(work) == "True"
        assert client.has_feature_flag_sync("new-dashboard")


def test_a_child_connects_while_its_parent_is_connecting() -> None:
    """A thread of the parent is in the midst of making a pool: it holds the pools' lock."""

    def work() -> str:
        return own.client("child", "my-app").init_sync().id

    with FaultyServer() as server, UpgradeConnection(server.url) as own:
        transport = own._server._transport  # pyright: ignore[reportPrivateUsage]
        with held_elsewhere(transport._lock):  # pyright: ignore[reportPrivateUsage]
            assert in_child(work) == "child"


def test_a_child_makes_a_client_while_its_parent_is_making_one() -> None:
    def work() -> str:
        return UpgradeClient("child", "http://upgrade", "my-app").user_id

    with held_elsewhere(_server._shared_lock):  # pyright: ignore[reportPrivateUsage]
        assert in_child(work) == "child"


@pytest.mark.usefixtures("first_calls_made")
@pytest.mark.parametrize("leader", ["thread", "event loop"])
def test_a_child_loads_for_itself_what_its_parent_is_loading(leader: str) -> None:
    def work() -> bool:
        return client.has_feature_flag_sync("new-dashboard")

    def lead() -> bool:
        if leader == "thread":
            return client.has_feature_flag_sync("new-dashboard")
        return asyncio.run(client.has_feature_flag("new-dashboard"))

    upgrade = upgrade_with_user()
    with (
        FaultyServer(upgrade, featureflag=[never_answers]) as server,
        UpgradeConnection(server.url, timeout=1.0, retries=0) as own,
        ThreadPoolExecutor(1) as pool,
    ):
        client = own.client("user", "my-app")
        leading = pool.submit(lead)
        server.wait_for(1, "featureflag")
        assert in_child(work) == "True"
        with pytest.raises(RequestTimeoutError):
            leading.result()

    assert server.count("featureflag") == 2


def test_a_grandchild_loads_for_itself_what_the_child_is_loading() -> None:
    def grandchild() -> bool:
        return client.has_feature_flag_sync("new-dashboard")

    def work() -> str:
        hold = server.hold_next("featureflag")
        with Background(blocking) as background:
            leading = background.begin(client.has_feature_flag, "new-dashboard")
            hold.wait()
            said = in_child(grandchild)
            hold.release()
            leading.result()
        return said

    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    assert in_child(work) == "True"


def opened(server: SteeredServer, clock: Clock) -> UpgradeConnection:
    """A connection whose circuit breaker will let one read probe."""
    connection = UpgradeConnection("http://upgrade", transport=server, retries=0)
    for _ in range(5):
        server.lose_next("assign", "before")
        connection.client("user", "my-app").decide_sync("home", "banner")
    assert isinstance(decided(connection).error, CircuitOpenError)
    clock.let_pass(1.0)
    return connection


def decided(connection: UpgradeConnection) -> Decision:
    return connection.client("user", "my-app").decide_sync("home", "banner")


def test_a_child_probes_for_itself_while_its_parent_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SteeredServer(upgrade_with_user().transport)
    own = opened(server, Clock.running(monkeypatch))
    hold = server.hold_next("assign")
    with Background(blocking) as background:
        probing = background.run(decided, own)
        hold.wait()
        assert isinstance(decided(own).error, CircuitOpenError)
        assert in_child(lambda: decided(own).reason) == "assigned"
        assert isinstance(decided(own).error, CircuitOpenError)
        hold.release()
        assert probing.result()


def test_a_child_reads_while_its_parent_holds_the_lock_of_the_circuit_breaker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SteeredServer(upgrade_with_user().transport)
    own = opened(server, Clock.running(monkeypatch))
    breaker = own._server._breaker  # pyright: ignore[reportPrivateUsage]
    assert breaker is not None
    with held_elsewhere(breaker._lock):  # pyright: ignore[reportPrivateUsage]
        assert in_child(lambda: decided(own).reason) == "assigned"


def test_threads_of_the_parent_go_on_over_a_fork() -> None:
    def calls() -> None:
        client = own.client("parent", "my-app")
        while not forked.is_set():
            client.init_sync()

    forked = threading.Event()
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url) as own,
        ThreadPoolExecutor(1) as pool,
    ):
        calling = pool.submit(calls)
        try:
            server.wait_for(1, "init")
            for _ in range(3):
                assert in_child(lambda: own.client("child", "my-app").init_sync().id) == "child"
        finally:
            forked.set()
        calling.result(LONGEST)

    users = users_by_connection(server)
    assert all(len(names) == 1 for names in users.values())
    assert sum(names == {"parent"} for names in users.values()) == 1


FIRST_CALLS = """
import asyncio, os, signal, sys, threading, time
from upgrade_client_lib import UpgradeConnection

url, kind = sys.argv[1:]
engine = "aiohttp" if kind == "aiohttp" else "httpx"
client = UpgradeConnection(url, async_engine=engine).client("user", "my-app")

def call():
    if kind == "sync":
        client.init_sync()
    else:
        asyncio.run(client.init())

calling = threading.Thread(target=call)
calling.start()
children = []
for _ in range(10):
    children.append(os.fork())
    if not children[-1]:
        signal.alarm(20)
        call()
        os._exit(0)
    time.sleep(0.002)
calling.join()
print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.parametrize("kind", ["sync", "async", "aiohttp"])
def test_children_that_are_forked_amid_the_first_call_can_call(kind: str) -> None:
    with FaultyServer() as server:
        done = run_python("-W", "ignore", "-c", FIRST_CALLS, server.url, kind)

    assert (done.stdout, done.stderr) == ("0\n", "")


IMPORTS = """
import asyncio, sys
from upgrade_client_lib import UpgradeConnection, _fork

class Watching:
    def find_spec(self, name, path=None, target=None):
        if not _fork._importing._is_owned():
            unprotected.append(name)

urls, kind, own = sys.argv[1].split(), *sys.argv[2:]
unprotected = []
sys.meta_path.insert(0, Watching())
settings = {}
if own == "own":
    import httpx
    settings = {"async_http_client": httpx.AsyncClient(), "http_client": httpx.Client()}
elif kind == "aiohttp":
    settings = {"async_engine": "aiohttp"}
clients = [UpgradeConnection(url, **settings).client("user", "my-app") for url in urls]

METRICS = {"attributes": {"a": 1}, "groupedMetrics": [
    {"groupClass": "a", "groupKey": "b", "groupUniquifier": "c", "attributes": {"d": 1}}
]}
CALLS = {
    "init": [{"class": ["class-1"]}, {"class": "class-1"}],
    "set_group_membership": [{"class": ["class-1"]}],
    "set_working_group": [{"class": "class-1"}],
    "set_alt_user_ids": [["alias"]],
    "get_all_experiment_conditions": [],
    "has_feature_flag": ["new-dashboard"],
    "log": [[{"timestamp": "2026-01-01", "metrics": METRICS}]],
    "mark_decision_point": ["home", "hint", "short", "condition applied"],
    "send_reward": ["SUCCESS", None, None, {"site": "home", "target": "hint"}],
}

async def call(client):
    for name, arguments in CALLS.items():
        await getattr(client, name)(*arguments)

def call_sync(client):
    for name, arguments in CALLS.items():
        getattr(client, f"{name}_sync")(*arguments)

unprotected.clear()
for client in clients:
    call_sync(client) if kind == "sync" else asyncio.run(call(client))
print(unprotected)
"""


@pytest.mark.parametrize(
    ("kind", "own"),
    [("sync", "own"), ("async", "own"), ("sync", "ours"), ("async", "ours"), ("aiohttp", "ours")],
)
def test_calls_import_nothing_but_what_forks_wait_for(kind: str, own: str) -> None:
    """A child that is forked while another thread imports a module can never import it."""
    with FaultyServer(upgrade_with_user()) as server:
        urls = f"{server.url} {server.url.replace('127.0.0.1', 'localhost')}"
        done = run_python("-c", IMPORTS, urls, kind, own)

    assert (done.stdout, done.stderr) == ("[]\n", "")


ENDING = """
import os, sys
from upgrade_client_lib import UpgradeClient

url = sys.argv[1]
parent = UpgradeClient("parent", url, "my-app")
parent.init_sync()
if os.fork() == 0:
    UpgradeClient("child", url, "my-app").init_sync()
    sys.exit()
os.wait()
parent.init_sync()
"""


def test_a_child_that_ends_as_programs_do_leaves_its_parents_sockets_open() -> None:
    with FaultyServer() as server:
        done = run_python("-X", "dev", "-c", ENDING, server.url)
        server.wait_until_all_hung_up()

    assert (done.returncode, done.stderr) == (0, "")
    assert users_by_connection(server) == {0: {"parent"}, 1: {"child"}}
    assert server.count("init") == 3


def test_gunicorns_workers_have_connections_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:tests.support_prefork"]
    path = str(tmp_path / "socket")
    with FaultyServer() as server:
        gunicorn = subprocess.Popen(
            [*command, "--bind", f"unix:{path}", "tests.support_prefork:application"],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "UPGRADE_HOST_URL": server.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            server.wait_for(3, "init")
            answer = asked_over(path)
        finally:
            gunicorn.terminate()
            _, log = gunicorn.communicate(timeout=LONGEST)
        server.wait_until_all_hung_up()

    assert gunicorn.returncode == 0, log
    users = [names.pop() for names in users_by_connection(server).values() if len(names) == 1]
    assert users[0] == "master"
    assert len(users) == len(set(users)) == server.connections == 3
    assert answer.rpartition("\r\n")[2] in users[1:]
    assert server.count("init") == 4


def asked_over(path: str) -> str:
    """The answer of the web server behind a socket's file."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(LONGEST)
        asking.connect(path)
        asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with asking.makefile(encoding="utf-8", newline="") as answer:
            return answer.read()
