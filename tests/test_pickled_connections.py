"""A connection pickles as its settings, so that a worker elsewhere makes its own."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import httpx
import pytest

from upgrade_client_lib import Hook, Timeout, UpgradeClient, UpgradeConnection
from upgrade_client_lib.batch import decide_many
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade

HOST = "https://upgrade.example.org"
SECRETS: dict[str, Any] = {
    "token": "t-o-k-e-n",
    "headers": {"X-Key": "t-o-k-e-n"},
    "hash_key": "t-o-k-e-n",
    "proxy": "http://me:t-o-k-e-n@proxy.example.org",
}


class Quiet(Hook):
    """A hook that a worker can import."""


def unpickled(connection: UpgradeConnection) -> UpgradeConnection:
    again: UpgradeConnection = pickle.loads(pickle.dumps(connection))
    return again


def test_another_process_decides_with_a_pickled_connection() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["warm"])
    worker = (
        "import pickle, sys\n"
        "with pickle.loads(bytes.fromhex(sys.argv[1])) as connection:\n"
        "    client = connection.client('u1', 'my-app', group={})\n"
        "    print(client.decide_sync('home', 'banner').condition)"
    )
    with local.serve() as url, UpgradeConnection(url) as connection:
        connection.client("u1", "my-app").init_sync()  # which opens a socket
        pickled = pickle.dumps(connection).hex()
        done = subprocess.run(
            [sys.executable, "-c", worker, pickled],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stdout == "warm\n"


def test_the_settings_are_kept() -> None:
    timeout = Timeout(total=1.0)
    connection = unpickled(
        UpgradeConnection(f"{HOST}/api", timeout=timeout, retries=5, hooks=[Quiet()])
    )
    assert connection.host_url == HOST
    server = connection._server  # pyright: ignore[reportPrivateUsage]
    assert (server.options.timeout, server.options.retries) == (timeout, 5)
    assert server.hooks


class School(UpgradeClient):
    """A client of an application's own, with an attribute of its own."""

    name = ""


def test_a_client_is_not_pickled_and_the_error_says_what_is() -> None:
    client = UpgradeConnection(HOST).client("u1", "my-app")
    for one in (client, client.with_options(retries=0)):
        with pytest.raises(TypeError, match="pickle its connection, and make the client where"):
            pickle.dumps(one)


def test_a_client_is_copied_as_itself_where_what_holds_it_is() -> None:
    client = UpgradeConnection(HOST).client("u1", "my-app")
    assert copy.deepcopy({"client": client})["client"] is client


def test_a_view_of_an_applications_own_client_has_its_attributes_and_what_it_knows() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["warm"])
    client = School("u1", "http://upgrade.local", "my-app", transport=local.transport, group={})
    client.name = "a school"
    assignment = client.get_decision_point_assignment_sync("home", "banner")
    view = client.with_options(retries=0)
    assert view.name == "a school"
    assert view.get_decision_point_assignment_sync("home", "banner") == assignment


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_left_out_and_missed(name: str) -> None:
    connection = UpgradeConnection(HOST, **{name: SECRETS[name]})
    assert b"t-o-k-e-n" not in pickle.dumps(connection)
    again = unpickled(connection)
    with pytest.raises(RuntimeError, match=rf"pickled without its {name}: make it with pickle_sec"):
        again.client("u1", "my-app")
    with pytest.raises(RuntimeError, match=name):
        list(decide_many(again, "my-app", ["u1"], [("home", "banner")]))


def test_all_that_is_missed_is_named() -> None:
    again = unpickled(UpgradeConnection(HOST, token="t", headers={"X-Key": "k"}))
    with pytest.raises(RuntimeError, match="without its token and headers"):
        again.client("u1", "my-app")
    with pytest.raises(RuntimeError, match="without its headers:"):
        again.client("u1", "my-app", token="t")


def test_a_client_may_have_the_token_that_was_left_out() -> None:
    again = unpickled(UpgradeConnection(HOST, token="t"))
    assert again.client("u1", "my-app", token="t").user_id == "u1"


def test_secrets_go_where_that_is_asked_for() -> None:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    with local.serve() as url:
        connection = UpgradeConnection(url, token=local.token, pickle_secrets=True)
        with unpickled(unpickled(connection)) as again:
            assert again.client("u1", "my-app").init_sync().id == "u1"


def test_without_secrets_there_is_nothing_to_miss() -> None:
    again = unpickled(unpickled(UpgradeConnection(HOST, proxy="http://proxy.example.org")))
    assert again.client("u1", "my-app").user_id == "u1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", MemoryStore()),
        ("transport", LocalUpgrade().transport),
        ("http_client", httpx.Client()),
    ],
)
def test_what_belongs_to_this_process_is_named(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"with {name}= cannot be pickled"):
        pickle.dumps(UpgradeConnection(HOST, **{name: value}))


def test_a_copy_is_the_same_connection() -> None:
    connection = UpgradeConnection(HOST, token="t")
    assert copy.copy(connection) is connection
    assert copy.deepcopy([connection]) == [connection]


def test_whether_secrets_are_pickled_is_true_or_false() -> None:
    with pytest.raises(TypeError, match="pickle_secrets must be True or False"):
        UpgradeConnection(HOST, pickle_secrets="yes")  # type: ignore[arg-type]
