"""The environment may name a store, which the clients of a process share."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.support_forms import Form, blocking, both_forms
from upgrade_client_lib import UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionSource

Maker = Callable[[str], AbstractContextManager[UpgradeClient]]


@contextmanager
def of_client(user_id: str) -> Generator[UpgradeClient, None, None]:
    yield UpgradeClient.from_env(user_id)


@contextmanager
def of_connection(user_id: str) -> Generator[UpgradeClient, None, None]:
    with UpgradeConnection.from_env() as connection:
        yield connection.client(user_id, "my-app")


def source_of_decision(call: Form, make: Maker) -> DecisionSource | None:
    with make("user") as client:
        source: DecisionSource | None = call(client.decide, "home").source
    return source


both_makers = pytest.mark.parametrize("make", [of_client, of_connection])


@both_forms
@both_makers
def test_a_store_may_be_named(
    call: Form,
    make: Maker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = LocalUpgrade()
    local.experiment("home", conditions=["a"])
    with local.serve() as host_url:
        monkeypatch.setenv("UPGRADE_HOST_URL", host_url)
        monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
        monkeypatch.setenv("UPGRADE_STORE", f"sqlite:///{tmp_path}/store.db")
        with make("user") as client:
            call(client.init)
        sources = [source_of_decision(call, make) for _ in range(2)]
    assert sources == [DecisionSource.SERVER, DecisionSource.CACHE]
    assert (tmp_path / "store.db").exists()


def test_clients_with_the_same_store_share_what_is_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = LocalUpgrade()
    local.experiment("home", conditions=["a"])
    with local.serve() as host_url:
        monkeypatch.setenv("UPGRADE_HOST_URL", host_url)
        monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
        UpgradeClient.from_env("user").init_sync()
        monkeypatch.setenv("UPGRADE_STORE", "memory:")
        sources = [source_of_decision(blocking, of_client) for _ in range(2)]
        monkeypatch.setenv("UPGRADE_STORE", "")
        sources += [source_of_decision(blocking, of_client)]
    assert sources == [DecisionSource.SERVER, DecisionSource.CACHE, DecisionSource.SERVER]


@both_makers
def test_a_store_that_is_wrong_names_the_variable_and_no_password(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade")
    monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
    monkeypatch.setenv("UPGRADE_STORE", "mysql://:secret@db")
    with pytest.raises(ValueError, match="the environment variable UPGRADE_STORE is wrong") as said:
        make("user").__enter__()
    assert "secret" not in str(said.value)


@both_makers
def test_an_outbox_may_be_named(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalUpgrade()
    with local.serve() as host_url:
        monkeypatch.setenv("UPGRADE_HOST_URL", host_url)
        monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
        monkeypatch.setenv("UPGRADE_OUTBOX", f"sqlite:///{tmp_path}/outbox.db")
        with make("user") as client:
            client.init_sync()
            event = client.enqueue_reward_sync("SUCCESS", "an id")
            with UpgradeConnection.from_env() as connection:
                assert connection.outbox.flush_sync(10) == 0
                assert [one.id for one in connection.outbox.events_sync("refused")] == [event.id]


def test_clients_of_the_environment_share_one_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
    monkeypatch.setenv("UPGRADE_OUTBOX", "memory:")
    one: Any = UpgradeClient.from_env("one")
    other: Any = UpgradeClient.from_env("two")
    server = one._user.server
    assert other._user.server is server
    assert server.outbox is not None
    monkeypatch.setenv("UPGRADE_OUTBOX", "")
    without: Any = UpgradeClient.from_env("one")
    assert without._user.server.outbox is None


@both_makers
def test_an_outbox_that_is_wrong_names_the_variable(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade")
    monkeypatch.setenv("UPGRADE_CONTEXT", "my-app")
    monkeypatch.setenv("UPGRADE_OUTBOX", "mysql://:secret@db")
    with pytest.raises(ValueError, match="the environment variable UPGRADE_OUTBOX is wrong"):
        make("user").__enter__()
