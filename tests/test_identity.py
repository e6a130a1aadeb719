"""Who asks whom: the headers and paths of every request, and what is refused up front."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint, upgrade_with_user
from tests.support_exchanges import HOST, SESSION_ID, Answer, ScriptedServer, exchange, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    UpgradeClient,
    UpgradeConnection,
    UserNotInitializedError,
    __version__,
)
from upgrade_client_lib.testing import LocalUpgrade

every_operation = pytest.mark.parametrize("operation", by_endpoint(HARMLESS + COUNTED))
METHODS = {"groupmembership": "PATCH", "workinggroup": "PATCH", "useraliases": "PATCH"}
USER = Answer(200, {"id": "u1"})


# ---- What every request carries ----


@both_forms
@every_operation
def test_every_request_says_who_asks(call: Form, operation: Operation) -> None:
    local = upgrade_with_user()
    before = len(local.requests)
    client = UpgradeClient("user", HOST, "my-app", "", "session-1", transport=local.transport)

    operation.call(call, client)

    requests = local.requests[before:]
    assert operation.endpoint in [request.endpoint for request in requests]
    for request in requests:
        assert request.headers["user-id"] == "user"
        assert request.headers["session-id"] == "session-1"
        assert request.headers["client-context"] == "my-app"
        assert request.headers["client-version"] == __version__
        assert request.headers["content-type"] == "application/json"
        assert "authorization" not in request.headers


@both_forms
@every_operation
def test_every_request_carries_the_token(call: Form, operation: Operation) -> None:
    local = upgrade_with_user()
    before = len(local.requests)
    client = UpgradeClient("user", HOST, "my-app", "a.b-c_d", transport=local.transport)

    operation.call(call, client)

    tokens = {request.headers["authorization"] for request in local.requests[before:]}
    assert tokens == {"Bearer a.b-c_d"}


@both_forms
@every_operation
@pytest.mark.parametrize(
    "host_url",
    [
        "http://upgrade.local",
        "http://upgrade.local/",
        "http://upgrade.local/api",
        "http://upgrade.local/api/",
        "http://upgrade.local/api/v6",
        "http://upgrade.local/api/v6/",
        "http://upgrade.local:3030//",
    ],
)
def test_paths_are_exact_whatever_the_address_ends_in(
    call: Form, operation: Operation, host_url: str
) -> None:
    local = upgrade_with_user()
    client = UpgradeClient("user", host_url, "my-app", transport=local.transport)

    operation.call(call, client)

    request = local.requests[-1]
    assert request.method == METHODS.get(operation.endpoint, "POST")
    assert request.path == f"/api/v6/{operation.endpoint}"


@both_forms
@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/upgrade/api/", "/upgrade"),
        ("/upgrade/api/v6", "/upgrade"),
        ("/v6", "/v6"),
        ("/api/v6/upgrade", "/api/v6/upgrade"),
    ],
)
def test_a_server_below_a_path_is_asked_there(call: Form, path: str, prefix: str) -> None:
    server = ScriptedServer(USER)
    client = UpgradeClient("u1", f"{HOST}{path}", "my-app", transport=server)

    call(client.init)

    assert server.only.path == f"{prefix}/api/v6/init"


def test_an_address_has_one_spelling_that_is_used() -> None:
    for given_url in (HOST, f"{HOST}/", f"{HOST}/api", f"{HOST}/api/", f"{HOST}/api/v6/"):
        with UpgradeConnection(given_url) as connection:
            assert connection.host_url == HOST
            assert connection.client("u1", "my-app").user_id == "u1"
            UpgradeClient("u1", f"{HOST}/api/", "my-app", connection=connection)


def test_a_client_and_its_connection_name_the_same_server() -> None:
    with (
        UpgradeConnection(HOST) as connection,
        pytest.raises(ValueError, match=r"host_url is 'https://other\.example\.org', but"),
    ):
        UpgradeClient("u1", "https://other.example.org", "my-app", connection=connection)


def test_a_connection_is_an_upgrade_connection() -> None:
    given: Any = HOST
    with pytest.raises(TypeError, match="connection must be an UpgradeConnection, not str"):
        UpgradeClient("u1", HOST, "my-app", connection=given)


def test_a_transport_is_for_a_connection_of_its_own() -> None:
    with (
        UpgradeConnection(HOST) as connection,
        pytest.raises(ValueError, match="a transport belongs to its connection"),
    ):
        UpgradeClient("u1", HOST, "my-app", connection=connection, transport=ScriptedServer())


@both_forms
def test_a_session_is_made_up_once_when_none_is_given(call: Form) -> None:
    server = ScriptedServer(USER)
    client = server.client()

    call(client.init)
    call(client.init)

    first, second = (sent.headers["session-id"] for sent in server.sent)
    assert first == second == client.client_session_id
    assert str(uuid.UUID(first)) == first
    assert server.client().client_session_id != first
    assert str(uuid.UUID(server.client(client_session_id="").client_session_id)) != first


@both_forms
def test_a_recorded_request_is_the_one_that_is_sent(call: Form) -> None:
    client, server, recorded = playing("init_user_id_spaces")

    assert call(client.init).id == "tr user with spaces"

    for name in ("user-id", "session-id", "client-context", "content-type"):
        assert server.only.headers[name] == recorded.headers[name]
    assert server.only.headers["session-id"] == SESSION_ID


@both_forms
def test_the_headers_of_a_connection_come_along_and_change_no_other(call: Form) -> None:
    server = ScriptedServer(USER)
    connection = UpgradeConnection(HOST, transport=server, headers={"X-Proxy-Key": "k"}, token="t1")
    with connection:
        call(connection.client("u1", "my-app").init)
        call(connection.client("u2", "my-app", token="t2").init)

    first, second = (sent.headers for sent in server.sent)
    assert (first["x-proxy-key"], second["x-proxy-key"]) == ("k", "k")
    assert (first["user-id"], second["user-id"]) == ("u1", "u2")
    assert (first["authorization"], second["authorization"]) == ("Bearer t1", "Bearer t2")


@both_forms
def test_the_headers_of_a_connection_cannot_speak_for_a_user(call: Form) -> None:
    server = ScriptedServer(USER)
    names = ["user-id", "SESSION-ID", "Client-Context", "client-version", "content-type"]
    headers = {**dict.fromkeys(names, "root"), "authorization": "Basic cm9vdA=="}
    with UpgradeConnection(HOST, transport=server, headers=headers) as connection:
        call(connection.client("u1", "my-app").init)
        call(connection.client("u1", "my-app", token="t").init)

    for sent in server.sent:
        assert sent.headers["user-id"] == "u1"
        assert "root" not in sent.headers.values()
    assert [sent.headers["authorization"] for sent in server.sent] == ["Basic cm9vdA==", "Bearer t"]


@pytest.mark.parametrize("name", ["X\r\nUser-Id", "X Key", "X:", "Schlüssel", "", "X\0"])
def test_a_header_with_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="headers"):
        UpgradeConnection(HOST, headers={name: "x"})


@pytest.mark.parametrize("value", ["secret\r\nUser-Id: root", "secret\0", "secret日本", " secret"])
def test_a_header_with_an_impossible_value_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match=r"headers\['X-Key'\]") as caught:
        UpgradeConnection(HOST, headers={"X-Key": value})

    assert "secret" not in str(caught.value)


# ---- User ids and tokens that cannot travel ----

HARMED = [
    pytest.param("日本", "outside latin-1", id="outside latin-1"),
    pytest.param("user-😀", "outside latin-1", id="emoji"),
    pytest.param("user-\ud800", "not valid Unicode", id="surrogate"),
    pytest.param("user\r\nX-Admin: 1", "control characters", id="line break"),
    pytest.param("user\n", "control characters", id="newline at the end"),
    pytest.param("user\0", "control characters", id="NUL"),
    pytest.param("us\ter", "control characters", id="tab"),
    pytest.param("us\x7fer", "control characters", id="delete"),
    pytest.param("us\x85er", "control characters", id="C1"),
    pytest.param(" user", "begins or ends with a blank", id="blank before"),
    pytest.param("user ", "begins or ends with a blank", id="blank behind"),
    pytest.param(" ", "begins or ends with a blank", id="blank alone"),
    pytest.param("user\xa0", "begins or ends with a blank", id="no-break space"),
]


@pytest.mark.parametrize(("value", "reason"), HARMED)
def test_a_user_id_that_cannot_travel_is_refused_with_a_reason(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^user_id .*{reason}"):
        UpgradeClient(value, HOST, "my-app")
    with (
        UpgradeConnection(HOST) as connection,
        pytest.raises(ValueError, match=f"^user_id .*{reason}"),
    ):
        connection.client(value, "my-app")


@pytest.mark.parametrize(("value", "reason"), HARMED)
def test_a_session_id_that_cannot_travel_is_refused_with_a_reason(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^client_session_id .*{reason}"):
        UpgradeClient("u1", HOST, "my-app", "", value)


@pytest.mark.parametrize(("value", "reason"), HARMED)
def test_a_token_that_cannot_travel_is_refused_with_a_reason_but_not_shown(
    value: str, reason: str
) -> None:
    token = value.replace("user", "secret")

    with pytest.raises(ValueError, match=f"^token .*{reason}") as caught:
        UpgradeClient("u1", HOST, "my-app", token)
    assert "secret" not in str(caught.value)

    with pytest.raises(ValueError, match=f"^token .*{reason}") as caught:
        UpgradeConnection(HOST, token=token)
    assert "secret" not in str(caught.value)


@both_forms
def test_a_user_id_of_latin_1_travels_unharmed(call: Form) -> None:
    local = LocalUpgrade()
    with local.serve() as url:
        client = UpgradeClient("Zoë Müller-Ñandú ½", url, "my-app")

        assert call(client.init).id == "Zoë Müller-Ñandú ½"

    assert local.requests[-1].user == "Zoë Müller-Ñandú ½"


def test_a_user_id_that_a_real_server_took_for_another_is_refused() -> None:
    recorded = exchange("init_user_id_unicode_utf8_raw")
    assert recorded.answer.body != {"id": recorded.user_id}

    with pytest.raises(ValueError, match="outside latin-1"):
        UpgradeClient(recorded.user_id, HOST, "my-app")


@both_forms
def test_a_user_id_too_long_for_the_server_is_an_error_that_says_so(call: Form) -> None:
    client, _, _ = playing("init_user_id_long_20000")

    with pytest.raises(BadRequestError, match="headers are too large") as caught:
        call(client.init)

    assert caught.value.status_code == 431


ids = st.text(max_size=40) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF), min_size=1, max_size=40
)


@pytest.fixture(scope="module")
def served() -> Generator[tuple[LocalUpgrade, str]]:
    local = LocalUpgrade()
    with local.serve() as url:
        yield local, url


def client_or_refusal(user_id: str, url: str) -> UpgradeClient | ValueError:
    try:
        return UpgradeClient(user_id, url, "my-app")
    except ValueError as refused:
        return refused


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(user_id=ids)
def test_a_user_id_arrives_as_it_is_or_is_refused_up_front(
    served: tuple[LocalUpgrade, str], user_id: str
) -> None:
    local, url = served
    before = len(local.requests)
    client = client_or_refusal(user_id, url)
    if isinstance(client, ValueError):
        assert str(client).startswith("user_id")
        assert len(local.requests) == before
        return

    assert client.init_sync().id == user_id
    assert local.requests[-1].user == user_id
    # A body carries any id: the same one, linked there, is the same user.
    alias = f"{user_id}~tablet"
    client.set_alt_user_ids_sync([alias])
    assert UpgradeClient(alias, url, "my-app").init_sync().id == user_id
    local.reset()


# ---- Contexts ----


@both_forms
@pytest.mark.parametrize(
    ("context", "header"),
    [
        ("my-app", "my-app"),
        ("my app", "my app"),
        ("Übung", "Übung"),
        ("日本", quote("日本")),
        ("math\u20132", "math%E2%80%932"),
        (" my-app ", "%20my-app%20"),
        ("a\nb", "a%0Ab"),
    ],
)
def test_a_context_travels_whole_in_the_body_and_encoded_where_it_must_be(
    call: Form, context: str, header: str
) -> None:
    local = LocalUpgrade(contexts=[context])
    local.experiment("home", conditions=["control"], context=context)
    local.flag("on", context=context)
    client = UpgradeClient("u1", HOST, context, transport=local.transport)

    call(client.init)
    assert call(client.has_feature_flag, "on") is True
    assert call(client.get_decision_point_assignment, "home").get_condition() == "control"

    assert [request.headers["client-context"] for request in local.requests] == [header] * 3
    assert [request.json.get("context") for request in local.requests[1:]] == [context] * 2


@both_forms
def test_a_context_outside_latin_1_works_over_a_socket(call: Form) -> None:
    local = LocalUpgrade(contexts=["日本"])
    local.flag("on", context="日本")
    with local.serve() as url:
        client = UpgradeClient("u1", url, "日本")
        call(client.init)

        assert call(client.has_feature_flag, "on") is True


@both_forms
def test_a_client_before_init_speaks_for_a_user_whom_the_server_may_not_know(call: Form) -> None:
    local = LocalUpgrade()
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)

    with pytest.raises(UserNotInitializedError):
        call(client.get_all_feature_flags)

    call(UpgradeClient("u1", HOST, "my-app", transport=local.transport).init)
    assert call(client.get_all_feature_flags) == []
