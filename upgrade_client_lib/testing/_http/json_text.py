"""Read and write JSON as the server does, with its messages about malformed JSON."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, NoReturn

_BLANK = " \t\n\r"
_CONTEXT = 10  # characters shown on each side of the offending one

_MESSAGES = {
    "Expecting ':' delimiter": "Expected ':' after property name in JSON",
    "Unterminated string starting at": "Unterminated string in JSON",
    "Invalid control character at": "Bad control character in string literal in JSON",
    "Invalid \\escape": "Bad escaped character in JSON",
    "Invalid \\uXXXX escape": "Bad Unicode escape in JSON",
    "Extra data": "Unexpected non-whitespace character after JSON",
}


class JsonError(ValueError):
    """The server's message about a body that it cannot parse."""


def read(text: str) -> Any:
    """Return the object or list in ``text``; an empty text is an empty object."""
    start = len(text) - len(text.lstrip(_BLANK))
    if start == len(text):
        return {}
    if text[start] not in "{[":
        raise JsonError(_unexpected(text, start))
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(_message(text, error)) from None
    except _Constant as constant:
        outside_strings = _STRING.sub(lambda string: " " * len(string[0]), text)
        raise JsonError(_unexpected(text, outside_strings.index(constant.name))) from None
    except RecursionError:
        raise JsonError("Maximum call stack size exceeded") from None


def write(value: object) -> bytes:
    """Return compact UTF-8; lone surrogates, which UTF-8 has no bytes for, are escaped."""
    text = _ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


class _Constant(Exception):
    """NaN or an infinity, which Python reads and JSON does not know."""

    def __init__(self, name: str) -> None:
        self.name = name


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def _refuse_constant(name: str) -> NoReturn:
    raise _Constant(name)


def _number(text: str) -> float | None:
    """Return a number as JavaScript would write it: ``5.0`` as 5, and beyond a double as null."""
    value = float(text)
    if math.isinf(value):
        return None
    return int(Decimal(repr(value))) if value.is_integer() and abs(value) < 1e21 else value


def _integer(text: str) -> float | None:
    return int(text) if len(text) <= 15 else _number(text)


_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_integer, parse_constant=_refuse_constant
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _message(text: str, error: json.JSONDecodeError) -> str:
    # Python 3.13 reports a trailing comma; JavaScript and older versions what follows it.
    blames_comma = error.msg.startswith("Illegal trailing comma")
    at = len(text) - len(text[error.pos + 1 :].lstrip(_BLANK)) if blames_comma else error.pos
    if error.msg in ("Expecting value", "Illegal trailing comma before end of array"):
        return "Unexpected end of JSON input" if at >= len(text) else _unexpected(text, at)
    if blames_comma or error.msg == "Expecting property name enclosed in double quotes":
        before = text[:at].rstrip(_BLANK)
        wanted = "double-quoted property name" if before.endswith(",") else "property name or '}'"
        return f"Expected {wanted} in JSON at position {at}"
    if error.msg == "Expecting ',' delimiter":
        in_list = _innermost_bracket(text[:at]) == "["
        missing = "']' after array element" if in_list else "'}' after property value"
        return f"Expected ',' or {missing} in JSON at position {at}"
    if error.msg == "Unterminated string starting at":
        at = len(text)
    elif error.msg == "Invalid \\escape":
        at += 1
    return f"{_MESSAGES.get(error.msg, error.msg)} at position {at}"


def _innermost_bracket(text: str) -> str:
    """Return the last bracket that was opened and not closed."""
    opened = ""
    for bracket in re.findall(r"[][{}]", _STRING.sub("", text)):
        opened = opened + bracket if bracket in "[{" else opened[:-1]
    return opened[-1:]


def _unexpected(text: str, at: int) -> str:
    start, end = max(0, at - _CONTEXT), min(len(text), at + _CONTEXT)
    if len(text) <= 2 * _CONTEXT:
        start, end = 0, len(text)
    before = "..." if start else ""
    after = "..." if end < len(text) else ""
    return f"Unexpected token '{text[at]}', {before}\"{text[start:end]}\"{after} is not valid JSON"
