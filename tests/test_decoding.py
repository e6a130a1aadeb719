"""Responses are decoded alike with orjson and without it."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from tests.support_assignments import condition, item
from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer, initialised
from upgrade_client_lib._http import call as http_call
from upgrade_client_lib._http.decoding import fastest_decoder

HAS_ORJSON = find_spec("orjson") is not None
decoders = pytest.mark.parametrize(
    "with_orjson",
    [
        pytest.param(True, marks=pytest.mark.skipif(not HAS_ORJSON, reason="no orjson here")),
        False,
    ],
)


@pytest.fixture(autouse=True)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have responses decoded with orjson, or as where it is not installed."""
    if "with_orjson" in request.fixturenames and not request.getfixturevalue("with_orjson"):
        monkeypatch.setitem(sys.modules, "orjson", None)
    monkeypatch.setattr(http_call, "_decode", fastest_decoder())


@decoders
@pytest.mark.usefixtures("with_orjson")
@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b'[{"site": "home", "target": null}]',
        '["\u00fc\u2028\U0001f600"]'.encode(),
        b'["\\ud800"]',
        b'{"a": 1, "a": 2}',
        b"\xef\xbb\xbf[]",
        b"[NaN, Infinity, 1e400]",
        '["utf-16"]'.encode("utf-16"),
    ],
)
def test_the_same_comes_of_a_response(content: bytes) -> None:
    assert repr(fastest_decoder()(content)) == repr(json.loads(content))


@decoders
@pytest.mark.usefixtures("with_orjson")
@pytest.mark.parametrize("content", [b"", b"[", b"<html>", b'["\xff"]', b"[" * 100_000])
def test_what_is_no_json_raises_the_same(content: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)) as usual:
        json.loads(content)
    with pytest.raises(usual.type) as raised:
        fastest_decoder()(content)
    assert str(raised.value) == str(usual.value)


@decoders
@pytest.mark.usefixtures("with_orjson")
@both_forms
def test_a_read_takes_it(call: Form) -> None:
    server = SteeredServer()
    server.answer("init", {"id": "user"})
    server.answer("assign", [item(assignedCondition=[condition("\ud800")])])
    client = initialised(server)
    assignment = call(client.get_decision_point_assignment, "home", "banner")
    assert assignment.get_condition() == "\ud800"
