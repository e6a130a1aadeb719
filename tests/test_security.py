"""What SECURITY.md promises: tokens, certificates, redirects, and what is kept of a user."""

from __future__ import annotations

import copy
import logging
import pickle
import ssl
import subprocess
import sys
import traceback
import weakref
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
import trustme

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint, upgrade_with_user
from tests.support_exchanges import HOST, Answer, ScriptedServer
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    NoConnectionError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

every_operation = pytest.mark.parametrize("operation", by_endpoint(HARMLESS + COUNTED))
TOKEN = "very.secret-token"
REDIRECTS = [301, 302, 303, 307, 308]


# ---- Tokens stay in the Authorization header ----


@both_forms
@every_operation
def test_a_token_is_in_no_log_line_at_any_level(
    call: Form, operation: Operation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    local = upgrade_with_user()
    before = len(local.requests)
    with local.serve() as url, UpgradeConnection(url) as connection:
        client = connection.client("user", "my-app", token=TOKEN)
        operation.call(call, client)
        local.fail_next(operation.endpoint, status=429, headers={"Retry-After": "0"})
        client.set_feature_flag_user_groups_for_session(None, None)
        operation.call(call, connection.client("user", "my-app", token=TOKEN))

    seen = {request.headers["authorization"] for request in local.requests[before:]}
    assert seen == {f"Bearer {TOKEN}"}
    assert any(record.name == "upgrade_client_lib" for record in caplog.records)
    assert TOKEN not in caplog.text
    assert not any(TOKEN in repr(record.args) for record in caplog.records)


@both_forms
@every_operation
@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, {"message": f"jwt malformed: {TOKEN}", "type": "Invalid token"}),
        Answer(400, f"<html>Authorization: Bearer {TOKEN}</html>"),
        Answer(500, f"Authorization: Bearer {TOKEN}"),
        Answer(200, f"<html>Authorization: Bearer {TOKEN}</html>"),
        Answer(200, f'{{"id": 5, "message": ["{TOKEN}"]}}'),
        Answer(307, TOKEN, {"Location": f"https://new.example.org/?token={TOKEN}"}),
    ],
    ids=lambda answer: str(answer.status),
)
def test_a_token_is_in_no_error_even_when_the_server_repeats_it(
    call: Form, operation: Operation, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    client = ScriptedServer(answer).client("user", token=TOKEN)

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client)

    assert_without_token(caught.value)
    assert TOKEN not in caplog.text


@both_forms
@every_operation
def test_a_token_is_in_no_error_of_a_connection(
    call: Form, operation: Operation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    with LocalUpgrade().serve() as url:
        pass
    with UpgradeConnection(url, token=TOKEN, retries=0) as connection:
        client = connection.client("user", "my-app")
        with pytest.raises(NoConnectionError) as caught:
            operation.call(call, client)

    assert_without_token(caught.value)
    assert TOKEN not in caplog.text


@both_forms
def test_a_token_is_in_no_repr(call: Form) -> None:
    local = upgrade_with_user()
    with UpgradeConnection(HOST, token=TOKEN, transport=local.transport) as connection:
        for client in (
            connection.client("user", "my-app"),
            connection.client("user", "my-app", token=f"{TOKEN}2"),
            UpgradeClient("user", HOST, "my-app", TOKEN, transport=local.transport),
        ):
            assignment = call(client.get_decision_point_assignment, "home", "banner")
            shown = [connection, client, client.with_options(retries=0), assignment]
            shown += [getattr(client, name) for name in dir(client)]
            shown += [getattr(assignment, name) for name in dir(assignment)]
            assert TOKEN not in repr(shown)
            assert TOKEN not in str(shown)


def test_a_token_is_in_no_repr_that_a_traceback_with_locals_shows() -> None:
    client = ScriptedServer(Answer(500, "no")).client("user", token=TOKEN)
    with pytest.raises(UpgradeApiError) as caught:
        client.init_sync()

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)

    assert "operation = " in "".join(shown.format())
    assert TOKEN not in "".join(shown.format())


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}日本", f"{TOKEN}\ud800"])
def test_a_token_that_is_refused_is_not_shown(token: str) -> None:
    makers: list[Callable[[], object]] = [
        lambda: UpgradeClient("u1", HOST, "my-app", token),
        lambda: UpgradeConnection(HOST, token=token),
        lambda: UpgradeConnection(HOST, headers={"Authorization": token}),
    ]
    for make in makers:
        with pytest.raises(ValueError, match=r"^(token|headers\['Authorization'\]) ") as caught:
            make()

        assert TOKEN not in "".join(traceback.format_exception(None, caught.value, None))


