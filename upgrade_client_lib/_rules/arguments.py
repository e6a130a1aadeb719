"""Validation of a caller's arguments: a wrong one is named before anything is sent."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar
from urllib.parse import urlsplit

from .._narrow import items_or_none, mapping_or_none
from ..types import BinaryRewardValue, DecisionPoint, MarkedDecisionPointStatus

A_DAY = 86_400.0
"""What no time limit is longer than, in seconds."""

E = TypeVar("E", bound=Enum)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_STATUSES = frozenset(status.value for status in MarkedDecisionPointStatus)


def text(argument: str, value: object) -> str:
    """A string, possibly empty."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a string, not {_type_name(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{argument} is not valid Unicode and cannot be sent") from None
    return value if type(value) is str else str.__str__(value)


def storable(argument: str, value: object) -> str:
    """A string, possibly empty, that the server can store, which it cannot with a NUL."""
    checked = text(argument, value)
    if "\0" in checked:
        raise ValueError(f"{argument} must not hold a NUL character: {checked!r}")
    return checked


def nonempty(argument: str, value: object) -> str:
    """A string that is not empty."""
    checked = text(argument, value)
    if not checked:
        raise ValueError(f"{argument} must not be empty")
    return checked


def header_problem(value: str) -> str | None:
    """Return why a header cannot carry this text unchanged; ``None`` when it can.

    Servers read the bytes of a header as latin-1 and strip blanks from its ends; control characters
    are not allowed at all.
    """
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "holds characters outside latin-1, which HTTP headers cannot carry"
    # Printable text holds none, and isprintable() needs no loop here.
    if not value.isprintable() and any(unicodedata.category(char) == "Cc" for char in value):
        return "holds control characters, which HTTP headers cannot carry"
    if value != value.strip():
        return "begins or ends with a blank, which HTTP headers lose"
    return None


def header(argument: str, value: object, *, secret: bool = False) -> str:
    """A string that a header carries unchanged, possibly empty."""
    checked = text(argument, value)
    reason = header_problem(checked)
    if reason is not None:
        raise ValueError(f"{argument} {reason}" + ("" if secret else f": {checked!r}"))
    return checked


def headers(value: object) -> dict[str, str]:
    """Extra headers, each of which is carried unchanged."""
    if value is None:
        return {}
    extra = _mapping("headers", value, '{"X-Proxy-Key": "..."}')
    for name in extra:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers holds {name!r}, which cannot be a header's name")
        if name.lower() in _FRAMING:
            raise ValueError(f"headers holds {name!r}, which each request says of itself")
    return {
        name: header(f"headers[{name!r}]", content, secret=True) for name, content in extra.items()
    }


