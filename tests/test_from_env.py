"""Connections and clients with the settings of the environment."""

from __future__ import annotations

import pytest

from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import Form, both_forms
from upgrade_client_lib import RequestTimeoutError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason

VARIABLES = ("UPGRADE_HOST_URL", "UPGRADE_TOKEN", "UPGRADE_CONTEXT", "UPGRADE_TIMEOUT")
HOST = "https://upgrade.example.org"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def local_upgrade() -> LocalUpgrade:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    local.experiment("home", "banner", conditions=["control"])
    return local


@pytest.mark.usefixtures("first_calls_made")
@both_forms
def test_a_connection_has_address_and_token_of_the_environment(
    call: Form, environment: pytest.MonkeyPatch
) -> None:
    local = local_upgrade()
    with FaultyServer(local) as server:
        environment.setenv("UPGRADE_HOST_URL", f"{server.url}/api/v6")
        environment.setenv("UPGRADE_TOKEN", local.token)
        with UpgradeConnection.from_env() as connection:
            assert connection.host_url == server.url
            client = connection.client("user", "my-app", group={})
            assert call(client.decide, "home", "banner").reason is DecisionReason.ASSIGNED


@pytest.mark.usefixtures("first_calls_made")
@both_forms
def test_a_client_has_the_context_and_its_groups_too(
    call: Form, environment: pytest.MonkeyPatch
) -> None:
    local = local_upgrade()
    with FaultyServer(local) as server:
        environment.setenv("UPGRADE_HOST_URL", server.url)
        environment.setenv("UPGRADE_TOKEN", local.token)
        environment.setenv("UPGRADE_CONTEXT", "my-app")
        client = UpgradeClient.from_env(
            "user", group={"class": ["class-1"]}, working_group={"class": "class-1"}
        )
        assert (client.user_id, client.context) == ("user", "my-app")
        assert call(client.decide, "home", "banner").reason is DecisionReason.ASSIGNED
        stored = call(client.init)
        assert (stored.group, stored.workingGroup) == (
            {"class": ["class-1"]},
            {"class": "class-1"},
        )
        client._user.server.close()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("first_calls_made")
@both_forms
@pytest.mark.parametrize("made", ["connection", "client"])
def test_a_call_takes_the_time_of_the_environment_at_the_most(
    call: Form, environment: pytest.MonkeyPatch, made: str
) -> None:
    with FaultyServer(assign=never_answers) as server:
        environment.setenv("UPGRADE_HOST_URL", server.url)
        environment.setenv("UPGRADE_CONTEXT", "my-app")
        environment.setenv("UPGRADE_TIMEOUT", "0.1")
        if made == "connection":
            client = UpgradeConnection.from_env().client("user", "my-app")
        else:
            client = UpgradeClient.from_env("user")
        error = call(client.decide, "home", "banner").error
        assert isinstance(error, RequestTimeoutError)
        client._user.server.close()  # pyright: ignore[reportPrivateUsage]


def test_clients_of_the_same_settings_share_a_connection(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("UPGRADE_HOST_URL", HOST)
    environment.setenv("UPGRADE_CONTEXT", "my-app")
    one, other = UpgradeClient.from_env("one"), UpgradeClient.from_env("other")
    assert one._user.server is other._user.server  # pyright: ignore[reportPrivateUsage]
    usual = UpgradeClient("one", HOST, "my-app")
    assert one._user.server is usual._user.server  # pyright: ignore[reportPrivateUsage]
    environment.setenv("UPGRADE_TIMEOUT", "0.1")
    third = UpgradeClient.from_env("one")
    assert one._user.server is not third._user.server  # pyright: ignore[reportPrivateUsage]


def test_a_client_of_a_class_of_its_own_is_one(environment: pytest.MonkeyPatch) -> None:
    class Client(UpgradeClient):
        __slots__ = ()

    environment.setenv("UPGRADE_HOST_URL", HOST)
    environment.setenv("UPGRADE_CONTEXT", "my-app")
    assert type(Client.from_env("user")) is Client


def test_what_is_missing_is_named(environment: pytest.MonkeyPatch) -> None:
    for make in (UpgradeConnection.from_env, lambda: UpgradeClient.from_env("user")):
        with pytest.raises(ValueError, match="UPGRADE_HOST_URL must be set"):
            make()
    environment.setenv("UPGRADE_HOST_URL", HOST)
    UpgradeConnection.from_env()
    with pytest.raises(ValueError, match="UPGRADE_CONTEXT must be set"):
        UpgradeClient.from_env("user")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("UPGRADE_HOST_URL", "upgrade.example.org"),
        ("UPGRADE_TOKEN", "secret\n"),
        ("UPGRADE_TIMEOUT", "soon"),
    ],
)
def test_what_is_wrong_is_named(environment: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    environment.setenv("UPGRADE_HOST_URL", HOST)
    environment.setenv("UPGRADE_CONTEXT", "my-app")
    environment.setenv(name, wrong)
    for make in (UpgradeConnection.from_env, lambda: UpgradeClient.from_env("user")):
        with pytest.raises(ValueError, match=f"environment variable {name}"):
            make()
