"""Wrong arguments of the constructors are named, and addresses of any usual kind taken."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_exchanges import HOST, Answer, ScriptedServer
from upgrade_client_lib import (
    UpgradeClient,
    UpgradeConnection,
)

USER = Answer(200, {"id": "u1"})


@pytest.mark.parametrize(
    ("arguments", "kind", "named"),
    [
        ({"user_id": ""}, ValueError, "user_id must not be empty"),
        ({"user_id": None}, TypeError, "user_id must be a string, not None"),
        ({"user_id": 17}, TypeError, "user_id must be a string, not int"),
        ({"user_id": b"u1"}, TypeError, "user_id must be a string, not bytes"),
        ({"context": ""}, ValueError, "context must not be empty"),
        ({"context": None}, TypeError, "context must be a string, not None"),
        ({"context": ["my-app"]}, TypeError, "context must be a string, not list"),
        ({"context": "\ud800"}, ValueError, "context .*not valid Unicode"),
        ({"host_url": ""}, ValueError, "host_url must not be empty"),
        ({"host_url": None}, TypeError, "host_url must be a string, not None"),
        ({"host_url": 3030}, TypeError, "host_url must be a string, not int"),
        ({"token": None}, TypeError, "token must be a string, not None"),
        ({"token": b"t"}, TypeError, "token must be a string, not bytes"),
        ({"client_session_id": 5}, TypeError, "client_session_id must be a string, not int"),
        ({"client_session_id": 0}, TypeError, "client_session_id must be a string, not int"),
        ({"rotation": "sometimes"}, ValueError, "rotation must be one of .*'sometimes'"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], kind: type[Exception], named: str
) -> None:
    right: dict[str, Any] = {"user_id": "u1", "host_url": HOST, "context": "my-app"}

    with pytest.raises(kind, match=f"^{named}"):
        UpgradeClient(**{**right, **arguments})


@pytest.mark.parametrize(
    "host_url",
    [
        "upgrade.example.org",
        "localhost:3030",
        "//upgrade.example.org",
        "ftp://upgrade.example.org",
        "ws://upgrade.example.org",
        "file:///etc/hosts",
        "http://",
        "https:///api",
        "http:upgrade.example.org",
        "http://:3030",
        "/",
        "/api",
        " https://upgrade.example.org",
        "https://upgrade.example.org ",
        "https://upgrade example.org",
        "https://upgrade.example.org/a b",
        "https://upgrade.example.org:port",
        "https://upgrade.example.org:99999",
        "https://[::1",
        "https://upgrade..example.org",
        "https://upgrade.example.org?x=1",
        "https://upgrade.example.org/#top",
        "https://upgrade.example.org\r\nHost: other",
        "https://upgrade.example.org/\0",
    ],
)
def test_what_is_no_address_is_refused(host_url: str) -> None:
    with pytest.raises(ValueError, match=r"^host_url"):
        UpgradeClient("u1", host_url, "my-app")
    with pytest.raises(ValueError, match=r"^host_url"):
        UpgradeConnection(host_url)


@pytest.mark.parametrize(
    "host_url",
    [
        "https://user:secret@upgrade.example.org",
        "https://secret@upgrade.example.org",
        "https://user:secret@upgrade.example.org:99999",
        "user:secret@upgrade.example.org",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(host_url: str) -> None:
    with pytest.raises(
        ValueError, match="host_url must not hold a user name or password"
    ) as caught:
        UpgradeClient("u1", host_url, "my-app")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host_url",
    [
        "http://localhost:3030",
        "http://127.0.0.1",
        "http://[::1]:3030/api",
        "http://api",
        "http://api/api/",
        "HTTPS://Upgrade.Example.ORG",
        "https://münchen.example.org",
    ],
)
def test_an_address_of_any_usual_kind_is_taken(host_url: str) -> None:
    server = ScriptedServer(USER)

    assert UpgradeClient("u1", host_url, "my-app", transport=server).init_sync().id == "u1"

    assert server.only.path == "/api/v6/init"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("HTTP://Upgrade.Example.ORG:80/API/v6/", "http://upgrade.example.org"),
        ("https://upgrade.example.org:443/Path", "https://upgrade.example.org/Path"),
        ("https://upgrade.example.org:80", "https://upgrade.example.org:80"),
        ("http://[FE80::1%25Eth0]:80/api", "http://[FE80::1%Eth0]"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_address_has_one_spelling_by_which_users_are_shared(given: str, kept: str) -> None:
    assert UpgradeConnection(given).host_url == kept


def test_a_host_may_be_named_api() -> None:
    assert UpgradeConnection("http://api").host_url == "http://api"
    assert UpgradeConnection("http://api/api/").host_url == "http://api"
