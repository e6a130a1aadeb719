"""``doctor``: one line for each check, with what to do."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, Optional

import pytest
import trustme

from tests.cli.support_cli import Command, Ended, hand_over
from tests.support_faulty_server import Fault, FaultyServer, answers
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade

Found = dict[str, tuple[Optional[bool], str]]


def known(local: LocalUpgrade, user: str = "u1", context: str = "my-app") -> None:
    client = UpgradeClient(
        user, "http://upgrade.local", context, local.token, transport=local.transport
    )
    client.init_sync()


def found(ended: Ended) -> Found:
    return {one["check"]: (one["ok"], one["message"]) for one in json.loads(ended.out)}


def checked(url: str, *options: str, status: int, **environment: str) -> Found:
    ended = Command(url)("doctor", "u1", "--json", *options, **environment)
    assert (ended.status, ended.err) == (status, "")
    return found(ended)


@pytest.fixture
def local() -> LocalUpgrade:
    return LocalUpgrade(token_secret="secret", api_key="key")


@pytest.fixture
def url(local: LocalUpgrade) -> Iterator[str]:
    with local.serve() as address:
        yield address


def version(*, date: str) -> Fault:
    return answers(200, '"6.5.0"', {"Date": date})


def test_all_is_well(local: LocalUpgrade, url: str) -> None:
    known(local)
    all_ = checked(url, status=0, UPGRADE_TOKEN=local.token)
    assert {check: ok for check, (ok, _) in all_.items()} == {
        "server": True,
        "TLS": True,
        "version": True,
        "clock": None,
        "user": True,
        "token": True,
        "context": True,
        "latency": True,
        "store": True,
        "outbox": True,
    }
    assert all_["server"][1] == f"{url} answers"
    assert all_["version"][1] == "UpGrade 6.5.0"
    assert all_["latency"][1].startswith("10 calls of assign: ")


def test_people_get_a_table_without_the_token(local: LocalUpgrade, url: str) -> None:
    known(local)
    ended = Command(url)("doctor", "u1", UPGRADE_TOKEN=local.token)
    assert (ended.status, ended.err) == (0, "")
    assert "what was found, or what to do" in ended.out
    assert local.token not in ended.out


def test_a_user_who_is_not_known_hides_the_rest_and_is_not_made_known(
    local: LocalUpgrade, url: str
) -> None:
    all_ = checked(url, status=0)
    ok, message = all_["user"]
    assert ok is None
    assert "looks for the user first: give one whom it knows" in message
    assert not {"token", "context"} & all_.keys()
    assert all_["latency"][1].startswith("10 calls of version: ")
    assert {request.endpoint for request in local.requests} == {"assign"}
    assert [request.status for request in local.requests] == [404]


@pytest.mark.parametrize("token", ["", "t.o.k"])
def test_a_token_that_is_missing_or_wrong(local: LocalUpgrade, url: str, token: str) -> None:
    known(local)
    all_ = checked(url, status=1, UPGRADE_TOKEN=token)
    assert all_["user"][0] is True
    ok, message = all_["token"]
    assert ok is False
    assert "set UPGRADE_TOKEN" in message
    assert "context" not in all_


def test_a_context_that_the_server_does_not_have(local: LocalUpgrade, url: str) -> None:
    known(local)
    all_ = checked(url, "--context", "My-App", status=1, UPGRADE_TOKEN=local.token)
    assert all_["token"][0] is True
    ok, message = all_["context"]
    assert ok is False
    assert "Invalid app context: My-App" in message


def test_a_server_that_wants_no_token() -> None:
    local = LocalUpgrade()
    known(local)
    with local.serve() as url:
        assert checked(url, status=0)["token"] == (
            True,
            "none is set, and the server wants none",
        )


def test_a_server_that_is_away(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'upgrade.db'}"
    all_ = checked("http://127.0.0.1:9", "--timeout", "1", "--store", store, status=1)
    assert list(all_) == ["server", "store", "outbox"]
    ok, message = all_["server"]
    assert ok is False
    assert "Check the address, the network and any proxy" in message
    ok, message = all_["store"]
    assert ok is True
    assert "written and read" in message


def test_another_failure_of_the_server(local: LocalUpgrade, url: str) -> None:
    known(local)
    local.fail_next("assign", status=500)
    ok, message = checked(url, status=1, UPGRADE_TOKEN=local.token)["assignments"]
    assert ok is False
    assert "status 500" in message


def test_calls_that_fail_now_and_then(local: LocalUpgrade, url: str) -> None:
    known(local)

    def failing(*_: Any) -> None:
        if len(local.requests) == 4:
            local.fail_next("assign", status=500)

    with local.serve(report=failing) as reported:
        ok, message = checked(reported, status=1, UPGRADE_TOKEN=local.token)["latency"]
    assert ok is False
    assert "status 500" in message


@pytest.mark.parametrize(
    ("apart", "ok", "message"),
    [
        (0.0, True, "within 10 s of the server's"),
        (-60.0, False, "60 s ahead of the server's"),
        (60.0, False, "60 s behind the server's"),
    ],
)
def test_clocks(apart: float, ok: bool, message: str) -> None:
    date = formatdate(time.time() + apart, usegmt=True)
    with FaultyServer(version=version(date=date)) as server:
        was_ok, said = checked(server.url, status=0 if ok else 1)["clock"]
    assert was_ok is ok
    wanted = message.replace("60", said.split()[0]) if not ok else message
    assert said.startswith(wanted)


@pytest.mark.parametrize("date", ["soon", "Thu, 26 Nov 2026 05:00:00 -0000"])
def test_a_server_whose_time_makes_no_sense(date: str) -> None:
    with FaultyServer(version=version(date=date)) as server:
        assert checked(server.url, status=0)["clock"][0] is None


def test_a_server_that_is_no_upgrade() -> None:
    with FaultyServer(version=answers(404, "<p>Hello")) as server:
        ok, message = checked(server.url, status=0)["version"]
    assert ok is None
    assert "status 404" in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_what_stays_on_this_machine_need_not_be_encrypted(
    local: LocalUpgrade, url: str, host: str
) -> None:
    assert checked(url.replace("127.0.0.1", host), status=0)["TLS"] == (
        True,
        "not encrypted, on this machine alone",
    )


def test_what_leaves_this_machine_must_be_encrypted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", url)  # which answers whatever the address is
    ok, message = checked("http://upgrade.example.org", status=1)["TLS"]
    assert ok is False
    assert "begin with https://" in message


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


def test_an_encrypted_server(authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path) -> None:
    certificate = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    environment = {"SSL_CERT_FILE": str(certificate)}
    with FaultyServer(tls=tls) as server:
        assert checked(server.url, status=0, **environment)["TLS"] == (
            True,
            "encrypted, and the certificate is valid",
        )


def test_a_certificate_that_nobody_here_trusts(tls: ssl.SSLContext) -> None:
    with FaultyServer(tls=tls) as server:
        ok, message = checked(server.url, status=1)["server"]
    assert ok is False
    assert "Have SSL_CERT_FILE name the certificate" in message


def test_a_store_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'nowhere' / 'upgrade.db'}"
    ok, message = checked(url, "--store", store, status=1)["store"]
    assert ok is False
    assert "Error" in message


def test_a_store_that_forgets(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(store: MemoryStore, key: str) -> None:
        return None

    monkeypatch.setattr(MemoryStore, "get", nothing)
    assert checked(url, "--store", "memory:", status=1)["store"] == (
        False,
        "what is written to it cannot be read again",
    )


def test_addresses_of_store_and_outbox_that_are_wrong(url: str) -> None:
    told = checked(url, "--store", "nowhere:", "--outbox", "nowhere:", status=1)
    for name in ["store", "outbox"]:
        ok, message = told[name]
        assert ok is False
        assert f"UPGRADE_{name.upper()} is wrong: the address of a store must be" in message


# ---- The outbox ----


def test_an_outbox_that_is_empty_or_has_events_that_wait(
    local: LocalUpgrade, url: str, tmp_path: Path
) -> None:
    outbox = f"sqlite:///{tmp_path / 'outbox.db'}"
    assert checked(url, "--outbox", outbox, status=0)["outbox"] == (True, "it is empty")
    hand_over(url, outbox, "u1")
    assert checked(url, "--outbox", outbox, status=0)["outbox"] == (True, "1 waiting")


def test_an_outbox_with_events_that_were_set_aside(
    local: LocalUpgrade, url: str, tmp_path: Path
) -> None:
    outbox = f"sqlite:///{tmp_path / 'outbox.db'}"
    known(local)
    local.fail_next("log", status=409)
    hand_over(url, outbox, "u1", token=local.token, delivers=True)
    ok, message = checked(url, "--outbox", outbox, status=1, UPGRADE_TOKEN=local.token)["outbox"]
    assert ok is False
    assert message == "1 refused: see `upgrade-client outbox list --help`"


def test_an_outbox_that_cannot_be_opened(url: str, tmp_path: Path) -> None:
    outbox = f"sqlite:///{tmp_path / 'nowhere' / 'outbox.db'}"
    ok, message = checked(url, "--outbox", outbox, status=1)["outbox"]
    assert ok is False
    assert "Error" in message
