"""The classes of errors: one for each kind, that can be shown, copied and pickled."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any, Callable

import pytest

import upgrade_client_lib
from tests.support_exchanges import HOST, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    ConflictError,
    NoConnectionError,
    NotAuthorizedError,
    RequestTimeoutError,
    ServerError,
    TooManyRequestsError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeClient,
    UserNotInitializedError,
    exceptions,
)
from upgrade_client_lib.testing import LocalUpgrade

KINDS = [
    NotAuthorizedError,
    UserNotInitializedError,
    BadRequestError,
    ConflictError,
    TooManyRequestsError,
    ServerError,
    NoConnectionError,
    RequestTimeoutError,
    UnreadableAnswerError,
]


def test_there_is_one_class_below_the_root_for_each_kind() -> None:
    assert set(UpgradeApiError.__subclasses__()) == set(KINDS)
    assert all(kind.__bases__ == (UpgradeApiError,) for kind in KINDS)
    assert UpgradeApiError.__bases__ == (Exception,)


@pytest.mark.parametrize("kind", [UpgradeApiError, *KINDS])
def test_each_class_is_exported_twice_documented_and_drawn(kind: type[UpgradeApiError]) -> None:
    name = kind.__name__
    assert getattr(upgrade_client_lib, name) is getattr(exceptions, name) is kind
    assert name in upgrade_client_lib.__all__
    assert name in exceptions.__all__
    assert kind.__doc__
    assert exceptions.__doc__ is not None
    (drawn,) = [line for line in exceptions.__doc__.splitlines() if f"{name} " in line]
    assert drawn.strip(" ├└─").startswith(name)


def test_an_error_of_a_server_is_no_error_of_an_argument() -> None:
    for kind in KINDS:
        assert not issubclass(kind, (ValueError, TypeError, RuntimeError, OSError))


FULL = {
    "status_code": 409,
    "error_type": "Error processing Mooclet reward",
    "request_id": "579e3523",
    "endpoint": "POST /api/v6/reward",
    "response_body": '{"message": "no"}',
    "may_have_been_applied": True,
}


def pickled(protocol: int, error: UpgradeApiError) -> UpgradeApiError:
    unpickled: UpgradeApiError = pickle.loads(pickle.dumps(error, protocol))
    return unpickled


@pytest.mark.parametrize("kind", [UpgradeApiError, *KINDS])
@pytest.mark.parametrize("facts", [{}, FULL])
@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        *(partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_errors_survive_copying_and_pickling_whole(
    kind: Callable[..., UpgradeApiError],
    facts: dict[str, Any],
    copied: Callable[[UpgradeApiError], UpgradeApiError],
) -> None:
    error = kind("no enrolment", **facts)
    error.attempts = 3

    twin = copied(error)

    assert type(twin) is type(error)
    assert vars(twin) == vars(error)
    assert vars(twin)["attempts"] == 3
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)


def test_an_error_of_a_call_survives_pickling() -> None:
    client, _, _ = playing("reward_unknown_experiment")
    with pytest.raises(ConflictError) as caught:
        client.send_reward_sync("SUCCESS", "experiment")

    assert vars(pickle.loads(pickle.dumps(caught.value))) == vars(caught.value)


def test_str_shows_message_status_endpoint_and_request() -> None:
    error = ConflictError("no enrolment", **FULL)  # type: ignore[arg-type]

    assert str(error) == "no enrolment (status 409, POST /api/v6/reward, request 579e3523)"
    assert repr(error) == f"ConflictError({str(error)!r})"
    assert error.args == ("no enrolment",)
    assert str(NoConnectionError("refused")) == "refused"


@both_forms
def test_str_of_an_error_of_a_call(call: Form) -> None:
    client, _, recorded = playing("assign_not_initialised")

    with pytest.raises(UserNotInitializedError) as caught:
        call(client.get_all_experiment_conditions)

    request = recorded.answer.headers["x-request-id"]
    assert str(caught.value) == (
        "User not found: tr-noinit-094602. Call init() or init_sync() for this user first."
        f" (status 404, POST /api/v6/assign, request {request})"
    )


@both_forms
def test_an_error_after_retries_says_how_often_it_was_tried(call: Form) -> None:
    local = LocalUpgrade()
    local.fail_next("init", status=503, times=9, headers={"Retry-After": "0"})
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)

    with pytest.raises(ServerError, match=r"\(status 503, .*, tried 3 times\)") as caught:
        call(client.init)

    assert caught.value.attempts == 3
    assert len(local.requests) == 3
