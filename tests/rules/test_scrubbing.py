"""What may be shown of a text that a server sent, as a table."""

from __future__ import annotations

import pytest

from upgrade_client_lib._rules.scrubbing import Secrets, excerpt, line

ODD = "a/b+c d\xe9'"


@pytest.mark.parametrize(
    ("headers", "token", "text", "hidden"),
    [
        ({}, "", "nothing is secret", "nothing is secret"),
        ({}, "tok", "a token: tok; again: tok", "a ***en: ***; again: ***"),
        ({"X-Key": "abcd"}, "", "abcd abc", "*** abc"),
        ({"X-Key": "abc"}, "", "abc", "abc"),
        ({"X-Key": "abcd"}, "efg", "abcd efg", "*** ***"),
        ({"x-short": "abcd", "x-long": "abcdef"}, "", "abcdef", "***"),
        ({"Authorization": "Basic YWJj"}, "", "Basic YWJj, YWJj, Basic", "***, ***, Basic"),
        ({"proxy-authorization": "Basic YWJj"}, "", "YWJj", "***"),
        ({"Authorization": "YWJj"}, "", "YWJj", "***"),
        ({"X-Key": "Basic YWJj"}, "", "YWJj", "YWJj"),
        ({"Accept": "text/html", "USER-AGENT": "school/2"}, "", "text/html", "text/html"),
        ({}, ODD, ODD, "***"),
        ({}, ODD, "a%2Fb%2Bc%20d%C3%A9%27", "***"),
        ({}, ODD, "a%2Fb%2Bc+d%C3%A9%27", "***"),
        ({}, ODD, "a/b%2Bc%20d%C3%A9%27", "***"),
        ({}, ODD, "a%2fb%2bc%20d%e9%27", "***"),
        ({}, ODD, "a/b+c d\\u00e9'", "***"),
        ({}, ODD, "a\\/b+c d\\u00e9'", "***"),
        ({}, ODD, "a\\u002Fb\\u002Bc\\u0020d\\u00E9\\u0027", "***"),
        ({}, ODD, "a/b+c d\xe9&#x27;", "***"),
        ({}, ODD, "a/b+c d\ufffd'", "***"),
        ({}, ODD, 'bytearray(b"a/b+c d\\xe9\'")', 'bytearray(b"***")'),
        ({}, "a  b", "a b", "***"),
        ({}, 'a"b', 'a\\"b', "***"),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelled(
    headers: dict[str, str], token: str, text: str, hidden: str
) -> None:
    assert Secrets.in_headers(headers).and_token(token).hide(text) == hidden


def test_secrets_do_not_show_themselves() -> None:
    assert repr(Secrets.in_headers({"X-Key": "abcd"}).and_token("efg")) == "Secrets()"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain, \xe9 and \u65e5\u672c", "plain, \xe9 and \u65e5\u672c"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\x1b[31m\x00\x7f", r"\x1b[31m\x00\x7f"),
        ("\x85\u2028\u2029", r"\x85\u2028\u2029"),
        ("\u202e\u2066\u200b\ufeff\ud800", r"\u202e\u2066\u200b\ufeff\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("12345678", "12345678"),
        ("1234567\n", "1234567…"),
        ("123456789", "1234567…"),
    ],
)
def test_a_line_is_printable_and_no_longer_than_it_may_be(text: str, shown: str) -> None:
    assert line(text, 8 if text.startswith("1") else 100) == shown


def test_an_excerpt_is_the_beginning() -> None:
    assert excerpt("a\nb", 3) == "a\nb"
    assert excerpt("a\nbc", 3) == "a\n…"