def boolean(argument: str, value: object) -> bool:
    """``True`` or ``False``, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, not {_type_name(value)}")
    return value


def positive(argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be a whole number, not {_type_name(value)}")
    if value < 1:
        raise ValueError(f"{argument} must be 1 or more, not {value}")
    return value


def key_bytes(argument: str, value: object) -> bytes | None:
    """A secret key, as bytes or text; ``None`` for none."""
    if value is None:
        return None
    if not isinstance(value, bytes):
        value = text(argument, value).encode()
    if not value:
        raise ValueError(f"{argument} must not be empty")
    return value


def seconds(argument: str, value: object) -> float:
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{argument} must be a number of seconds, not {_type_name(value)}")
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{argument} must be 0 or more seconds, and finite, not {value}")
    return float(value)


def host_url(value: object) -> str:
    """The server's address in one spelling, without what the API's paths begin with."""
    url = nonempty("host_url", value).rstrip("/")
    if "@" in url:  # which no message may show
        raise ValueError("host_url must not hold a user name or password; use headers= instead")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError as error:
        raise ValueError(f"host_url is not a URL ({error}): {url!r}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            "host_url must begin with http:// or https:// and name a host, as in"
            f" 'https://upgrade.example.org': {url!r}"
        )
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError(f"host_url must be a plain address, without query or blanks: {url!r}")
    netloc = parts.netloc.replace("%25", "%")  # before the scope of a link-local address
    if "%" not in netloc:
        netloc = netloc.lower()
    netloc = netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])
    path = parts.path
    for ending in ("/api/v6", "/api"):
        if path.lower().endswith(ending):
            path = path[: -len(ending)]
            break
    return f"{parts.scheme}://{netloc}{path}"


def groups(argument: str, value: object) -> dict[str, list[str]]:
    """Groups by group type: ``{"class": ["class-1", "class-2"]}``."""
    return {
        group_type: _nonempty_texts(f"{argument}[{group_type!r}]", ids)
        for group_type, ids in _mapping(argument, value, '{"class": ["class-1"]}').items()
    }


def texts(argument: str, value: object, example: str) -> dict[str, str]:
    """One text for each name, such as one working group for each group type."""
    return {
        key: nonempty(f"{argument}[{key!r}]", item)
        for key, item in _mapping(argument, value, example).items()
    }


def session_groups(
    groups_for_session: object, include_stored_user_groups: object
) -> tuple[dict[str, list[str]], bool] | None:
    """Both of them, or neither."""
    if groups_for_session is None and include_stored_user_groups is None:
        return None
    if groups_for_session is None or include_stored_user_groups is None:
        raise ValueError(
            "groups_for_session and include_stored_user_groups go together: give both, or neither"
        )
    if not isinstance(include_stored_user_groups, bool):
        raise TypeError(
            "include_stored_user_groups must be True or False, not"
            f" {_type_name(include_stored_user_groups)}"
        )
    return groups("groups_for_session", groups_for_session), include_stored_user_groups


def stated_groups(
    group: object, working_group: object
) -> tuple[dict[str, list[str]], dict[str, str] | None] | None:
    """The groups of a user who is initialised when that is needed; a working group needs them."""
    if group is None:
        if working_group is not None:
            raise ValueError("working_group goes with group: give both, or group={} for none")
        return None
    working = None
    if working_group is not None:
        working = texts("working_group", working_group, '{"class": "class-1"}')
    return groups("group", group), working


def aliases(value: object) -> list[str]:
    """Each alias once, in order: the server loses lists with duplicates in silence."""
    texts = _nonempty_texts("aliases", value)
    return list(dict.fromkeys(storable("an alias", alias) for alias in texts))


def member(argument: str, value: object, enum: type[E]) -> E:
    """A member of the enum, or its value as a string."""
    if isinstance(value, enum):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a {enum.__name__}, not {_type_name(value)}")
    try:
        return enum(value)
    except ValueError:
        valid = ", ".join(repr(member.value) for member in enum)
        raise ValueError(f"{argument} must be one of {valid}, not {value!r}") from None


def reward_value(value: object) -> BinaryRewardValue:
    return member("reward_value", value, BinaryRewardValue)


def status(value: object) -> MarkedDecisionPointStatus:
    return member("status", value, MarkedDecisionPointStatus)


def point(site: object, target: object) -> tuple[str, str]:
    """A decision point; no target and an empty one are the same."""
    checked = storable("site", nonempty("site", site))
    return checked, "" if target is None else storable("target", target)


def check_mark_order(target: object, condition: object) -> None:
    """Detect the order of other releases: a status where the target or condition belongs."""
    for argument in (target, condition):
        if isinstance(argument, MarkedDecisionPointStatus) or (
            argument is target and isinstance(argument, str) and argument in _STATUSES
        ):
            raise TypeError(
                f"{str(argument)!r} is a status, and stands where it does not belong. The order is"
                " mark_decision_point(site, target, condition, status, uniquifier='',"
                " client_error='')"
            )


def condition(value: object) -> str | None:
    return None if value is None else storable("condition", value)


def default(value: object) -> str:
    """What a decision has for a condition where none is assigned; it is not sent."""
    if not isinstance(value, str):
        raise TypeError(f"default must be a string, not {type(value).__name__}")
    return value


def decision_point(value: object) -> DecisionPoint:
    """A ``DecisionPoint``, or a mapping with a site and perhaps a target."""
    site: object
    target: object
    if isinstance(value, DecisionPoint):
        site, target = value.site, value.target
    else:
        mapping = mapping_or_none(value)
        if mapping is None:
            raise TypeError(f"decision_point must be a DecisionPoint, not {_type_name(value)}")
        unknown = [key for key in mapping if key not in ("site", "target")]
        if unknown:
            raise ValueError(f"decision_point has a site and a target, but no {unknown[0]!r}")
        site, target = mapping.get("site"), mapping.get("target")
    checked_site, checked_target = point(site, target)
    return DecisionPoint(checked_site, checked_target)


def _mapping(argument: str, value: object, example: str) -> Mapping[str, object]:
    mapping = mapping_or_none(value)
    if mapping is None:
        raise TypeError(f"{argument} must be a mapping such as {example}, not {_type_name(value)}")
    for key in mapping:
        nonempty(f"a key of {argument}", key)
    return mapping


def _nonempty_texts(argument: str, value: object) -> list[str]:
    items = items_or_none(value)
    if items is None:
        raise TypeError(f"{argument} must be a list of strings, not {_type_name(value)}")
    return [nonempty(f"{argument}[{i}]", item) for i, item in enumerate(items)]


def _type_name(value: object) -> str:
    return "None" if value is None else type(value).__name__


def store(argument: str, value: object, kind: str, methods: Iterable[str]) -> None:
    """Check that an object is a store of a kind, which has these methods."""
    if isinstance(value, type):
        raise TypeError(
            f"{argument} must be {kind}, not the class {value.__name__}: make one of it,"
            f" {value.__name__}(...)"
        )
    for method in methods:
        if not callable(getattr(value, method, None)):
            raise TypeError(
                f"{argument} must be {kind}, which {_type_name(value)} is not: it has no {method}()"
            )
