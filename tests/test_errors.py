"""Everything that goes wrong with the server is an UpgradeApiError that says what, and where."""

from __future__ import annotations

import copy
import json
import pickle
import re
from functools import partial
from typing import Any, Callable

import httpx
import pytest

import upgrade_client_lib
from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint
from tests.support_exchanges import HOST, Answer, Exchange, ScriptedServer, every_exchange, playing
from tests.support_faces import FACES, Face
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
    exceptions,
)
from upgrade_client_lib.testing import LocalUpgrade

both_faces = pytest.mark.parametrize("call", FACES)
OPERATIONS = {operation.endpoint: operation for operation in HARMLESS + COUNTED}
every_operation = pytest.mark.parametrize("operation", by_endpoint(HARMLESS + COUNTED))
KINDS = [
    NotAuthorizedError,
    UserNotInitializedError,
    BadRequestError,
    ConflictError,
    TooManyRequestsError,
    ServerError,
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
]
NEW = "https://upgrade-2/api/v6/init"
HTML = "<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"


# ---- What a real server was recorded to say ----

RECORDED = [one for one in every_exchange() if one.answer.status != 200]


@both_faces
@pytest.mark.parametrize("recorded", RECORDED, ids=[one.name for one in RECORDED])
def test_every_recorded_error_is_told_in_full(call: Face, recorded: Exchange) -> None:
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
        assert error.message.startswith(body["message"])
        assert error.error_type == body.get("type")
    else:
        assert answer.status in (404, 431)
        assert error.error_type is None
        assert "<" not in error.message


def kind_of(answer: Answer) -> type[UpgradeApiError]:
    """The class for an answer of the real server, by contract."""
    body: Any = answer.body
    if answer.status == 404 and "Experiment user not defined" in body:
        return UserNotInitializedError
    if answer.status == 404 and "User not found" in json.dumps(body):
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


@both_faces
@every_operation
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
        (Answer(201, {"id": "u1"}), UnreadableAnswerError, '"id": "u1"'),
        (Answer(204, b""), UnreadableAnswerError, "status 204"),
        (Answer(206, "[]"), UnreadableAnswerError, "[]"),
        (Answer(304, b""), UnreadableAnswerError, "redirects"),
        (Answer(600, ""), ServerError, "status 600"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)
def test_any_other_answer_is_told_as_far_as_it_goes(
    call: Face, operation: Operation, answer: Answer, kind: type[UpgradeApiError], said: str
) -> None:
    client = ScriptedServer(answer).client("user").with_options(retries=0)

    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client)

    error = caught.value
    assert type(error) is kind
    assert error.status_code == answer.status
    assert said in error.message
    assert len(error.message) < 300
    assert error.response_body == answer.content.decode(errors="replace")
    assert error.request_id is None


@both_faces
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
    call: Face, operation: Operation, answer: Answer
) -> None:
    client = ScriptedServer(Answer(200, answer.body, {"x-request-id": "r-1"})).client("user")

    with pytest.raises(UnreadableAnswerError) as caught:
        operation.call(call, client)

    error = caught.value
    assert error.status_code == 200
    assert error.request_id == "r-1"
    assert error.response_body == answer.content.decode(errors="replace")
    assert error.may_have_been_applied is True
    assert error.__cause__ is not None


@both_faces
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_the_new_address(call: Face, status: int) -> None:
    server = ScriptedServer(Answer(status, "", {"Location": NEW}))

    with pytest.raises(UnreadableAnswerError, match=f"redirects to {NEW}: ") as caught:
        call(server.client().init)

    assert caught.value.status_code == status
    assert len(server.sent) == 1


@both_faces
def test_a_redirect_to_nowhere_is_an_error_too(call: Face) -> None:
    with pytest.raises(UnreadableAnswerError, match="an address it does not name"):
        call(ScriptedServer(Answer(302, "")).client().init)


# ---- No answer at all ----


@both_faces
@every_operation
def test_an_outage_is_caught_by_the_documented_except(call: Face, operation: Operation) -> None:
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


@both_faces
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
    call: Face, failure: httpx.HTTPError, kind: type[UpgradeApiError]
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


