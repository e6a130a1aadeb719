"""Marks that are refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_forms import Form, both_forms
from tests.support_marking import APPLIED, NONE_ASSIGNED, NOT_APPLIED, STATUS, snapshot
from tests.support_server import SteeredServer, initialised, local_upgrade


def refused(call: Form, expected: type[Exception], match: str, *arguments: Any) -> str:
    """Check that a mark is refused before anything is sent, and give what is said."""
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    with pytest.raises(expected, match=match) as caught:
        call(client.mark_decision_point, *arguments)

    assert [sent.endpoint for sent in server.sent] == ["init"]
    return str(caught.value)


@both_forms
@pytest.mark.parametrize(
    "arguments",
    [
        ("home", APPLIED, "banner", "treatment"),
        ("home", APPLIED, "treatment", "banner"),
        ("home", APPLIED.value, "treatment", "banner"),
        ("home", NOT_APPLIED.value, None, APPLIED),
        ("home", "treatment", APPLIED, "banner"),
        ("home", NONE_ASSIGNED, None, None),
    ],
)
def test_the_order_of_other_releases_is_a_type_error_that_shows_the_right_one(
    call: Form, arguments: tuple[Any, ...]
) -> None:
    order = r"mark_decision_point\(site, target, condition, status"

    refused(call, TypeError, order, *arguments)


@both_forms
@pytest.mark.parametrize(
    ("arguments", "expected", "match"),
    [
        (("", "banner", "control", APPLIED), ValueError, "site"),
        ((None, "banner", "control", APPLIED), TypeError, "site"),
        (("home", 5, "control", APPLIED), TypeError, "target"),
        (("home", "banner", 5, APPLIED), TypeError, "condition"),
        (("home", "banner", "control", 5), TypeError, "status"),
        (("home", "banner", "control", None), TypeError, "status"),
        (("home", "banner", "control", APPLIED, 5), TypeError, "uniquifier"),
        (("home", "banner", "control", APPLIED, "", 5), TypeError, "client_error"),
        (("ho\0me", "banner", "control", APPLIED), ValueError, "site .* NUL"),
        (("home", "ban\0ner", "control", APPLIED), ValueError, "target .* NUL"),
        (("home", "banner", "con\0trol", APPLIED), ValueError, "condition .* NUL"),
        (("home", "banner", "control", APPLIED, "\0"), ValueError, "uniquifier .* NUL"),
        (("home", "banner", "control", APPLIED, "", "\0"), ValueError, "client_error .* NUL"),
    ],
)
def test_wrong_arguments_are_named(
    call: Form, arguments: tuple[Any, ...], expected: type[Exception], match: str
) -> None:
    refused(call, expected, match, *arguments)


@both_forms
def test_an_unknown_status_is_a_value_error_that_lists_the_valid_ones(call: Form) -> None:
    said = refused(call, ValueError, "status", "home", "banner", "control", "applied")

    for status in STATUS:
        assert repr(status.value) in said


@both_forms
def test_text_that_is_not_unicode_is_no_mark(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    with pytest.raises(ValueError, match="Unicode"):
        call(client.mark_decision_point, "home", "banner", "\ud800", APPLIED)
    assert server.count("mark") == 0


@both_forms
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("applied",), ValueError), ((None,), TypeError), ((APPLIED, 5), TypeError)],
)
def test_an_assignment_checks_its_arguments_too(
    call: Form, arguments: tuple[Any, ...], expected: type[Exception]
) -> None:
    server = SteeredServer(local_upgrade().transport)
    assignment = snapshot(call, initialised(server), "home", "banner")

    with pytest.raises(expected):
        call(assignment.mark_decision_point, *arguments)
    assert server.count("mark") == 0


@both_forms
def test_none_for_the_optional_texts_is_the_same_as_leaving_them_out(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    assignment = snapshot(call, client, "home", "banner")
    code = assignment.get_condition()

    call(client.mark_decision_point, "home", "banner", code, APPLIED)
    call(client.mark_decision_point, "home", "banner", code, APPLIED, None, None)
    call(assignment.mark_decision_point, APPLIED, uniquifier=None, client_error=None)
    call(client.mark_assignment, assignment, APPLIED, None, None)

    left_out, *given = server.bodies("mark")
    assert given == [left_out] * 3
    assert "uniquifier" not in left_out
    assert "clientError" not in left_out
