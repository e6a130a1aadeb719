"""What may go wrong with an answer, what each is to a caller, and how long a test gives it."""

from __future__ import annotations

from tests.support_faulty_server import (
    Fault,
    answers,
    drips,
    drips_body,
    ends_in_body,
    hangs_up,
    is_no_http,
    never_answers,
    resets_before_answer,
    resets_in_body,
    resets_in_headers,
)
from upgrade_client_lib import (
    NoConnectionError,
    RequestTimeoutError,
    ServerError,
    Timeout,
    TooManyRequestsError,
    UnreadableAnswerError,
    UpgradeApiError,
)

PATIENCE = Timeout(total=5.0)
AT_SILENCE = Timeout(total=5.0, read=0.06)
AT_DRIPS = Timeout(total=0.2)
NOT_IN_TIME = {"Retry-After": "3600"}

html = answers(200, "<html><body>Welcome!</body></html>", carried_out=True)
truncated = answers(200, '{"id": "us', carried_out=True)
nothing = answers(200, "", carried_out=True)
wrong_type = answers(200, "42", carried_out=True)
not_text = answers(200, b"\xff\xfe\x00", carried_out=True)
no_gzip = answers(200, b"no gzip", {"Content-Encoding": "gzip"}, carried_out=True)
too_deep = answers(200, "[" * 100_000, carried_out=True)
no_content = answers(204, carried_out=True)
redirects = answers(302, "", {"Location": "https://elsewhere.example.org/api/v6/init"})
unavailable = answers(503, "<html>busy</html>", carried_out=True)
unavailable_until_later = answers(503, "<html>busy</html>", NOT_IN_TIME)
too_many = answers(429, "slow down")
too_many_until_later = answers(429, "slow down", NOT_IN_TIME)
bad_gateway = answers(502, "<html>502</html>", carried_out=True)
gateway_timeout = answers(504, "<html>504</html>", carried_out=True)
unassigned_status = answers(520, "<html>520</html>", carried_out=True)
failed = answers(500, '{"message": "the database is away"}', carried_out=True)

FAULTS: dict[str, tuple[Fault, type[UpgradeApiError], int | None]] = {
    "never answers": (never_answers, RequestTimeoutError, None),
    "hangs up": (hangs_up, NoConnectionError, None),
    "ends in the body": (ends_in_body, NoConnectionError, None),
    "resets before the answer": (resets_before_answer, NoConnectionError, None),
    "resets in the headers": (resets_in_headers, NoConnectionError, None),
    "resets in the body": (resets_in_body, NoConnectionError, None),
    "drips": (drips, RequestTimeoutError, None),
    "drips the body": (drips_body, RequestTimeoutError, None),
    "speaks something else": (is_no_http, UnreadableAnswerError, None),
    "200 with HTML": (html, UnreadableAnswerError, 200),
    "200 with truncated JSON": (truncated, UnreadableAnswerError, 200),
    "200 with nothing": (nothing, UnreadableAnswerError, 200),
    "200 with another type": (wrong_type, UnreadableAnswerError, 200),
    "200 with bytes": (not_text, UnreadableAnswerError, 200),
    "200 with nesting": (too_deep, UnreadableAnswerError, 200),
    "200 with broken gzip": (no_gzip, UnreadableAnswerError, None),
    "204": (no_content, UnreadableAnswerError, 204),
    "redirect": (redirects, UnreadableAnswerError, 302),
    "429": (too_many, TooManyRequestsError, 429),
    "429 with Retry-After": (too_many_until_later, TooManyRequestsError, 429),
    "500": (failed, ServerError, 500),
    "502": (bad_gateway, ServerError, 502),
    "503": (unavailable, ServerError, 503),
    "503 with Retry-After": (unavailable_until_later, ServerError, 503),
    "504": (gateway_timeout, ServerError, 504),
    "520": (unassigned_status, ServerError, 520),
}

REFUSALS = {"redirect", "429", "429 with Retry-After", "503 with Retry-After"}
"""After these, nothing can have been carried out."""


def within(name: str) -> Timeout:
    """The time for a call that meets this fault: short where it will be used up."""
    if name == "never answers":
        return AT_SILENCE
    return AT_DRIPS if FAULTS[name][1] is RequestTimeoutError else PATIENCE
