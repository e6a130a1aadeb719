"""The server as a function from request to response, with its checks in their order."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from threading import RLock
from typing import Any
from uuid import uuid4

import attrs

from ..._narrow import list_or_none, object_or_none
from .._engine import Refused, ServerState, User
from . import json_text
from .disruptions import AT_ONCE, Delivery, Disruptions
from .endpoints import Endpoint, make_endpoints
from .errors import BAD_PARAMETER, ApiError, api_error, invalid_body, user_not_found
from .faults import Faults
from .requests import Call, Request, RequestLog
from .tokens import TokenCheck

REQUESTS_KEPT = 10_000
REQUEST_BYTES_KEPT = 64 * 1024 * 1024
BODY_LIMIT = 5 * 1024 * 1024
_ROOT = "/api/v6/"
_JSON = "application/json; charset=utf-8"
_NAMES = tuple(make_endpoints())


@attrs.frozen
class Response:
    """A response: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


_NEVER_SENT = Response(0, [], b"")


@attrs.define
class Api:
    """UpGrade's client API over the state of a server. Safe to call from several threads."""

    state: ServerState
    version: str
    tokens: TokenCheck | None
    faults: Faults = attrs.field(factory=lambda: Faults(_NAMES))
    disruptions: Disruptions = attrs.field(factory=lambda: Disruptions(_NAMES))
    down: bool = False
    requests: RequestLog = attrs.field(
        factory=lambda: RequestLog(REQUESTS_KEPT, REQUEST_BYTES_KEPT)
    )
    lock: RLock = attrs.field(factory=RLock, repr=False)
    _endpoints: dict[str, Endpoint] = attrs.field(factory=make_endpoints, init=False, repr=False)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The names of the endpoints."""
        return _NAMES

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Return the response to a request.

        ``headers`` have lower-case names; ``path`` includes the query.
        """
        if self.down:
            raise ConnectionRefusedError("LocalUpgrade is down")
        name, exact = _endpoint_of(path)
        endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.method != method:
            return self._other_route(method, path)
        with self.lock:
            fault = self.faults.next(name, headers.get("user-id"))
            if fault:
                content = fault.content(name)
                response = Response(fault.status, fault.checked_headers(content), content)
            else:
                response = self._respond(endpoint, exact, path, headers, body)
            self.requests.append(
                Request(name, method, path, headers.get("user-id"), response.status, headers, body)
            )
        return response

    def deliver(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Response, Delivery]:
        """Return the response to a request, and how it is sent."""
        if self.down or not self.disruptions.any():
            return self.handle(method, path, headers, body), AT_ONCE
        delivery = self.disruptions.next(_endpoint_of(path)[0], headers.get("user-id"))
        if not delivery.applied:
            return _NEVER_SENT, delivery
        return self.handle(method, path, headers, body), delivery

    def _respond(
        self,
        endpoint: Endpoint,
        exact: bool,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Response:
        body: Any = {}
        try:
            body = _body(headers, content)
            fields = object_or_none(body) or {}
            user_id = headers.get("user-id")
            if not user_id:
                raise ApiError(400, "User-Id header not found.", BAD_PARAMETER)
            user = self._user(endpoint, exact, user_id, fields)
            if self.tokens:
                self.tokens(headers.get("authorization"))
            # A list's elements are checked one by one, and then it counts as empty.
            several = list_or_none(body)
            for item in [body] if several is None else [*several, fields]:
                item_fields = object_or_none(item)
                if item_fields is None or not endpoint.is_valid(item_fields, self.state.is_6_7):
                    raise invalid_body()
            if not exact and endpoint.name == "featureflag":
                fields = {"context": fields.get("context")}
            result = endpoint.run(self.state, Call(user_id, user, fields))
        except Refused as refused:
            return _error_response(api_error(refused), path, body)
        except ApiError as error:
            return _error_response(error, path, body)
        text = result if isinstance(result, bytes) else json_text.write(result)
        return Response(200, _headers(_JSON), text)

    def _user(
        self, endpoint: Endpoint, exact: bool, user_id: str, fields: Mapping[str, Any]
    ) -> User:
        """Return the root user; a new one where the endpoint does not need an initialised one."""
        user = self.state.store.user(user_id)
        if exact and endpoint.name == "featureflag":
            merged = fields.get("includeStoredUserGroups")
            if merged is False and isinstance(fields.get("groupsForSession"), dict):
                return User(user_id if user is None else user.id)
        if user is not None:
            return user
        if exact and endpoint.name == "init":
            return User(user_id)
        raise user_not_found(user_id)

    def _other_route(self, method: str, path: str) -> Response:
        """Return the responses of other routes, and the page for those that do not exist."""
        route = (method, path.partition("?")[0].rstrip("/").lower())
        if route in (("GET", "/api/version"), ("HEAD", "/api/version")):
            return Response(200, _headers(_JSON), json_text.write(self.version))
        if route in (("GET", "/api"), ("HEAD", "/api")):
            about = {
                "name": "A/B Testing Backend",
                "version": self.version,
                "description": "Backend for the UpGrade A/B Testing Platform",
            }
            return Response(200, _headers(_JSON), json_text.write(about))
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            "<title>Error</title>\n</head>\n<body>\n"
            f"<pre>Cannot {method} {_escaped(path.partition('?')[0])}</pre>\n</body>\n</html>\n"
        )
        html = "text/html; charset=utf-8"
        inside = path.lower().startswith("/api/")
        return Response(404, _headers(html) if inside else [("Content-Type", html)], page.encode())


