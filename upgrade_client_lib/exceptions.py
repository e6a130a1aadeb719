"""What can go wrong between the client and the server.

::

    UpgradeApiError              anything that goes wrong with the server
    ├── NotAuthorizedError       401, 403: the token is missing, wrong or expired; or a firewall
    │                            before the server refused, which the message says then
    ├── UserNotInitializedError  404 for an unknown user: call init() for this user first
    ├── BadRequestError          any other 4xx: the server refuses this request, or there is no
    │                            UpGrade at this address (404)
    ├── ConflictError            409: no adaptive experiment, or no enrolment, to reward; or the
    │                            mark of an outdated assignment that no longer holds
    ├── TooManyRequestsError     429: slow down
    ├── ServerError              5xx: the server, or a proxy before it, failed
    ├── NoConnectionError        the server cannot be reached, or hung up
    │   └── CircuitOpenError     nothing was sent: it could not be reached just now
    ├── RequestTimeoutError      no answer within the time the call may take
    └── UnreadableAnswerError    an answer that cannot be understood, a redirect among them
    OutboxError                  an event was not handed over: the outbox's store failed
    └── OutboxFullError          it holds as many events as it may

``except UpgradeApiError`` catches all that goes wrong with the server. Wrong arguments are
``ValueError`` or ``TypeError`` and are raised before anything is sent; using a closed client or
connection is a ``RuntimeError``.
"""

from __future__ import annotations

__all__ = [
    "BadRequestError",
    "CircuitOpenError",
    "ConflictError",
    "NoConnectionError",
    "NotAuthorizedError",
    "OutboxError",
    "OutboxFullError",
    "RequestTimeoutError",
    "ServerError",
    "TooManyRequestsError",
    "UnreadableAnswerError",
    "UpgradeApiError",
    "UserNotInitializedError",
]


class UpgradeApiError(Exception):
    """A call that the server did not carry out, or did not answer.

    Attributes:
        message: the server's own words, or what kept it from answering; 1,000 characters at most.
        status_code: the HTTP status; ``None`` when there was no answer.
        error_type: the server's name for the kind of error, where it gave one.
        request_id: the server's ``x-request-id``, to find the request in its log.
        endpoint: which operation was called, as in ``"POST /api/v6/mark"``.
        response_body: the text of the answer, its first 10,000 characters at most; ``None`` when
            there was none, or it was larger than ``max_response_bytes``.
        attempts: how often the request was sent, retries included.
        from_upgrade: whether UpGrade itself wrote the answer, rather than a proxy before it.
        may_have_been_applied: ``True`` where the server may have carried out the request all
            the same (a timeout after sending, say). What matters for marks and rewards, which
            count each time.

    The error that caused this one, if any, is its ``__cause__``. What the server repeats of a
    token, or of the connection's ``headers``, is ``***`` in all of these; a cause that would show
    it is left out. All but the body are one line, with control characters escaped.

    >>> try:
    ...     client.get_decision_point_assignment_sync("home", "banner")
    ... except UpgradeApiError as error:
    ...     print(error.status_code, error.message)
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        error_type: str | None = None,
        request_id: str | None = None,
        endpoint: str | None = None,
        response_body: str | None = None,
        may_have_been_applied: bool = False,
        attempts: int = 1,
        from_upgrade: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.error_type = error_type
        self.request_id = request_id
        self.endpoint = endpoint
        self.response_body = response_body
        self.may_have_been_applied = may_have_been_applied
        self.attempts = attempts
        self.from_upgrade = from_upgrade

    def __str__(self) -> str:
        facts = [
            None if self.status_code is None else f"status {self.status_code}",
            self.endpoint,
            None if self.request_id is None else f"request {self.request_id}",
            None if self.attempts < 2 else f"tried {self.attempts} times",
        ]
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({known})" if known else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NotAuthorizedError(UpgradeApiError):
    """The server checks tokens, and this one is missing, wrong or expired.

    A 403 never comes from UpGrade's client API: the message says that a firewall or proxy may have
    refused.
    """


class UserNotInitializedError(UpgradeApiError):
    """The server does not know this user yet: call ``init()`` or ``init_sync()`` first."""


class BadRequestError(UpgradeApiError):
    """The server refuses this request, and will refuse it again.

    So does what is no UpGrade server, with status 404: then check ``host_url``.
    """


class ConflictError(UpgradeApiError):
    """A reward that fits no adaptive experiment, or a user who is not enrolled in it.

    Or the assignment of a stale decision was to be marked, and the server no longer assigns the
    same: the mark was not sent, and ``status_code`` is ``None``.
    """


class TooManyRequestsError(UpgradeApiError):
    """The server, or a proxy before it, asks to slow down."""


class ServerError(UpgradeApiError):
    """The server, or a proxy before it, failed on this request."""


class NoConnectionError(UpgradeApiError):
    """The server cannot be reached, or the connection broke before the answer was complete."""


class CircuitOpenError(NoConnectionError):
    """A read that was not sent, since the last ones found no server; ``attempts`` is 0.

    After a pause, one read tries again; see ``breaker`` of ``UpgradeConnection``.
    """


class RequestTimeoutError(UpgradeApiError):
    """The answer did not come within the time that the call may take."""


class UnreadableAnswerError(UpgradeApiError):
    """An answer that is not the API's: a redirect, a body of another shape, or too large a one."""


class OutboxError(Exception):
    """An event that was not handed over, since the outbox's store failed.

    Its ``__cause__`` says how. A Redis that did not answer in time may have kept the event all the
    same: then it is delivered.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class OutboxFullError(OutboxError):
    """An event that was not handed over: the outbox holds ``max_events`` already."""
