"""The ways in which the server refuses, with the words it uses."""

from __future__ import annotations

import attrs

BAD_PARAMETER = "Parameter not in the correct format"
QUERY_FAILED = "Query Failed"
INVALID_TOKEN = "Invalid token"
MISSING_TOKEN = "Token is not present in request"
USER_NOT_DEFINED = "Experiment user not defined"


@attrs.frozen
class Refusal(Exception):
    """An error answer; ``type`` is None where the server leaves the key out."""

    status: int
    message: str
    type: str | None = None
    name: str = "Error"


def invalid_body() -> Refusal:
    return Refusal(
        400,
        "Invalid body, check 'errors' property for more info.",
        BAD_PARAMETER,
        "BadRequestError",
    )


def user_not_found(user_id: str) -> Refusal:
    return Refusal(404, f"User not found: {user_id}", USER_NOT_DEFINED)


def invalid_context(context: object) -> Refusal:
    shown = "undefined" if context is None else context
    return Refusal(400, f"Invalid app context: {shown}", BAD_PARAMETER)
