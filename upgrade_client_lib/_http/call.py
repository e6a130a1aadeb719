"""One call: attempts and the delays between them, within one deadline, until a response is read.

Everything that goes wrong with the server is raised as an ``UpgradeApiError``.
"""

from __future__ import annotations

import json
import logging
import random
import time
from datetime import datetime, timezone
from typing import TypeVar

from .._rules import retries
from .._sync import Backend, SupportsSend
from ..exceptions import (
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
    UpgradeApiError,
)
from .errors import current_exception, is_permanent
from .messages import Request, Response
from .operation import PARSE_ERRORS, Operation
from .options import CallOptions
from .reachability import Reachability

T = TypeVar("T")

_logger = logging.getLogger("upgrade_client_lib")


async def send_with_retries(
    backend: Backend,
    sender: SupportsSend,
    reachability: Reachability,
    operation: Operation[T],
    options: CallOptions,
) -> T:
    """Send a request, again where that is safe and may help, and return its response as read."""
    request = operation.request
    deadline = time.monotonic() + options.timeout.total
    outer_exception = current_exception()
    attempts = 0
    while True:
        attempts += 1
        retry_after: float | None = None
        try:
            response = await _attempt(backend, sender, request, options, deadline)
        except UpgradeApiError as failure:
            error = failure
        else:
            reachability.succeeded()
            if response.status == 200:
                return _read(operation, response, attempts)
            retry_after = retries.parse_retry_after(
                response.headers.get("retry-after"), datetime.now(timezone.utc)
            )
            error = operation.read_error(request, response, retry_after)
        error.attempts = attempts
        delay = None
        if attempts <= options.retries:
            failed = retries.Failure(
                error.status_code,
                error.may_have_been_applied,
                is_permanent(error, outer_exception),
            )
            if retries.may_be_sent_again(failed, idempotent=request.idempotent):
                delay = retry_after
                if delay is None:
                    delay = random.uniform(0.0, retries.longest_delay(attempts - 1))
        if delay is None or time.monotonic() + delay >= deadline:
            unreachable = isinstance(error, (NoConnectionError, RequestTimeoutError))
            if unreachable and sender.is_server_failure(error):
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
) -> Response:
    started = time.monotonic()
    try:
        response = await backend.send(sender, request, options.attempt_limits(deadline))
    except UpgradeApiError as error:
        took = (time.monotonic() - started) * 1000
        _logger.debug("%s -> %s after %.1f ms", request.endpoint, error.message, took)
        raise
    _logger.debug(
        "%s -> %d in %.1f ms, request %s",
        request.endpoint,
        response.status,
        (time.monotonic() - started) * 1000,
        response.request_id,
    )
    return response


def _read(operation: Operation[T], response: Response, attempts: int) -> T:
    try:
        return operation.read(json.loads(response.content))
    except (*PARSE_ERRORS, RecursionError) as error:
        request = operation.request
        content_type = response.headers.get("content-type", "of no type")
        message = f"the answer is not what the API gives: {type(error).__name__}: {error}"
        if isinstance(error, ValueError) and "json" not in content_type:
            message = (
                f"the answer is not JSON but {content_type}: does host_url name an UpGrade server?"
            )
        raise UnreadableAnswerError(
            request.redact(message),
            status_code=response.status,
            request_id=response.request_id,
            endpoint=request.endpoint,
            response_body=request.redact(response.text),
            may_have_been_applied=True,
            attempts=attempts,
        ) from error
