"""Everything that goes wrong with the server is an UpgradeApiError that says what, and where."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from tests.support_calls import COUNTED, HARMLESS, INIT, MARK, Operation, by_endpoint
from tests.support_exchanges import HOST, Answer, Exchange, ScriptedServer, every_exchange
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    ConflictError,
    NoConnectionError,
    NotAuthorizedError,
    RequestTimeoutError,
    ServerError,
    TooManyRequestsError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeClient,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade

OPERATIONS = {operation.endpoint: operation for operation in HARMLESS + COUNTED}
every_operation = pytest.mark.parametrize("operation", by_endpoint(HARMLESS + COUNTED))
NEW = "https://upgrade-2/api/v6/init"
HTML = "<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"


# ---- What a real server was recorded to say ----

RECORDED = [one for one in every_exchange() if one.answer.status != 200]


@both_forms
@pytest.mark.parametrize("recorded", RECORDED, ids=[one.name for one in RECORDED])
def test_every_recorded_error_is_told_in_full(call: Form, recorded: Exchange) -> None:
    (operation,) = [
        one for endpoint, one in OPERATIONS.items() if f"/{endpoint}" in recorded.path
    ] or [OPERATIONS["init"]]
    answer = recorded.answer
    client = ScriptedServer(answer).client("user", token="secret-token")

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client)

    error = caught.value
    assert type(error) is kind_of(answer)
    assert error.status_code == answer.status
    assert error.request_id == answer.headers.get("x-request-id")
    assert error.endpoint is not None
    assert re.fullmatch(rf"(POST|PATCH) /api/v6/{operation.endpoint}", error.endpoint)
    assert error.response_body == answer.content.decode()
    assert error.attempts == 1
    if isinstance(answer.body, dict):
        body: Any = error.response_body and json.loads(error.response_body)
        assert error.message.startswith(body["message"].replace("\n", "\\n"))
        assert error.error_type == body.get("type")
    else:
        assert answer.status in (404, 431)
        assert error.error_type is None
        assert "<" not in error.message


def kind_of(answer: Answer) -> type[UpgradeApiError]:
    """The class for an answer of the real server, by contract."""
    body: Any = answer.body
    if answer.status == 404 and "Experiment user not defined" in json.dumps(body):
        return UserNotInitializedError
    return {401: NotAuthorizedError, 409: ConflictError, 500: ServerError}.get(
        answer.status, BadRequestError
    )


def test_the_recordings_show_each_kind_of_error_that_a_server_answers() -> None:
    assert {kind_of(one.answer) for one in RECORDED} == {
        BadRequestError,
        ConflictError,
        NotAuthorizedError,
        ServerError,
        UserNotInitializedError,
    }


# ---- Answers that are none of UpGrade's ----


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([INIT, MARK]))
@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(400, HTML), BadRequestError, "502 Bad Gateway"),
        (Answer(403, {"message": "Forbidden"}), NotAuthorizedError, "Forbidden"),
        (Answer(404, HTML), BadRequestError, "check host_url"),
        (Answer(404, {"message": "no such route"}), BadRequestError, "no such route"),
        (Answer(404, ""), BadRequestError, "check host_url"),
        (Answer(405, ""), BadRequestError, "status 405"),
        (Answer(407, ""), BadRequestError, "status 407"),
        (Answer(429, HTML), TooManyRequestsError, "502 Bad Gateway"),
        (Answer(431, b""), BadRequestError, "headers are too large"),
        (Answer(500, b""), ServerError, "status 500"),
        (Answer(500, "\xff\xfe"), ServerError, "ÿþ"),
        (Answer(500, b"\xff\xfe"), ServerError, "��"),
        (Answer(502, HTML), ServerError, "502 Bad Gateway"),
        (Answer(503, b"upstream\n connect  error"), ServerError, "upstream connect error"),
        (Answer(504, HTML), ServerError, "502 Bad Gateway"),
        (Answer(520, "web server is returning an unknown error"), ServerError, "unknown error"),
        (Answer(599, ""), ServerError, "status 599"),
        (Answer(500, {"message": 5, "type": ["odd"]}), ServerError, '"message": 5'),
        (Answer(500, {"message": None}), ServerError, '"message": null'),
        (Answer(500, {"message": ""}), ServerError, '"message": ""'),
        (Answer(500, {"message": {"text": "nested"}}), ServerError, "nested"),
        (Answer(500, [["message", "pairs"]]), ServerError, "pairs"),
        (Answer(500, "null"), ServerError, "null"),
        (Answer(500, '"just text"'), ServerError, "just text"),
        (Answer(500, '{"message": "cut'), ServerError, "cut"),
        (Answer(500, "[" * 100_000), ServerError, "[[["),
        (Answer(500, "1" * 10_000), ServerError, "111"),
        (Answer(409, {"message": "no", "type": 5}), ConflictError, "no"),
        (Answer(201, {"name": "u1"}), UnreadableAnswerError, "not what the API gives"),
        (Answer(204, b""), UnreadableAnswerError, "status 204 with an empty body"),
        (Answer(206, "[]"), UnreadableAnswerError, "list where an object belongs"),
        (Answer(304, b""), UnreadableAnswerError, "nothing was modified"),
        (Answer(600, ""), ServerError, "status 600"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)
def test_any_other_answer_is_told_as_far_as_it_goes(
    call: Form, operation: Operation, answer: Answer, kind: type[UpgradeApiError], said: str
) -> None:
    client = ScriptedServer(answer).client("user").with_options(retries=0)

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client)

    error = caught.value
    assert type(error) is kind
    assert error.status_code == answer.status
    assert said in error.message
    assert len(error.message) <= 1_000
    assert error.response_body == cut(answer.content.decode(errors="replace"))
    assert error.request_id is None


def cut(body: str) -> str:
    return body if len(body) <= 10_000 else body[:9_999] + "…"


@both_forms
@every_operation
@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, HTML),
        Answer(200, b""),
        Answer(200, b"\xff\xfe\x00"),
        Answer(200, '{"id": "us'),
        Answer(200, "[" * 100_000),
        Answer(200, "1" * 10_000),
        Answer(200, "null"),
        Answer(200, "5"),
        Answer(200, "true"),
        Answer(200, '"text"'),
        Answer(200, "{}"),
        Answer(200, '{"message": 5, "id": 5}'),
        Answer(200, '"{}"'),
    ],
    ids=lambda answer: repr(answer.body)[:20],
)
def test_a_good_status_with_another_body_is_an_answer_that_cannot_be_understood(
    call: Form, operation: Operation, answer: Answer
) -> None:
    client = ScriptedServer(Answer(200, answer.body, {"x-request-id": "r-1"})).client("user")

    with pytest.raises(UnreadableAnswerError) as caught:
        operation.call(call, client)

    error = caught.value
    assert error.status_code == 200
    assert error.request_id == "r-1"
    assert error.response_body == cut(answer.content.decode(errors="replace"))
    assert error.may_have_been_applied is True
    assert error.__cause__ is not None


@both_forms
@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
def test_any_good_status_with_the_right_body_is_an_answer(call: Form, status: int) -> None:
    assert call(ScriptedServer(Answer(status, {"id": "u1"})).client().init).id == "u1"


@both_forms
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (HTML, True),
        ("", True),
        ({"message": "Forbidden"}, True),
        ({"message": "no", "endPoint": "/api/v6/init", "errorCode": "403"}, True),
        ({"name": "Error", "message": "no", "endPoint": "/api/v6/init", "errorCode": 403}, False),
    ],
)
def test_a_refusal_that_is_not_upgrades_says_who_else_may_have_refused(
    call: Form, body: object, told: bool
) -> None:
    with pytest.raises(NotAuthorizedError) as caught:
        call(ScriptedServer(Answer(403, body)).client().init)

    assert ("a firewall or proxy before the server" in caught.value.message) is told


@both_forms
def test_an_answer_that_cannot_be_understood_is_not_asked_for_again(call: Form) -> None:
    server = ScriptedServer(Answer(503, "", {"Retry-After": "0"}), Answer(200, HTML))

    with pytest.raises(UnreadableAnswerError, match="tried 2 times") as caught:
        call(server.client().init)

    assert caught.value.attempts == 2
    assert len(server.sent) == 2


@both_forms
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_the_new_address(call: Form, status: int) -> None:
    server = ScriptedServer(Answer(status, "", {"Location": NEW}))

    with pytest.raises(UnreadableAnswerError, match=f"redirects to {NEW}: ") as caught:
        call(server.client().init)

    assert caught.value.status_code == status
    assert len(server.sent) == 1


@both_forms
def test_a_redirect_to_nowhere_is_an_error_too(call: Form) -> None:
    with pytest.raises(UnreadableAnswerError, match="an address it does not name"):
        call(ScriptedServer(Answer(302, "")).client().init)


# ---- No answer at all ----


@both_forms
@every_operation
def test_an_outage_is_caught_by_the_documented_except(call: Form, operation: Operation) -> None:
    local = LocalUpgrade()
    local.down()
    client = UpgradeClient("user", HOST, "my-app", transport=local.transport)

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client.with_options(retries=0))

    error = caught.value
    assert type(error) is NoConnectionError
    assert (error.status_code, error.error_type, error.request_id, error.response_body) == (
        None,
        None,
        None,
        None,
    )
    assert error.endpoint is not None
    assert error.endpoint.endswith(f"/api/v6/{operation.endpoint}")
    assert error.may_have_been_applied is False


@both_forms
@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("refused"), NoConnectionError),
        (httpx.ConnectTimeout("slow"), RequestTimeoutError),
        (httpx.ReadError(""), NoConnectionError),
        (httpx.ReadTimeout(""), RequestTimeoutError),
        (httpx.WriteError("reset"), NoConnectionError),
        (httpx.CloseError(""), NoConnectionError),
        (httpx.PoolTimeout(""), RequestTimeoutError),
        (httpx.ProxyError("407"), NoConnectionError),
        (httpx.UnsupportedProtocol("x"), NoConnectionError),
        (httpx.LocalProtocolError("bad"), NoConnectionError),
        (httpx.RemoteProtocolError("Server disconnected"), NoConnectionError),
        (httpx.RemoteProtocolError("illegal status line"), UnreadableAnswerError),
        (httpx.DecodingError("not gzip"), UnreadableAnswerError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_broke_underneath_is_the_chained_cause(
    call: Form, failure: httpx.HTTPError, kind: type[UpgradeApiError]
) -> None:
    client = UpgradeClient("u1", HOST, "my-app", transport=Broken(failure))

    with pytest.raises(UpgradeApiError) as caught:
        call(client.with_options(retries=0).init)

    error = caught.value
    assert type(error) is kind
    assert error.__cause__ is failure
    assert str(failure) in error.message
    assert error.status_code is None
    assert error.endpoint == "POST /api/v6/init"
    assert error.message.strip() == error.message
    assert not error.message.endswith(":")


@both_forms
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectError, f"no connection to {HOST}: Broken pipe"),
        (httpx.WriteError, f"the connection to {HOST} broke: Broken pipe"),
        (httpx.ReadError, f"the connection to {HOST} broke: Broken pipe"),
    ],
)
def test_whether_there_was_a_connection_is_said(
    call: Form, error: type[httpx.TransportError], said: str
) -> None:
    client = UpgradeClient("u1", HOST, "my-app", transport=Broken(error("Broken pipe")))
    with pytest.raises(NoConnectionError, match=f"^{said}") as caught:
        call(client.with_options(retries=0).init)
    assert caught.value.may_have_been_applied is (error is not httpx.ConnectError)


@both_forms
def test_no_look_up_of_ours_is_in_an_errors_traceback(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.down()
    client = UpgradeClient("u1", HOST, "my-app", transport=upgrade.transport)

    with pytest.raises(NoConnectionError) as caught:
        call(client.get_decision_point_assignment, "home", "banner")

    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, KeyError)
        error = error.__context__


@both_forms
def test_what_could_not_be_parsed_is_the_chained_cause(call: Form) -> None:
    with pytest.raises(UnreadableAnswerError, match=r"not JSON but .*host_url") as caught:
        call(ScriptedServer(Answer(200, HTML)).client().init)

    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


class Broken(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport on which everything breaks."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise self._failure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self._failure