@both_faces
def test_what_could_not_be_parsed_is_the_chained_cause(call: Face) -> None:
    with pytest.raises(UnreadableAnswerError, match="JSONDecodeError") as caught:
        call(ScriptedServer(Answer(200, HTML)).client().init)

    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


# ---- The classes ----


def test_there_is_one_class_below_the_root_for_each_kind() -> None:
    assert set(UpgradeApiError.__subclasses__()) == set(KINDS)
    assert all(kind.__bases__ == (UpgradeApiError,) for kind in KINDS)
    assert UpgradeApiError.__bases__ == (Exception,)


@pytest.mark.parametrize("kind", [UpgradeApiError, *KINDS])
def test_each_class_is_exported_twice_documented_and_drawn(kind: type[UpgradeApiError]) -> None:
    name = kind.__name__
    assert getattr(upgrade_client_lib, name) is getattr(exceptions, name) is kind
    assert name in upgrade_client_lib.__all__
    assert name in exceptions.__all__
    assert kind.__doc__
    assert exceptions.__doc__ is not None
    (drawn,) = [line for line in exceptions.__doc__.splitlines() if f"{name} " in line]
    assert drawn.strip(" ├└─").startswith(name)


def test_an_error_of_a_server_is_no_error_of_an_argument() -> None:
    for kind in KINDS:
        assert not issubclass(kind, (ValueError, TypeError, RuntimeError, OSError))


FULL = {
    "status_code": 409,
    "error_type": "Error processing Mooclet reward",
    "request_id": "579e3523",
    "endpoint": "POST /api/v6/reward",
    "response_body": '{"message": "no"}',
    "may_have_been_applied": True,
}


def pickled(protocol: int, error: UpgradeApiError) -> UpgradeApiError:
    unpickled: UpgradeApiError = pickle.loads(pickle.dumps(error, protocol))
    return unpickled


@pytest.mark.parametrize("kind", [UpgradeApiError, *KINDS])
@pytest.mark.parametrize("facts", [{}, FULL])
@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        *(partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_errors_survive_copying_and_pickling_whole(
    kind: Callable[..., UpgradeApiError],
    facts: dict[str, Any],
    copied: Callable[[UpgradeApiError], UpgradeApiError],
) -> None:
    error = kind("no enrolment", **facts)
    error.attempts = 3

    twin = copied(error)

    assert type(twin) is type(error)
    assert vars(twin) == vars(error)
    assert vars(twin)["attempts"] == 3
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)


def test_an_error_of_a_call_survives_pickling() -> None:
    client, _, _ = playing("reward_unknown_experiment")
    with pytest.raises(ConflictError) as caught:
        client.send_reward_sync("SUCCESS", "experiment")

    assert vars(pickle.loads(pickle.dumps(caught.value))) == vars(caught.value)


def test_str_shows_message_status_endpoint_and_request() -> None:
    error = ConflictError("no enrolment", **FULL)  # type: ignore[arg-type]

    assert str(error) == "no enrolment (status 409, POST /api/v6/reward, request 579e3523)"
    assert repr(error) == f"ConflictError({str(error)!r})"
    assert error.args == ("no enrolment",)
    assert str(NoConnectionError("refused")) == "refused"


@both_faces
def test_str_of_an_error_of_a_call(call: Face) -> None:
    client, _, recorded = playing("assign_not_initialised")

    with pytest.raises(UserNotInitializedError) as caught:
        call(client.get_all_experiment_conditions)

    request = recorded.answer.headers["x-request-id"]
    assert str(caught.value) == (
        "User not found: tr-noinit-094602. Call init() or init_sync() for this user first."
        f" (status 404, POST /api/v6/assign, request {request})"
    )


@both_faces
def test_an_error_after_retries_says_how_often_it_was_tried(call: Face) -> None:
    local = LocalUpgrade()
    local.fail_next("init", status=503, times=9, headers={"Retry-After": "0"})
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)

    with pytest.raises(ServerError, match=r"\(status 503, .*, tried 3 times\)") as caught:
        call(client.init)

    assert caught.value.attempts == 3
    assert len(local.requests) == 3


class Broken(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport on which everything breaks."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise self._failure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self._failure