@both_forms
def test_no_pickle_carries_a_token(call: Form) -> None:
    local = upgrade_with_user()
    client = UpgradeClient("user", HOST, "my-app", TOKEN, transport=local.transport)
    answers: dict[str, Any] = {
        operation.endpoint: operation.call(call, client) for operation in HARMLESS + COUNTED
    }
    assert answers["assign"]

    assert TOKEN.encode() not in pickle.dumps(answers)
    for live in (client, client.with_options(retries=0)):
        with pytest.raises(TypeError):
            pickle.dumps(live)


def assert_without_token(error: UpgradeApiError) -> None:
    shown = [*traceback.format_exception(None, error, error.__traceback__), repr(error)]
    shown += [repr(vars(one)) for one in (error, copy.copy(error), copy.deepcopy(error))]
    assert TOKEN not in "".join(shown)
    assert TOKEN.encode() not in pickle.dumps(error)


# ---- TLS certificates are verified ----

AUTHORITY = trustme.CA()


def tls_of(authority: trustme.CA, name: str, *, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
    certificate = authority.issue_cert(name, not_after=long_ago if expired else None)
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@both_forms
@pytest.mark.parametrize(
    ("certificate", "complaint"),
    [
        (tls_of(trustme.CA(), "127.0.0.1"), "certificate verify failed"),
        (tls_of(AUTHORITY, "127.0.0.2"), "IP address mismatch"),
        (tls_of(AUTHORITY, "localhost"), "IP address mismatch"),
        (tls_of(AUTHORITY, "127.0.0.1", expired=True), "certificate has expired"),
    ],
    ids=["unknown authority", "another address", "another name", "expired"],
)
def test_a_certificate_that_cannot_be_trusted_is_an_error_before_anything_is_sent(
    call: Form, certificate: ssl.SSLContext, complaint: str
) -> None:
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    with (
        FaultyServer(upgrade_with_user(), tls=certificate) as server,
        UpgradeConnection(server.url, ssl_context=trusting, trust_env=False) as connection,
        pytest.raises(NoConnectionError, match=complaint) as caught,
    ):
        call(connection.client("user", "my-app", token=TOKEN).init)

    assert caught.value.attempts == 1
    assert caught.value.may_have_been_applied is False
    assert server.received == []


@both_forms
def test_certificates_are_verified_without_being_asked_for(call: Form) -> None:
    with (
        FaultyServer(upgrade_with_user(), tls=tls_of(AUTHORITY, "127.0.0.1")) as server,
        UpgradeConnection(server.url) as connection,
        pytest.raises(NoConnectionError, match="certificate verify failed") as caught,
    ):
        call(connection.client("user", "my-app", token=TOKEN).init)

    assert caught.value.attempts == 1
    assert server.received == []


# ---- Redirects are never followed ----


@both_forms
@every_operation
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_not_followed(call: Form, operation: Operation, status: int) -> None:
    local, elsewhere = upgrade_with_user(), upgrade_with_user()
    before = len(elsewhere.requests)
    with (
        local.serve() as url,
        elsewhere.serve() as other_url,
        UpgradeConnection(url, token=TOKEN) as connection,
    ):
        new = f"{other_url}/api/v6/{operation.endpoint}"
        local.fail_next(operation.endpoint, status=status, times=9, headers={"Location": new})
        client = connection.client("user", "my-app")
        with pytest.raises(UnreadableAnswerError, match=f"redirects to {new}: ") as caught:
            operation.call(call, client)

    assert caught.value.status_code == status
    assert caught.value.attempts == 1
    assert len(elsewhere.requests) == before


@both_forms
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_users_own_http_client_follows_no_redirect_either(call: Form, status: int) -> None:
    followed: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        followed.append(request)
        return httpx.Response(status, headers={"Location": "https://new.example.org/"})

    transport = httpx.MockTransport(answer)
    with UpgradeConnection(
        HOST,
        http_client=httpx.Client(transport=transport, follow_redirects=True),
        async_http_client=httpx.AsyncClient(transport=transport, follow_redirects=True),
    ) as connection:
        client = connection.client("user", "my-app", token=TOKEN)
        with pytest.raises(UnreadableAnswerError, match=r"redirects to https://new\.example\.org/"):
            call(client.init)

    assert len(followed) == 1


# ---- Nothing of a user is stored, and what a server answers is data ----


@both_forms
def test_what_is_known_of_a_user_goes_with_their_client(call: Form) -> None:
    local = upgrade_with_user()
    with UpgradeConnection(HOST, transport=local.transport) as connection:
        client = connection.client("user", "my-app")
        assignment = call(client.get_decision_point_assignment, "home", "banner")
        call(client.get_all_feature_flags)
        cache = client._user.assignments  # pyright: ignore[reportPrivateUsage]
        known: list[Callable[[], object]] = [weakref.ref(client), weakref.ref(cache)]

        del client, assignment, cache

        assert [one() for one in known] == [None, None]


WATCHED = """
import logging, os, sys

from tests.support_calls import COUNTED, HARMLESS, upgrade_with_user
from tests.support_exchanges import Answer, ScriptedServer
from tests.support_forms import blocking, in_event_loop
from upgrade_client_lib import UpgradeApiError, UpgradeClient

CODE = "__import__('os').abort()"
NAMES = ["id", "message", "site", "target", "data", "type", "conditionCode", "payload", "value"]
PART = dict.fromkeys(NAMES, CODE)
ODD = [
    {**PART, "assignedCondition": [{**PART, "payload": PART}]},
    [{**PART, "assignedCondition": [{**PART, "payload": PART}]}, CODE],
]
events = []

def watch(event, arguments):
    if not watching:
        return
    if event in ("compile", "exec", "os.system", "subprocess.Popen", "pickle.find_class"):
        events.append((event, arguments))
    elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        events.append((event, arguments))

logging.disable()
watching = False
sys.addaudithook(watch)
for watching in (False, True):  # the first round loads what is loaded when it is first used
    upgrade = upgrade_with_user()
    client = UpgradeClient("user", "http://upgrade", "my-app", transport=upgrade.transport)
    for call in (blocking, in_event_loop):
        for operation in HARMLESS + COUNTED:
            operation.call(call, client)
            for odd in ODD:
                server = ScriptedServer(Answer(200, odd))
                try:
                    repr(operation.call(call, server.client("user")))
                except UpgradeApiError as error:
                    str(error)
watching = False
assert not events, events
print("nothing")
"""


def test_a_session_writes_no_file_and_executes_nothing_that_a_server_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("nothing\n", "")


@both_forms
def test_no_value_can_add_a_header(call: Form) -> None:
    server = ScriptedServer(Answer(200, {"id": "u1"}))
    injected = "x\r\nUser-Id: root"
    for arguments in ((injected, HOST, "app"), ("u1", HOST, "app", injected)):
        with pytest.raises(ValueError, match="control characters"):
            UpgradeClient(*arguments, transport=server)

    call(server.client(context=injected).init)

    assert server.only.headers["user-id"] == "u1"
    assert server.only.headers["client-context"] == "x%0D%0AUser-Id%3A%20root"
