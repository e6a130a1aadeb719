"""Which requests are sent again, and what the error tells then."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.support_calls import (
    COUNTED,
    HARMLESS,
    INIT,
    MARK,
    Operation,
    by_endpoint,
    marks_at_banner,
    upgrade_with_user,
)
from tests.support_clients import connected_to
from tests.support_faulty_server import (
    Fault,
    FaultyServer,
    answers,
    ends_in_body,
    hangs_up,
    never_answers,
    refusing_address,
    resets_before_answer,
    resets_in_body,
)
from tests.support_forms import Form, blocking, both_forms, every_way
from upgrade_client_lib import (
    BadRequestError,
    NoConnectionError,
    ServerError,
    Timeout,
    TooManyRequestsError,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("engine", "no_delay_between_attempts")


SOON = {"Retry-After": "0"}


# ---- What is sent again ----


@both_forms
@pytest.mark.parametrize("operation", by_endpoint(HARMLESS))
@pytest.mark.parametrize("headers", [{}, SOON], ids=["plain", "Retry-After"])
def test_a_harmless_request_is_sent_again_after_these_statuses(
    call: Form, operation: Operation, headers: dict[str, str]
) -> None:
    upgrade = upgrade_with_user()
    for status in (429, 502, 503, 504):
        upgrade.fail_next(operation.endpoint, status=status, headers=headers)

    operation.call(call, connected_to(upgrade, retries=4))

    statuses = [one.status for one in upgrade.requests if one.endpoint == operation.endpoint]
    assert statuses[-5:] == [429, 502, 503, 504, 200]


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_no_request_is_sent_again_after_other_statuses(call: Form, operation: Operation) -> None:
    upgrade = upgrade_with_user()
    for status in (400, 401, 403, 404, 408, 409, 413, 431, 500, 501, 520):
        upgrade.fail_next(operation.endpoint, status=status, headers=SOON)
        with pytest.raises(UpgradeApiError) as caught:
            operation.call(call, connected_to(upgrade, retries=2))
        assert caught.value.status_code == status
        assert caught.value.attempts == 1


@both_forms
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize("headers", [{}, SOON], ids=["at any time", "soon"])
def test_a_counted_request_is_sent_again_when_upgrade_itself_turned_it_away(
    call: Form, operation: Operation, headers: dict[str, str]
) -> None:
    upgrade = upgrade_with_user()
    before = len(upgrade.marks) + len(upgrade.rewards)
    upgrade.fail_next(operation.endpoint, status=429, headers=headers, times=2)

    operation.call(call, connected_to(upgrade, retries=2))

    assert len(upgrade.marks) + len(upgrade.rewards) == before + 1


@every_way
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize("headers", [{}, SOON, {"Retry-After": "in a while"}])
@pytest.mark.parametrize("body", ["<h1>slow down</h1>", '{"message": "slow down"}', ""])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_counted_request_is_sent_once_when_a_proxy_turned_the_answer_away(
    call: Form, operation: Operation, status: int, headers: dict[str, str], body: str
) -> None:
    upgrade = upgrade_with_user()
    before = len(upgrade.marks) + len(upgrade.rewards)
    faults: Any = {operation.endpoint: answers(status, body, headers, carried_out=True)}
    with (
        FaultyServer(upgrade, **faults) as server,
        UpgradeConnection(server.url, retries=2) as connection,
        pytest.raises(UpgradeApiError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert len(upgrade.marks) + len(upgrade.rewards) == before + 1
    assert caught.value.status_code == status
    assert caught.value.attempts == 1
    assert caught.value.may_have_been_applied


BROKEN = {
    "hung up": hangs_up,
    "reset": resets_before_answer,
    "reset in the body": resets_in_body,
    "ended in the body": ends_in_body,
}


@every_way
@pytest.mark.parametrize("operation", by_endpoint(HARMLESS))
@pytest.mark.parametrize("name", BROKEN)
def test_a_harmless_request_is_sent_again_after_a_broken_connection(
    call: Form, operation: Operation, name: str
) -> None:
    faults: Any = {operation.endpoint: [BROKEN[name]]}
    with (
        FaultyServer(upgrade_with_user(), **faults) as server,
        UpgradeConnection(server.url, retries=1) as connection,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert server.count(operation.endpoint) == 2


@every_way
def test_a_harmless_request_is_sent_again_after_silence(call: Form) -> None:
    with (
        FaultyServer(init=[never_answers]) as server,
        UpgradeConnection(server.url, timeout=Timeout(read=0.2), retries=1) as connection,
    ):
        call(connection.client("user", "my-app").init)

    assert server.count("init") == 2


@every_way
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
@pytest.mark.parametrize("name", [*BROKEN, "silence"])
def test_a_counted_request_is_not_sent_again_after_a_broken_connection(
    call: Form, operation: Operation, name: str
) -> None:
    faults: Any = {operation.endpoint: BROKEN.get(name, never_answers)}
    with (
        FaultyServer(upgrade_with_user(), **faults) as server,
        UpgradeConnection(server.url, timeout=Timeout(read=0.2), retries=2) as connection,
        pytest.raises(UpgradeApiError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.attempts == server.count(operation.endpoint) == 1
    assert caught.value.may_have_been_applied


@every_way
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_every_request_is_sent_again_when_no_connection_was_made(
    call: Form, operation: Operation
) -> None:
    with (
        refusing_address() as url,
        UpgradeConnection(url, retries=3) as connection,
        pytest.raises(NoConnectionError) as caught,
    ):
        operation.call(call, connection.client("user", "my-app"))

    assert caught.value.attempts == 4
    assert not caught.value.may_have_been_applied


@both_forms
def test_what_the_caller_is_handling_keeps_no_request_from_being_sent_again(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.down()
    client = UpgradeClient("user", "http://upgrade", "my-app", transport=upgrade.transport)

    try:
        raise ssl.SSLCertVerificationError("the certificate of another server")
    except ssl.SSLError:
        with pytest.raises(NoConnectionError) as caught:
            call(client.init)

    assert caught.value.attempts == 3


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_no_retries_means_one_attempt(call: Form, operation: Operation) -> None:
    upgrade = upgrade_with_user()
    upgrade.fail_next(operation.endpoint, status=429, headers=SOON)

    with pytest.raises(TooManyRequestsError) as caught:
        operation.call(call, connected_to(upgrade, retries=0))

    assert caught.value.attempts == 1


# ---- What the error tells ----


@both_forms
def test_a_failure_after_retries_says_how_often_it_was_tried(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=502, times=3)

    with pytest.raises(ServerError) as caught:
        call(connected_to(upgrade, retries=2).init)

    assert caught.value.attempts == 3
    assert "tried 3 times" in str(caught.value)


@both_forms
def test_the_last_failure_is_the_one_that_is_raised(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503)
    upgrade.fail_next("init", status=400)

    with pytest.raises(BadRequestError) as caught:
        call(connected_to(upgrade, retries=2).init)

    assert caught.value.attempts == 2


@both_forms
def test_a_refused_mark_that_is_sent_again_turns_the_queue_once(call: Form) -> None:
    upgrade = upgrade_with_user()
    upgrade.fail_next("mark", status=429, headers=SOON, times=2)
    client = connected_to(upgrade)

    MARK.call(call, client)

    assert marks_at_banner(upgrade) == 1
    assignment = call(client.get_decision_point_assignment, "home", "banner")
    assert assignment.get_condition() == "second"


@every_way
def test_every_attempt_carries_the_same_request(call: Form) -> None:
    refused: Fault = answers(503, headers=SOON)
    with (
        FaultyServer(init=[refused, refused]) as server,
        UpgradeConnection(server.url) as connection,
    ):
        call(connection.client("user", "my-app", client_session_id="session").init)

    first, *others = server.received
    assert len(others) == 2
    for other in others:
        assert (other.path, other.headers, other.body) == (first.path, first.headers, first.body)


def test_the_default_leaves_two_retries() -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, headers=SOON, times=3)

    with pytest.raises(ServerError) as caught:
        INIT.call(blocking, connected_to(upgrade))

    assert caught.value.attempts == 3
