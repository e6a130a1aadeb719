"""Errors of the API: which exception an error response is, and what it says."""

from __future__ import annotations

import json

from upgrade_openapi.models import Error, ErrorType

from .._http import PARSE_ERRORS, Request, Response
from .._rules.retries import proves_not_applied
from ..exceptions import (
    BadRequestError,
    ConflictError,
    NotAuthorizedError,
    ServerError,
    TooManyRequestsError,
    UnreadableAnswerError,
    UpgradeApiError,
    UserNotInitializedError,
)
from .values import as_object, str_or_none

_USER_NOT_DEFINED: str = ErrorType.EXPERIMENT_USER_NOT_DEFINED.value
_NOT_BY_UPGRADE = (
    "this is no answer of UpGrade's: a firewall or proxy before the server may have refused"
)


def read_error(request: Request, response: Response) -> UpgradeApiError:
    """Return the error that a response with a status outside 200 to 299 amounts to."""
    said = _error_in(response)
    message, error_type = str_or_none(said.message), str_or_none(said.type_)
    by_upgrade = isinstance(said.end_point, str) and isinstance(said.error_code, int)
    status = response.status
    error_class = _class_for(status, error_type)
    if not message or 300 <= status < 400:
        message = _message_for(status, response)
    elif error_class is UserNotInitializedError:
        message = f"{message}. Call init() or init_sync() for this user first."
    if status == 403 and not by_upgrade:
        message = f"{_NOT_BY_UPGRADE}: {message}"
    return error_class(
        message,
        status_code=status,
        error_type=error_type,
        request_id=response.request_id,
        endpoint=request.endpoint,
        response_body=response.text,
        may_have_been_applied=not proves_not_applied(status, by_upgrade=by_upgrade),
        from_upgrade=by_upgrade,
    )


def _error_in(response: Response) -> Error:
    """Return the error that a response holds; an empty one where it holds none."""
    try:
        return Error.from_dict(as_object(json.loads(response.content)))
    except (*PARSE_ERRORS, RecursionError):
        return Error()


def _class_for(status: int, error_type: str | None) -> type[UpgradeApiError]:
    if status in (401, 403):
        return NotAuthorizedError
    if status == 404 and error_type == _USER_NOT_DEFINED:
        return UserNotInitializedError
    if status == 409:
        return ConflictError
    if status == 429:
        return TooManyRequestsError
    if 400 <= status < 500:
        return BadRequestError
    if status >= 500:
        return ServerError
    return UnreadableAnswerError


def _message_for(status: int, response: Response) -> str:
    """Return what a response amounts to that does not say what is wrong."""
    if status == 304:
        return (
            "a cache before the server answered that nothing was modified, which no request of"
            " this library asks: let nothing cache the paths of the API"
        )
    if 300 <= status < 400:
        target = response.headers.get("location", "an address it does not name")
        return f"the server redirects to {target}: host_url must name where it is now"
    if status == 404:
        return "no UpGrade API at this address: check host_url"
    if status == 431:
        return "the request's headers are too large: a shorter user id or token is needed"
    summary = " ".join(response.text.split())
    return summary or f"the server answered status {status} with an empty body"
