"""The server as a function: a request in, an answer out, in the order of its checks."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from threading import RLock
from typing import Any, Callable
from uuid import uuid4

import attrs

from .._narrow import list_or_none, object_or_none
from . import (
    _assign,
    _flags,
    _json,
    _logs,
    _marks,
    _rewards,
    _users,
    _validation,
)
from ._call import Call, World
from ._errors import (
    BAD_PARAMETER,
    Refusal,
    invalid_body,
    user_not_found,
)
from ._faults import Faults
from ._records import Request
from ._store import User
from ._tokens import TokenCheck

REQUESTS_KEPT = 10_000
BODY_LIMIT = 5 * 1024 * 1024
_ROOT = "/api/v6/"
_JSON = "application/json; charset=utf-8"


@attrs.frozen
class Answer:
    """What goes back: a status, headers, a body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@attrs.frozen
class _Endpoint:
    name: str
    method: str
    valid: Callable[[Mapping[str, Any], bool], bool]
    run: Callable[[World, Call], object]


_ENDPOINTS = {
    one.name: one
    for one in (
        _Endpoint("init", "POST", _validation.init, _users.init),
        _Endpoint("groupmembership", "PATCH", _validation.groupmembership, _users.groupmembership),
        _Endpoint("workinggroup", "PATCH", _validation.workinggroup, _users.workinggroup),
        _Endpoint("useraliases", "PATCH", _validation.useraliases, _users.useraliases),
        _Endpoint("assign", "POST", _validation.assign, _assign.assign),
        _Endpoint("mark", "POST", _validation.mark, _marks.mark),
        _Endpoint("featureflag", "POST", _validation.featureflag, _flags.featureflag),
        _Endpoint("log", "POST", _validation.log, _logs.log),
        _Endpoint("reward", "POST", _validation.reward, _rewards.reward),
    )
}


