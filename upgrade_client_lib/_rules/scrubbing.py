"""What may be shown of a text that a server sent: no secret, no control character, not too much."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

import attrs

MESSAGE_LENGTH = 1_000
NAME_LENGTH = 200
BODY_LENGTH = 10_000

# Shorter values, and those of these headers, are no secrets: hiding them would spoil messages.
_SHORTEST_SECRET = 4
_NEVER_SECRET = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "content-type",
        "host",
        "user-agent",
    }
)

_ESCAPED = re.compile("[^0-9A-Za-z]")
_ESCAPES = ("%{:02X}", "%{:02x}", "\\u{:04X}", "\\u{:04x}", "\\x{:02x}", "&#{};", "&#x{:x};")


@attrs.frozen
class Secrets:
    """What no error, log line or ``repr`` may show; its own shows nothing."""

    _spellings: frozenset[str] = attrs.field(default=frozenset(), repr=False)

    @classmethod
    def in_headers(cls, headers: Mapping[str, str]) -> Secrets:
        """Return the values of a user's own headers, as far as they may be secret."""
        return cls(frozenset(one for value in _secret_values(headers) for one in _spellings(value)))

    def and_token(self, token: str) -> Secrets:
        """Return these and a token, which may be empty."""
        return Secrets(self._spellings.union(_spellings(token))) if token else self

    def hide(self, text: str) -> str:
        """Return the text with ``***`` in place of each secret, however it is spelled."""
        for spelling in sorted(self._spellings, key=len, reverse=True):
            text = text.replace(spelling, "***")
        return text


def line(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Return a text of one line, with what is not printable escaped, and cut to a length."""
    text = text[: length + 1]  # escaping makes none shorter
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return excerpt(text, length)


def excerpt(text: str, length: int = BODY_LENGTH) -> str:
    """Return the beginning of a text, which ends with ``…`` where it is cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _secret_values(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if name.lower() in _NEVER_SECRET:
            continue
        _, _, credentials = value.partition(" ")  # of "Basic ...", a server may repeat the rest
        for secret in (value, credentials if "authorization" in name.lower() else ""):
            if len(secret) >= _SHORTEST_SECRET:
                yield secret


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as URLs, JSON, HTML and messages of Python write it."""
    yield secret
    raw = secret.encode("latin-1")  # as it is sent
    yield " ".join(secret.split())
    yield raw.decode("utf-8", "replace")
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (html.escape(secret), html.escape(secret, quote=False))
    yield from (repr(secret)[1:-1], repr(raw)[2:-1])
    for as_json in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield as_json
        yield as_json.replace("/", "\\/")
    for escape in _ESCAPES:
        yield _with_escapes(secret, escape)


def _with_escapes(text: str, escape: str) -> str:
    return _ESCAPED.sub(lambda found: escape.format(ord(found[0])), text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
