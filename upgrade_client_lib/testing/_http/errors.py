"""Error responses: their statuses, names and types."""

from __future__ import annotations

import attrs

from .._engine import Reason, Refused

BAD_PARAMETER = "Parameter not in the correct format"
QUERY_FAILED = "Query Failed"
INVALID_TOKEN = "Invalid token"
MISSING_TOKEN = "Token is not present in request"
USER_NOT_DEFINED = "Experiment user not defined"
_REWARD_ERROR = "Error processing Mooclet reward"


@attrs.frozen
class ApiError(Exception):
    """An error response; ``type`` is None where the server leaves the key out."""

    status: int
    message: str
    type: str | None = None
    name: str = "Error"


_OF_REASONS: dict[Reason, tuple[int, str | None, str]] = {
    Reason.STRICT: (400, BAD_PARAMETER, "Error"),
    Reason.UNKNOWN_CONTEXT: (400, BAD_PARAMETER, "Error"),
    Reason.ALIAS_TAKEN: (500, QUERY_FAILED, "Error"),
    Reason.AMBIGUOUS_POINT: (404, QUERY_FAILED, "Error"),
    Reason.CONDITION_NOT_FOUND: (500, "Condition not found", "Error"),
    Reason.NO_VERSION: (500, "Mooclet synchronization error", "MoocletError"),
    Reason.NO_WORKING_GROUP: (500, None, "TypeError"),
    Reason.NO_GROUP_TO_EXCLUDE: (500, QUERY_FAILED, "QueryFailedError"),
    Reason.NUL_CHARACTER: (500, None, "QueryFailedError"),
    Reason.NUL_CHARACTER_IN_QUERY: (500, QUERY_FAILED, "QueryFailedError"),
    Reason.APOSTROPHE: (500, None, "QueryFailedError"),
    Reason.UNREADABLE_TIMESTAMP: (500, None, "QueryFailedError"),
    Reason.REWARDS_DISABLED: (400, BAD_PARAMETER, "BadRequestError"),
    Reason.REWARD_FAILED: (409, _REWARD_ERROR, "Error"),
}


def api_error(refused: Refused) -> ApiError:
    """Return the error response for a refusal by the engine."""
    status, error_type, name = _OF_REASONS[refused.reason]
    return ApiError(status, refused.message, error_type, name)


def invalid_body() -> ApiError:
    message = "Invalid body, check 'errors' property for more info."
    return ApiError(400, message, BAD_PARAMETER, "BadRequestError")


def user_not_found(user_id: str) -> ApiError:
    return ApiError(404, f"User not found: {user_id}", USER_NOT_DEFINED)
