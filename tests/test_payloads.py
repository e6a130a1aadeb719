"""Payloads: what the server stores, and what Python sees of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer, client_of
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import Payload, PayloadType


def text(value: str) -> Payload:
    return Payload(PayloadType.STRING, value)


def json_of(value: str) -> Payload:
    return Payload(PayloadType.JSON, value)


def csv_of(value: str) -> Payload:
    return Payload(PayloadType.CSV, value)


# ---- Parsing ----


@pytest.mark.parametrize("value", ["", "Welcome", '{"a": 1}', "a,b", "NaN", " two  words\n"])
def test_a_string_payload_is_its_text(value: str) -> None:
    assert text(value).parse() == value


@pytest.mark.parametrize("kind", ["yaml", "JSON", "", "text/html"])
def test_a_payload_of_an_unknown_type_is_its_text(kind: str) -> None:
    assert Payload(kind, '{"a": 1}').parse() == '{"a": 1}'


@pytest.mark.parametrize("kind", [PayloadType.JSON, "json"])
@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ('{"title": "Hi", "n": 3}', {"title": "Hi", "n": 3}),
        ("[1, 2.5, null]", [1, 2.5, None]),
        ('"text"', "text"),
        (" true ", True),
        ("null", None),
        ('{"a": "ünï ✓ 😀"}', {"a": "ünï ✓ 😀"}),
    ],
)
def test_a_json_payload_is_its_value(kind: PayloadType | str, value: str, parsed: object) -> None:
    assert Payload(kind, value).parse() == parsed


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "{'a': 1}",
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1 2",
        "undefined",
        pytest.param("[" * 99999, id="too deep"),
    ],
)
def test_a_json_payload_that_is_not_json_is_an_error_that_shows_the_text(value: str) -> None:
    with pytest.raises(ValueError, match="json") as caught:
        json_of(value).parse()

    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("kind", [PayloadType.CSV, "csv"])
@pytest.mark.parametrize(
    ("value", "cells"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ('a,"b,c"', ["a", "b,c"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        ('"two\nlines",x', ["two\nlines", "x"]),
        ("one", ["one"]),
        ("a,,", ["a", "", ""]),
        (" a , b ", [" a ", " b "]),
        ("1,2.5,", ["1", "2.5", ""]),
        ("a,b\n", ["a", "b"]),
        ("a,b\r\n", ["a", "b"]),
        ("a,b\n\n", ["a", "b"]),
        ("\n", []),
        ("", []),
    ],
)
def test_a_csv_payload_is_the_list_of_its_row(
    kind: PayloadType | str, value: str, cells: list[str]
) -> None:
    assert Payload(kind, value).parse() == cells


@pytest.mark.parametrize("value", ["a,b\nc,d", '"never closed', '"a"b,c', "a\n\nb", "a\n "])
def test_a_csv_payload_that_is_no_row_is_an_error_that_shows_the_text(value: str) -> None:
    with pytest.raises(ValueError, match="csv") as caught:
        csv_of(value).parse()

    assert repr(value) in str(caught.value)


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    assert json_of(json.dumps(value)).parse() == value


@settings(deadline=None)
@given(st.sampled_from(list(PayloadType)), st.text())
def test_any_text_parses_or_is_a_value_error_that_shows_it(kind: PayloadType, value: str) -> None:
    try:
        Payload(kind, value).parse()
    except ValueError as error:
        said = str(error)
    else:
        said = repr(value)

    assert repr(value) in said


# ---- From the server ----


@both_forms
@pytest.mark.parametrize(
    ("stored", "payload"),
    [
        ("Welcome", text("Welcome")),
        ({"n": 3}, json_of('{"n": 3}')),
        (None, None),
    ],
)
def test_a_payload_travels_as_text_with_its_type(
    call: Form, stored: Any, payload: Payload | None
) -> None:
    upgrade = LocalUpgrade()
    payloads = {} if stored is None else {"only": stored}
    upgrade.experiment("home", "banner", conditions=["only"], payloads=payloads)
    with UpgradeClient("u", "http://upgrade", "my-app", transport=upgrade.transport) as client:
        call(client.init)
        assignment = call(client.get_decision_point_assignment, "home", "banner")

    assert assignment.get_payload() == payload


@both_forms
@pytest.mark.parametrize(
    ("answered", "payload"),
    [
        (None, None),
        ({"type": "csv", "value": "a,b"}, csv_of("a,b")),
        ({"type": "json", "value": "{"}, json_of("{")),
        ({"type": "string", "value": ""}, text("")),
        ({"type": "yaml", "value": "a: 1"}, Payload("yaml", "a: 1")),
        ({"type": None, "value": "x"}, text("x")),
        ({"type": 5, "value": "x"}, text("x")),
        ({"value": "x"}, text("x")),
    ],
)
def test_odd_payloads_are_read_as_far_as_they_go(
    call: Form, answered: object, payload: Payload | None
) -> None:
    server = SteeredServer()
    condition = {"conditionCode": "a", "payload": answered}
    server.answer("assign", [{"site": "s", "target": "t", "assignedCondition": [condition]}])

    assignment = call(client_of(server).get_decision_point_assignment, "s", "t")

    assert assignment.get_payload() == payload
    assert payload is None or type(assignment.get_payload().type) is type(payload.type)
