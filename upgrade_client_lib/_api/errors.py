"""Errors of the API: which exception an error response is, and what it says."""

from __future__ import annotations

import json

from upgrade_openapi import models

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

_USER_NOT_DEFINED: str = models.ErrorType.EXPERIMENT_USER_NOT_DEFINED.value


def read_error(request: Request, response: Response, retry_after: float | None) -> UpgradeApiError:
    """Return the error that a response with a status other than 200 amounts to.

    ``retry_after`` is what its ``Retry-After`` header asks for, in seconds.
    """
    message, error_type = _message_and_type(response)
    status = response.status
    error_class = _class_for(status, error_type)
    if message is None or 300 <= status < 400:
        message = _message_for(status, response)
    elif error_class is UserNotInitializedError:
        message = f"{message}. Call init() or init_sync() for this user first."
    return error_class(
        request.redact(message),
        status_code=status,
        error_type=error_type,
        request_id=response.request_id,
        endpoint=request.endpoint,
        response_body=request.redact(response.text),
        may_have_been_applied=not proves_not_applied(status, retry_after),
    )


def _message_and_type(response: Response) -> tuple[str | None, str | None]:
    """Return the message and the type that an error response holds, as far as it does."""
    try:
        error = models.Error.from_dict(as_object(json.loads(response.content)))
    except (*PARSE_ERRORS, RecursionError):
        return None, None
    return str_or_none(error.message) or None, str_or_none(error.type_)


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
    if 300 <= status < 400:
        target = response.headers.get("location", "an address it does not name")
        return f"the server redirects to {target}: host_url must name where it is now"
    if status == 404:
        return "no UpGrade API at this address: check host_url"
    if status == 431:
        return "the request's headers are too large: a shorter user id or token is needed"
    summary = " ".join(response.text.split())[:200]
    return summary or f"the server answered status {status} with an empty body"
