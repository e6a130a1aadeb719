"""One call: attempts and the waits between them, within one deadline, until an answer is read.

Everything that goes wrong with the server leaves here as an ``UpgradeApiError``.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TypeVar

from ._answers import USER_NOT_DEFINED, Unreadable, read_error
from ._causes import being_handled
from ._endpoints import Operation
from ._faces import Face, Sender
from ._options import CallOptions
from ._retry import delay_before_retry, seconds_of, was_not_carried_out
from ._wire import Answer, WireRequest
from .exceptions import (
    BadRequestError,
    ConflictError,
    NoConnectionError,
    NotAuthorizedError,
    RequestTimeoutError,
    ServerError,
    TooManyRequestsError,
    UnreadableAnswerError,
    UpgradeApiError,
    UserNotInitializedError,
)

T = TypeVar("T")

_logger = logging.getLogger("upgrade_client_lib")


class Health:
    """Whether the server was reachable when last tried; speaks up when that changes."""

    __slots__ = ("_host_url", "_reachable")

    def __init__(self, host_url: str) -> None:
        self._host_url = host_url
        self._reachable = True

    def answered(self) -> None:
        if not self._reachable:
            self._reachable = True
            _logger.info("the UpGrade server at %s is reachable again", self._host_url)

    def failed(self, error: UpgradeApiError) -> None:
        if self._reachable:
            self._reachable = False
            _logger.warning("the UpGrade server at %s is unreachable: %s", self._host_url, error)


async def exchange(
    face: Face,
    sender: Sender,
    health: Health,
    operation: Operation[T],
    options: CallOptions,
) -> T:
    """Send an operation, again where that is safe and helps, and read its answer."""
    request = operation.request
    deadline = time.monotonic() + options.timeout.total
    before = being_handled()
    attempts = 0
    while True:
        attempts += 1
        retry_after: float | None = None
        try:
            answer = await _attempt(face, sender, request, options, deadline)
        except UpgradeApiError as failure:
            error = failure
        else:
            health.answered()
            if answer.status == 200:
                return _read(operation, answer, attempts)
            retry_after = seconds_of(answer.headers.get("retry-after"))
            error = _error_of(answer, request, retry_after)
        error.attempts = attempts
        delay = None
        if attempts <= options.retries:
            delay = delay_before_retry(
                error,
                repeatable=request.repeatable,
                retries_made=attempts - 1,
                retry_after=retry_after,
                before=before,
            )
        if delay is None or time.monotonic() + delay >= deadline:
            unreachable = isinstance(error, (NoConnectionError, RequestTimeoutError))
            if unreachable and sender.blames_server(error):
                health.failed(error)
            try:
                raise error
            finally:
                del error  # its traceback leads here: a cycle that keeps the caller's client
        _logger.debug("retrying %s in %.3f s after: %s", request.endpoint, delay, error)
        await face.sleep(delay)


async def _attempt(
    face: Face, sender: Sender, request: WireRequest, options: CallOptions, deadline: float
) -> Answer:
    begun = time.monotonic()
    try:
        answer = await face.send(sender, request, options.attempt_until(deadline))
    except UpgradeApiError as error:
        took = (time.monotonic() - begun) * 1000
        _logger.debug("%s -> %s after %.1f ms", request.endpoint, error.message, took)
        raise
    _logger.debug(
        "%s -> %d in %.1f ms, request %s",
        request.endpoint,
        answer.status,
        (time.monotonic() - begun) * 1000,
        answer.headers.get("x-request-id"),
    )
    return answer


def _read(operation: Operation[T], answer: Answer, attempts: int) -> T:
    try:
        return operation.read(json.loads(answer.content))
    except (*Unreadable, RecursionError) as error:
        token = operation.request.token
        what = f"the answer is not what the API gives: {type(error).__name__}: {error}"
        if isinstance(error, ValueError) and not _is_json(answer):
            kind = answer.headers.get("content-type", "of no type")
            what = f"the answer is not JSON but {kind}: does host_url name an UpGrade server?"
        raise UnreadableAnswerError(
            _without(token, what),
            status_code=answer.status,
            request_id=answer.headers.get("x-request-id"),
            endpoint=operation.request.endpoint,
            response_body=_without(token, _text_of(answer)),
            may_have_been_applied=True,
            attempts=attempts,
        ) from error


def _error_of(answer: Answer, request: WireRequest, retry_after: float | None) -> UpgradeApiError:
    body = _text_of(answer)
    try:
        message, error_type = read_error(json.loads(answer.content))
    except (ValueError, RecursionError):
        message, error_type = None, None
    status = answer.status
    kind = _kind_of(status, error_type)
    if message is None or 300 <= status < 400:
        message = _message_for(status, answer, body)
    elif kind is UserNotInitializedError:
        message = f"{message}. Call init() or init_sync() for this user first."
    return kind(
        _without(request.token, message),
        status_code=status,
        error_type=error_type,
        request_id=answer.headers.get("x-request-id"),
        endpoint=request.endpoint,
        response_body=_without(request.token, body),
        may_have_been_applied=not was_not_carried_out(status, retry_after),
    )


def _kind_of(status: int, error_type: str | None) -> type[UpgradeApiError]:
    if status in (401, 403):
        return NotAuthorizedError
    if status == 404 and error_type == USER_NOT_DEFINED:
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


def _message_for(status: int, answer: Answer, body: str) -> str:
    """What an answer that does not say what is wrong amounts to."""
    if 300 <= status < 400:
        target = answer.headers.get("location", "an address it does not name")
        return f"the server redirects to {target}: host_url must name where it is now"
    if status == 404:
        return "no UpGrade API at this address: check host_url"
    if status == 431:
        return "the request's headers are too large: a shorter user id or token is needed"
    summary = " ".join(body.split())[:200]
    return summary or f"the server answered status {status} without a word"


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("content-type", "")


def _text_of(answer: Answer) -> str:
    return answer.content.decode("utf-8", errors="replace")


def _without(token: str, text: str) -> str:
    return text.replace(token, "***") if token else text
