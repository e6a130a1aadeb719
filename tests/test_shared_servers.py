"""Clients without a connection share one per host; a process keeps no more of them than it uses."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import OrderedDict

import pytest

from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, blocking, both_forms
from upgrade_client_lib import UpgradeClient, _server


@pytest.fixture(autouse=True)
def of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: weakref.WeakValueDictionary[str, _server.Server] = weakref.WeakValueDictionary()
    recent: OrderedDict[str, _server.Server] = OrderedDict()
    monkeypatch.setattr(_server, "_shared", shared)
    monkeypatch.setattr(_server, "_recent", recent)


def kept() -> int:
    return len(_server._shared)  # pyright: ignore[reportPrivateUsage]


def use_other_hosts(count: int = _server.KEPT) -> None:
    for i in range(count):
        UpgradeClient("user", f"http://tenant-{i}", "my-app")


def test_a_process_that_sees_many_hosts_keeps_few() -> None:
    use_other_hosts(1_000)

    assert kept() == _server.KEPT


def test_spellings_of_a_host_share_one() -> None:
    spellings = ["http://upgrade", "HTTP://upgrade/", "http://upgrade/api", "http://upgrade///"]
    clients = [UpgradeClient("user", spelling, "my-app") for spelling in spellings]

    assert kept() == 1
    assert len({id(client._user.server) for client in clients}) == 1  # pyright: ignore[reportPrivateUsage]


@both_forms
def test_what_a_client_uses_is_kept_and_shared_with_the_next(call: Form) -> None:
    with FaultyServer() as server:
        client = UpgradeClient("user", server.url, "my-app")
        client.init_sync()
        use_other_hosts(2 * _server.KEPT)
        UpgradeClient("other", server.url, "my-app").init_sync()
        assert call(client.init).id == "user"
        assert (server.count("init"), kept()) == (3, _server.KEPT)
        sockets = server.connections
        del client
        use_other_hosts()
        gc.collect()
        server.wait_until_all_hung_up()

    assert sockets == (1 if call is blocking else 2)


def test_the_most_recently_used_are_kept_without_a_client() -> None:
    with FaultyServer() as server:
        for _ in range(3):
            UpgradeClient("user", server.url, "my-app").init_sync()
            use_other_hosts(_server.KEPT - 1)
        assert server.connections == 1
        use_other_hosts()
        server.wait_until_all_hung_up()


def test_one_that_is_dropped_closes_the_sockets_of_a_running_event_loop() -> None:
    async def scenario() -> None:
        await UpgradeClient("user", server.url, "my-app").init()
        use_other_hosts()
        gc.collect()
        await asyncio.to_thread(server.wait_until_all_hung_up)

    with FaultyServer() as server:
        asyncio.run(scenario())


def test_an_assignment_keeps_what_it_is_marked_through() -> None:
    with FaultyServer() as server:
        server.upgrade.experiment("home", "banner", conditions=["control"])
        client = UpgradeClient("user", server.url, "my-app")
        client.init_sync()
        assignment = client.get_decision_point_assignment_sync("home", "banner")
        assert assignment is not None
        del client
        use_other_hosts()
        gc.collect()
        assignment.mark_decision_point_sync("condition applied")

    assert len(server.upgrade.marks) == 1
