"""Seeds, JSON, timestamps, media types and tokens, read as the server reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.testing.support_local import bearer, client
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.testing._engine import fraction
from upgrade_client_lib.testing._http import json_text


def send(
    content: bytes,
    endpoint: str = "init",
    local: LocalUpgrade | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    local = LocalUpgrade() if local is None else local
    sent = {"User-Id": "u1", "Content-Type": "application/json", **(headers or {})}
    with httpx.Client(transport=local.transport) as http:
        url = f"http://upgrade.local/api/v6/{endpoint}"
        return http.post(url, content=content, headers=sent)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ("", 0.23144008215179881),
        ("hello.", 0.9282578795792454),
        ("a" * 256, 0.43449421599986604),
        ("a" * 257, 0.1291356301820767),
        ("é" * 300, 0.7408584566773531),
        ("日本😀" * 200, 0.3756798970666276),
        ("\ud800x", 0.6477013571424074),
    ],
)
def test_a_seed_gives_the_fraction_that_javascript_gives(seed: str, expected: float) -> None:
    assert fraction(seed) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a" 1}', "Expected ':' after property name in JSON at position 5"),
        ('{"a":[1 2]}', "Expected ',' or ']' after array element in JSON at position 8"),
        ('{"]":1 "b":2}', "Expected ',' or '}' after property value in JSON at position 7"),
        ('{"a":"\x01"}', "Bad control character in string literal in JSON at position 6"),
        ('{"a":"b', "Unterminated string in JSON at position 7"),
        ('{"a":"\\q"}', "Bad escaped character in JSON at position 7"),
        ('{"a":1,}', "Expected double-quoted property name in JSON at position 7"),
        ('{"a":1, \n}', "Expected double-quoted property name in JSON at position 9"),
        ("[1, ]", "Unexpected token ']', \"[1, ]\" is not valid JSON"),
        ("[1,,]", "Unexpected token ',', \"[1,,]\" is not valid JSON"),
        ("{} x", "Unexpected non-whitespace character after JSON at position 3"),
        ('{"a":', "Unexpected end of JSON input"),
        ("7", "Unexpected token '7', \"7\" is not valid JSON"),
        ('{"a":Infinity}', 'Unexpected token \'I\', "{"a":Infinity}" is not valid JSON'),
        (
            '{"NaN aaaaaaaaaaaaaaaaaaaa":NaN,"bbbbbbbbbbbbbbbbbbbbb":1}',
            'Unexpected token \'N\', ..."aaaaaaaa":NaN,"bbbbb"... is not valid JSON',
        ),
        ("[" * 200_000, "Maximum call stack size exceeded"),
    ],
)
def test_bad_json_is_complained_of_in_the_servers_words(text: str, complaint: str) -> None:
    answer = send(text.encode())
    assert (answer.status_code, answer.json()["name"]) == (400, "SyntaxError")
    assert answer.json()["message"] == complaint


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("5.0", b"5"),
        ("0.1", b"0.1"),
        ("1e300", b"1e+300"),
        ("1e999", b"null"),
        ("9" * 5000, b"null"),
        ("1234567890123456789", b"1234567890123456800"),
        ('"\\u65e5"', '"日"'.encode()),
    ],
)
def test_values_are_echoed_as_javascript_would_write_them(sent: str, echoed: bytes) -> None:
    answer = send(b'{"x":' + sent.encode() + b"}")
    assert answer.status_code == 400
    assert answer.content.endswith(b'"request":{"x":' + echoed + b"}}")


def test_half_a_surrogate_pair_is_escaped_for_utf_8_has_no_bytes_for_it() -> None:
    assert json_text.write(json_text.read('["\\ud800é"]')) == b'["\\ud800\\u00e9"]'


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=latin1"},
        {"Content-Type": "application/json; charset=utf-x"},
        {"Content-Encoding": "br"},
    ],
)
def test_what_cannot_be_decoded_is_a_415(headers: dict[str, str]) -> None:
    answer = send(b"{}", headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (415, "UnsupportedMediaTypeError")


def test_utf_16_is_decoded() -> None:
    body = '{"group": {"class": ["é"]}}'.encode("utf-16")
    answer = send(body, headers={"Content-Type": 'application/json; charset="UTF-16"'})
    assert answer.json()["group"] == {"class": ["é"]}


@pytest.mark.parametrize(
    ("timestamp", "stored"),
    [
        ("2026-11-20", "2026-11-20T00:00:00.000Z"),
        ("2026-11-20T09:00", "2026-11-20T09:00:00.000Z"),
        ("2026-11-20T09:00:00.1234567-0230", "2026-11-20T11:30:00.123Z"),
        ("2026-11-20 09:00:00+02:00", "2026-11-20T07:00:00.000Z"),
        ("2026-11-20 9:00 Z", "2026-11-20T09:00:00.000Z"),
        ("2026-11-20T24:00Z", "2026-11-21T00:00:00.000Z"),
        ("2026-02-31T00:00:00Z", "2026-03-03T00:00:00.000Z"),
        ("Nov 20, 2026 08:00:00 GMT", "2026-11-20T08:00:00.000Z"),
        ("Fri, 20 Nov 2026 08:00:00 GMT", "2026-11-20T08:00:00.000Z"),
        ("Fri Nov 20 2026 08:00:00 GMT+0100 (CET)", "2026-11-20T07:00:00.000Z"),
        ("20 november 2026", "2026-11-20T00:00:00.000Z"),
        ("11/20/2026, 8:00:00 PM", "2026-11-20T20:00:00.000Z"),
        ("11/20/2026, 12:30 am", "2026-11-20T00:30:00.000Z"),
        ("11/20/2026, 12:30 pm", "2026-11-20T12:30:00.000Z"),
        ("11/20/2026, 13:30 pm", None),
        ("20/11/2026", None),
        ("2026-02-32T00:00:00Z", None),
        ("2026-00-01", "2025-12-01T00:00:00.000Z"),
        ("2026-13-01", "2027-01-01T00:00:00.000Z"),
        ("2026-02-32", "2026-03-04T00:00:00.000Z"),
        ("2026-11", "2026-11-01T00:00:00.000Z"),
        ("2026", "2026-01-01T00:00:00.000Z"),
        ("2026-1-5", "2026-01-05T00:00:00.000Z"),
        ("20261120080000", "2026-11-20T08:00:00.000Z"),
        ("2026-11-20T25:00", "2026-11-21T01:00:00.000Z"),
        ("2026-11-20 08:00:00.12", "2026-11-20T08:00:00.012Z"),
        ("1700000000.5", "1699-11-30T00:00:00.005Z"),
        ("9999-12-31 24:00", None),
        ("2026-11-20T9:00Z", None),
        ("2026-11-20T09:00 Z", None),
        ("2026-11-20T09:00+24:00", None),
        ("2026-11-20T24:00:01Z", None),
        ("0001-01-01T00:00:00+09:00", None),
        ("5th of January 2026", None),
        ("monday", None),
        ("1700000000", "1699-11-30T00:00:00.000Z"),
    ],
)
def test_timestamps_are_stored_in_utc_and_milliseconds(timestamp: str, stored: str | None) -> None:
    local = LocalUpgrade()
    local.metric("time")
    client(local)
    entry = f'{{"timestamp": "{timestamp}", "metrics": {{"attributes": {{"time": 1}}}}}}'
    answer = send(f'{{"value": [{entry}]}}'.encode(), "log", local)
    if stored is None:
        assert (answer.status_code, answer.json()["name"]) == (500, "QueryFailedError")
    else:
        assert answer.json()[0]["timeStamp"] == stored


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("", "Token is not present in request header from client"),
        ("Bearer ", "Token is not present in request header from client"),
        ("Bearer a.b", "jwt malformed"),
        ("Bearer !.!.!", "invalid token"),
        ("Bearer MQ.MQ.MQ", "invalid token"),
        ("Bearer e30.e30.x", "invalid algorithm"),
        (bearer({"APIKey": "key"}, "another secret"), "invalid signature"),
        (bearer({"APIKey": "key", "exp": 1}), "jwt expired"),
        (bearer({"APIKey": "another key"}), "Provided token is invalid"),
        (bearer({"APIKey": "key", "name": "x"}), "Provided token is invalid"),
    ],
)
def test_a_bad_token_is_a_401(authorization: str, message: str) -> None:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    answer = send(b"{}", local=local, headers={"Authorization": authorization})
    assert (answer.status_code, answer.json()["message"]) == (401, message)


@pytest.mark.parametrize("claims", [{}, {"iat": 1, "exp": 1e12}])
def test_a_token_may_say_from_when_to_when_it_holds(claims: dict[str, Any]) -> None:
    local = LocalUpgrade(token_secret="secret", api_key="key")
    authorization = bearer({"APIKey": "key", **claims})
    assert send(b"{}", local=local, headers={"Authorization": authorization}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/v6", "/api/v6/", "/api/v6/mark/x", "/<b>"])
def test_what_is_not_routed_is_a_page_that_names_the_path(path: str) -> None:
    with httpx.Client(transport=LocalUpgrade().transport) as http:
        answer = http.request("POST", f"http://upgrade.local{path}", headers={"User-Id": "u1"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<pre>Cannot POST /" in answer.text
    assert "<b>" not in answer.text


def test_other_spellings_of_a_path_are_routed_but_lose_session_groups() -> None:
    local = LocalUpgrade()
    local.flag("of-class", include={"class": ["c1"]})
    client(local)
    body = (
        b'{"context": "my-app", "groupsForSession": {"class": ["c1"]},'
        b' "includeStoredUserGroups": false}'
    )
    assert send(body, "featureflag", local).json() == ["of-class"]
    for spelling in ("featureflag/", "FeatureFlag", "featureflag?x=1"):
        assert send(body, spelling, local).json() == []
        assert send(body, spelling, LocalUpgrade()).status_code == 404


def test_a_list_as_a_body_counts_as_an_empty_object() -> None:
    local = LocalUpgrade()
    client(local)
    assert send(b'[{"workingGroup": {}}]', local=local).status_code == 200
    assert send(b"[7]", local=local).status_code == 400
    for endpoint in ("assign", "featureflag", "mark", "log", "reward"):
        assert send(b"[{}]", endpoint, local).status_code == 400
