"""One call: attempts and the delays between them, within one deadline, until a response is read.

Everything that goes wrong with the server is raised as an ``UpgradeApiError``, and leaves here with
nothing in it that may not be shown.
"""

from __future__ import annotations

import json
import logging
import random
import time
from datetime import datetime, timezone
from typing import TypeVar

from .._rules import retries
from .._rules.scrubbing import NAME_LENGTH, Secrets, line
from .._sync import Backend, SupportsSend
from ..exceptions import (
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
    UpgradeApiError,
)
from .decoding import fastest_decoder
from .errors import current_exception, is_permanent, scrub
from .messages import Request, Response
from .operation import PARSE_ERRORS, Operation
from .options import CallOptions
from .reachability import Reachability

T = TypeVar("T")

_logger = logging.getLogger("upgrade_client_lib")

_decode = fastest_decoder()


async def send_with_retries(
    backend: Backend,
    sender: SupportsSend,
    reachability: Reachability,
    operation: Operation[T],
    options: CallOptions,
    secrets: Secrets,
) -> tuple[T, int]:
    """Send a request, again where that is safe and may help.

    Return its response as read, and how often it was sent. ``secrets`` are those of the
    connection; the request's token is one, too.
    """
    request = operation.request
    deadline = time.monotonic() + options.timeout.total
    outer_exception = current_exception()
    attempts = 0
    while True:
        attempts += 1
        retry_after: float | None = None
        try:
            response = await _attempt(backend, sender, request, options, deadline, secrets)
            reachability.succeeded()
            if 200 <= response.status < 300 or response.is_too_large:
                return _read(operation, response), attempts
            retry_after = retries.parse_retry_after(
                response.headers.get("retry-after"), datetime.now(timezone.utc)
            )
            error = operation.read_error(request, response)
        except UpgradeApiError as failure:
            error = failure
        error.attempts = attempts
        failed = retries.Failure(
            error.status_code,
            error.may_have_been_applied,
            is_permanent(error, outer_exception),
            isinstance(error, RequestTimeoutError),
        )
        is_unreachable = _says_unreachable(error) and sender.is_server_failure(error)
        scrub(error, secrets.and_token(request.token), outer_exception)
        delay = None
        if attempts <= options.retries and retries.may_be_sent_again(
            failed, idempotent=request.idempotent, may_overlap=request.may_overlap
        ):
            delay = retry_after
            if delay is None:
                delay = random.uniform(0.0, retries.longest_delay(attempts - 1))
        if delay is None or time.monotonic() + delay >= deadline:
            if is_unreachable:
                reachability.failed(error)
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: a cycle that keeps the client
        _logger.debug("retrying %s in %.3f s after: %s", request.endpoint, delay, error)
        await backend.sleep(delay)


async def _attempt(
    backend: Backend,
    sender: SupportsSend,
    request: Request,
    options: CallOptions,
    deadline: float,
    secrets: Secrets,
) -> Response:
    started = time.monotonic()
    try:
        response = await backend.send(sender, request, options.attempt_limits(deadline))
    except UpgradeApiError as error:
        if _logger.isEnabledFor(logging.DEBUG):
            took = (time.monotonic() - started) * 1000
            said = line(secrets.and_token(request.token).hide(error.message))
            _logger.debug("%s -> %s after %.1f ms", request.endpoint, said, took)
        raise
    if _logger.isEnabledFor(logging.DEBUG):
        took = (time.monotonic() - started) * 1000
        request_id = secrets.and_token(request.token).hide(str(response.request_id))
        _logger.debug(
            "%s -> %d in %.1f ms, request %s",
            request.endpoint,
            response.status,
            took,
            line(request_id, NAME_LENGTH),
        )
    return response


def _read(operation: Operation[T], response: Response) -> T:
    """Return a response as it is read; an ``UnreadableAnswerError`` where it cannot be."""
    cause: Exception | None = None
    if response.is_too_large:
        message = "the answer is larger than max_response_bytes allows: it was not read to its end"
    else:
        try:
            # A number that the server counted is kept as it is; what is only read has none.
            decode = _decode if operation.is_read else json.loads
            return operation.read(decode(response.content))
        except (*PARSE_ERRORS, RecursionError) as error:
            cause = error
            message = _why_unreadable(response, error)
    raise UnreadableAnswerError(
        message,
        status_code=response.status,
        request_id=response.request_id,
        endpoint=operation.request.endpoint,
        response_body=None if response.is_too_large else response.text,
        may_have_been_applied=True,
    ) from cause


def _why_unreadable(response: Response, error: Exception) -> str:
    if not response.content:
        return f"the server answered status {response.status} with an empty body"
    content_type = response.headers.get("content-type", "of no type")
    is_no_json = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
    if is_no_json and "json" not in content_type:
        return f"the answer is not JSON but {content_type}: does host_url name an UpGrade server?"
    return f"the answer is not what the API gives: {type(error).__name__}: {error}"


def _says_unreachable(error: UpgradeApiError) -> bool:
    return isinstance(error, (NoConnectionError, RequestTimeoutError))