def _endpoint_of(path: str) -> tuple[str, bool]:
    """Return the endpoint's name in a path, and whether the path is exactly its own.

    The server routes other letter case, a trailing slash and a query, too; but then two
    endpoints do not recognise themselves.
    """
    name = path[len(_ROOT) :]
    if name in _NAMES and path.startswith(_ROOT):
        return name, True
    plain = path.partition("?")[0].lower()
    if not plain.startswith(_ROOT):
        return "", False
    return plain[len(_ROOT) : -1] if plain.endswith("/") else plain[len(_ROOT) :], False


def _body(headers: Mapping[str, str], content: bytes) -> Any:
    """Return a request's JSON; an empty object where another media type is declared."""
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        return {}
    charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(' "') or "utf-8"
    if not charset.startswith("utf-"):
        message = f'unsupported charset "{charset.upper()}"'
        raise ApiError(415, message, name="UnsupportedMediaTypeError")
    content = _inflated(headers.get("content-encoding", "identity").lower(), content)
    if len(content) > BODY_LIMIT:
        raise ApiError(413, "request entity too large", name="PayloadTooLargeError")
    try:
        return json_text.read(content.decode(charset, "replace"))
    except LookupError:
        message = f'unsupported charset "{charset.upper()}"'
        raise ApiError(415, message, name="UnsupportedMediaTypeError") from None
    except json_text.JsonError as error:
        raise ApiError(400, str(error), name="SyntaxError") from None


def _inflated(encoding: str, content: bytes) -> bytes:
    """Return the content decompressed, at most one byte more of it than is allowed."""
    if encoding == "identity":
        return content
    if encoding not in ("gzip", "deflate"):
        message = f'unsupported content encoding "{encoding}"'
        raise ApiError(415, message, name="UnsupportedMediaTypeError")
    try:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
        return inflater.decompress(content, BODY_LIMIT + 1)
    except zlib.error:
        raise ApiError(400, "incorrect header check") from None


def _headers(content_type: str) -> list[tuple[str, str]]:
    return [("x-request-id", str(uuid4())), ("Content-Type", content_type)]


def _error_response(error: ApiError, path: str, body: object) -> Response:
    fields: dict[str, object] = {
        "name": error.name,
        "message": error.message,
        "endPoint": path,
        "errorCode": error.status,
    }
    if error.type is not None:
        fields["type"] = error.type
    fields["request"] = body
    return Response(error.status, _headers(_JSON), json_text.write(fields))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
