"""What a test makes a LocalUpgrade do wrong."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support_spec import OPERATIONS
from tests.testing.support_local import CONDITIONS, client, codes, mark, post
from upgrade_client_lib.testing import LocalUpgrade


def test_the_next_calls_of_an_endpoint_fail_and_do_nothing_else() -> None:
    local = LocalUpgrade()
    client(local)
    local.fail_next("mark", status=503, times=2)
    answers = [mark(local, "home", "banner", None) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert len(local.marks) == 1
    assert [one.status for one in local.requests if one.endpoint == "mark"] == [503, 503, 200]


def test_other_endpoints_go_on() -> None:
    local = LocalUpgrade()
    client(local)
    local.fail_next("mark")
    assert codes(local) == {}
    assert mark(local, "home", "banner", None).status_code == 503


def test_faults_come_in_the_order_in_which_they_were_asked_for() -> None:
    local = LocalUpgrade()
    local.fail_next("init", status=500)
    local.fail_next("init", status=401)
    assert [post(local, "init", {}).status_code for _ in range(3)] == [500, 401, 200]


@pytest.mark.parametrize(
    ("arguments", "media_type", "text"),
    [
        ({"status": 502}, "text/html", "<html><body><h1>502</h1></body></html>"),
        ({"status": 500, "body": ""}, "application/json; charset=utf-8", ""),
        ({"body": {"a": 1}}, "application/json; charset=utf-8", '{"a": 1}'),
        ({"body": "busy"}, "application/json; charset=utf-8", "busy"),
        ({"body": b"<p>busy"}, "text/html", "<p>busy"),
        ({"body": "x", "headers": {"Content-Type": "text/plain"}}, "text/plain", "x"),
    ],
)
def test_a_fault_answers_what_the_test_wants(
    arguments: dict[str, Any], media_type: str, text: str
) -> None:
    local = LocalUpgrade()
    local.fail_next("init", **arguments)
    answer = post(local, "init", {})
    assert answer.status_code == arguments.get("status", 503)
    assert (answer.headers["Content-Type"], answer.text) == (media_type, text)


def test_a_fault_without_a_body_looks_like_the_servers_own() -> None:
    local = LocalUpgrade()
    local.fail_next("assign", status=500, headers={"Retry-After": "1"})
    answer = post(local, "assign", {"context": "my-app"})
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["endPoint"] == "/api/v6/assign"
    assert answer.json()["errorCode"] == 500


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_does_not_spoil_the_next_one(status: int) -> None:
    local, headers = LocalUpgrade(), {"User-Id": "u1"}
    with (
        local.serve() as url,
        httpx.Client(headers=headers) as on_a_socket,
        httpx.Client(headers=headers, transport=local.transport) as in_process,
    ):
        for http in (on_a_socket, in_process):
            local.fail_next("init", status=status, headers={"ETag": "x"})
            answers = [http.post(f"{url}/api/v6/init", json={}) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [status, 200]
            assert (answers[0].content, answers[0].headers["ETag"]) == (b"", "x")
            assert not answers[0].headers.keys() & {"content-type", "content-length"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"endpoint": "marks"}, "endpoint 'marks' is not one of init, .*mark"),
        ({"endpoint": "version"}, "endpoint 'version' is not one of "),
        ({"times": 0}, "times must be at least 1, not 0"),
        ({"status": 99}, "status must be that of an answer, 200 to 999, not 99"),
        ({"status": 100}, "status must be that of an answer"),
        ({"status": 199}, "status must be that of an answer"),
        ({"status": 1000}, "status must be that of an answer"),
        ({"status": 204, "body": "x"}, "an answer with status 204 has no body"),
        ({"headers": {"A": "b\r\nX: y"}}, "header A must be of printable ASCII characters"),
        ({"headers": {"A": "é"}}, "header A must be of printable ASCII characters, not 'é'"),
        ({"headers": {"A b": "c"}}, "headers: 'A b' is not the name of a header"),
        ({"headers": {"": "c"}}, "headers: '' is not the name of a header"),
        ({"headers": {"Content-Length": "3"}}, "headers: Content-Length is set by the server"),
    ],
)
def test_a_fault_that_cannot_be_is_a_value_error(arguments: dict[str, Any], complaint: str) -> None:
    given: dict[str, Any] = {"endpoint": "mark", **arguments}
    with pytest.raises(ValueError, match=complaint):
        LocalUpgrade().fail_next(**given)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"body": {1, 2}}, "body: .* not JSON serializable"),
        ({"headers": {"Retry-After": 1}}, "header Retry-After must be a string"),
        ({"headers": {5: "x"}}, "the name of a header must be a string, not 5"),
        ({"headers": [("A", "b")]}, "headers must be a dictionary, not "),
        ({"endpoint": None}, "endpoint must be a string, not None"),
        ({"times": 1.5}, "times must be a whole number, not 1.5"),
        ({"times": "1"}, "times must be a whole number, not '1'"),
        ({"status": "500"}, "status must be a whole number, not '500'"),
        ({"status": True}, "status must be a whole number, not True"),
    ],
)
def test_a_fault_that_cannot_be_sent_is_a_type_error_at_once(
    arguments: dict[str, Any], complaint: str
) -> None:
    given: dict[str, Any] = {"endpoint": "mark", **arguments}
    with pytest.raises(TypeError, match=complaint):
        LocalUpgrade().fail_next(**given)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_endpoint_can_fail(method: str, path: str) -> None:
    local, endpoint = LocalUpgrade(), path.rpartition("/")[2]
    local.fail_next(endpoint, status=500)
    answer = post(local, endpoint, {}, method=method)
    assert (answer.status_code, answer.json()["endPoint"]) == (500, path)


def test_down_is_a_connection_error_until_up() -> None:
    local = LocalUpgrade()
    local.down()
    with pytest.raises(httpx.ConnectError, match="LocalUpgrade is down"):
        post(local, "init", {})
    assert local.requests == ()
    local.up()
    assert post(local, "init", {}).status_code == 200


def test_reset_ends_every_fault() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=CONDITIONS)
    local.fail_next("init")
    local.down()
    local.reset()
    assert post(local, "init", {}).status_code == 200
    assert local.experiments == (experiment,)
