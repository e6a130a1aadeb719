"""Operations of the API, made of generated requests.

Paths, headers, keys and values of the wire come from the generated package alone. Each of the
modules beside this one has some operations: their requests, and how their responses are read. It
is loaded with the first of them, and with all the models that they need, so that no call loads one.
"""

from __future__ import annotations

import json
from typing import Any, Callable, TypeVar
from urllib.parse import quote

import attrs

from .._http import Operation, Request
from .._rules.arguments import header_problem
from .._version import __version__
from .errors import read_error
from .identity import Identity

T = TypeVar("T")


def operation(
    get_kwargs: Callable[..., dict[str, Any]],
    identity: Identity,
    body: Any,
    read: Callable[[Any], T],
    *,
    idempotent: bool,
) -> Operation[T]:
    """Take the request from a generated operation; ``idempotent`` if sending it twice is safe."""
    parts = get_kwargs(
        body=body,
        user_id=identity.user_id,
        session_id=identity.session_id,
        client_context=_context_header(identity.context),
        client_version=__version__,
    )
    headers: dict[str, str] = parts["headers"]
    if identity.token:
        headers["Authorization"] = f"Bearer {identity.token}"
    request = Request(
        parts["method"].upper(),
        parts["url"],
        headers,
        # Half a surrogate pair, which only an answer can hold, goes back as JSON's escape of it.
        _compact_json(parts["json"]).encode(errors="backslashreplace"),
        idempotent,
        identity.token,
    )
    return Operation(request, read, read_error)


def read_operation(
    get_kwargs: Callable[..., dict[str, Any]],
    identity: Identity,
    body: Any,
    read: Callable[[Any], T],
) -> Operation[T]:
    """Return an operation that changes nothing on the server."""
    return attrs.evolve(operation(get_kwargs, identity, body, read, idempotent=True), is_read=True)


_compact_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _context_header(context: str) -> str:
    """Headers carry latin-1: other contexts are percent-encoded there (not in the body)."""
    return context if header_problem(context) is None else quote(context)