@attrs.define
class Api:
    """UpGrade's client API over a world. Safe to call from several threads."""

    world: World
    version: str
    tokens: TokenCheck | None
    faults: Faults = attrs.field(factory=lambda: Faults(_ENDPOINTS))
    down: bool = False
    requests: deque[Request] = attrs.field(factory=lambda: deque(maxlen=REQUESTS_KEPT))
    lock: RLock = attrs.field(factory=RLock, repr=False)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answers a request. ``headers`` have lower-case names; ``path`` includes the query."""
        if self.down:
            raise ConnectionRefusedError("LocalUpgrade is down")
        name, exact = _named(path)
        endpoint = _ENDPOINTS.get(name)
        if endpoint is None or endpoint.method != method:
            return self._elsewhere(method, path)
        with self.lock:
            fault = self.faults.next(name)
            if fault:
                answer = Answer(fault.status, fault.headers, fault.content)
            else:
                answer = self._answer(endpoint, exact, path, headers, body)
            self.requests.append(
                Request(name, method, path, headers.get("user-id"), answer.status, headers, body)
            )
        return answer

    def _answer(
        self,
        endpoint: _Endpoint,
        exact: bool,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answer:
        body: Any = {}
        try:
            body = _body(headers, content)
            fields = object_or_none(body) or {}
            user_id = headers.get("user-id")
            if not user_id:
                raise Refusal(400, "User-Id header not found.", BAD_PARAMETER)
            user = self._user(endpoint, exact, user_id, fields)
            if self.tokens:
                self.tokens(headers.get("authorization"))
            # A list's elements are checked one by one, and then it counts as empty.
            several = list_or_none(body)
            for item in [body] if several is None else [*several, fields]:
                one = object_or_none(item)
                if one is None or not endpoint.valid(one, self.world.newer):
                    raise invalid_body()
            if not exact and endpoint.name == "featureflag":
                fields = {"context": fields.get("context")}
            result = endpoint.run(self.world, Call(user_id, user, fields))
        except Refusal as refusal:
            return _refused(refusal, path, body)
        text = result if isinstance(result, bytes) else _json.write(result)
        return Answer(200, _headers(_JSON), text)

    def _user(
        self, endpoint: _Endpoint, exact: bool, user_id: str, fields: Mapping[str, Any]
    ) -> User:
        """The root user; a new one where the endpoint does not ask for one who is known."""
        user = self.world.store.user(user_id)
        if exact and endpoint.name == "featureflag":
            merged = fields.get("includeStoredUserGroups")
            if merged is False and isinstance(fields.get("groupsForSession"), dict):
                return User(user_id if user is None else user.id)
        if user is not None:
            return user
        if exact and endpoint.name == "init":
            return User(user_id)
        raise user_not_found(user_id)

    def _elsewhere(self, method: str, path: str) -> Answer:
        """The few other routes there are, and the page for those there are not."""
        route = (method, path.partition("?")[0].rstrip("/").lower())
        if route in (("GET", "/api/version"), ("HEAD", "/api/version")):
            return Answer(200, _headers(_JSON), _json.write(self.version))
        if route in (("GET", "/api"), ("HEAD", "/api")):
            about = {
                "name": "A/B Testing Backend",
                "version": self.version,
                "description": "Backend for the UpGrade A/B Testing Platform",
            }
            return Answer(200, _headers(_JSON), _json.write(about))
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            "<title>Error</title>\n</head>\n<body>\n"
            f"<pre>Cannot {method} {_escaped(path.partition('?')[0])}</pre>\n</body>\n</html>\n"
        )
        html = "text/html; charset=utf-8"
        inside = path.lower().startswith("/api/")
        return Answer(404, _headers(html) if inside else [("Content-Type", html)], page.encode())


def _named(path: str) -> tuple[str, bool]:
    """The endpoint's name in a path, and whether the path is exactly its own.

    The server routes other letter case, a trailing slash and a query, too; but then two
    endpoints do not recognise themselves.
    """
    name = path[len(_ROOT) :]
    if name in _ENDPOINTS and path.startswith(_ROOT):
        return name, True
    plain = path.partition("?")[0].lower()
    if not plain.startswith(_ROOT):
        return "", False
    return plain[len(_ROOT) : -1] if plain.endswith("/") else plain[len(_ROOT) :], False


def _body(headers: Mapping[str, str], content: bytes) -> Any:
    """The JSON of a request; nothing of what is declared to be something else."""
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        return {}
    charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(' "') or "utf-8"
    if not charset.startswith("utf-"):
        message = f'unsupported charset "{charset.upper()}"'
        raise Refusal(415, message, name="UnsupportedMediaTypeError")
    content = _inflated(headers.get("content-encoding", "identity").lower(), content)
    if len(content) > BODY_LIMIT:
        raise Refusal(413, "request entity too large", name="PayloadTooLargeError")
    try:
        return _json.read(content.decode(charset, "replace"))
    except LookupError:
        message = f'unsupported charset "{charset.upper()}"'
        raise Refusal(415, message, name="UnsupportedMediaTypeError") from None
    except _json.BadJson as error:
        raise Refusal(400, str(error), name="SyntaxError") from None


def _inflated(encoding: str, content: bytes) -> bytes:
    """The content decompressed, at most one byte more of it than is allowed."""
    if encoding == "identity":
        return content
    if encoding not in ("gzip", "deflate"):
        message = f'unsupported content encoding "{encoding}"'
        raise Refusal(415, message, name="UnsupportedMediaTypeError")
    try:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
        return inflater.decompress(content, BODY_LIMIT + 1)
    except zlib.error:
        raise Refusal(400, "incorrect header check") from None


def _headers(content_type: str) -> list[tuple[str, str]]:
    return [("x-request-id", str(uuid4())), ("Content-Type", content_type)]


def _refused(refusal: Refusal, path: str, body: object) -> Answer:
    error: dict[str, object] = {
        "name": refusal.name,
        "message": refusal.message,
        "endPoint": path,
        "errorCode": refusal.status,
    }
    if refusal.type is not None:
        error["type"] = refusal.type
    error["request"] = body
    return Answer(refusal.status, _headers(_JSON), _json.write(error))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
