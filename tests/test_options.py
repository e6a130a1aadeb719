"""Timeouts and retries: how they are set, checked, and changed for a few calls."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_calls import APPLIED, marks_at_banner, upgrade_with_user
from tests.support_clients import connected_to
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    RequestTimeoutError,
    ServerError,
    Timeout,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("no_delay_between_attempts")


URL = "http://upgrade"


# ---- The timeout ----


def test_a_timeout_has_defaults_that_suit_a_page_view() -> None:
    assert Timeout() == Timeout(total=6.0, connect=2.0, read=5.0, write=5.0, pool=2.0)


def test_a_timeout_is_a_value() -> None:
    timeout = Timeout(total=1.0)
    assert timeout == Timeout(total=1.0)
    assert hash(timeout) == hash(Timeout(total=1.0))
    with pytest.raises(AttributeError):
        timeout.total = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("step", ["total", "connect", "read", "write", "pool"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_timeout_of_no_real_length_is_a_value_error(step: str, seconds: float) -> None:
    steps: dict[str, Any] = {step: seconds}
    with pytest.raises(ValueError, match=f"timeout {step} must be a positive, finite number"):
        Timeout(**steps)


@pytest.mark.parametrize("step", ["total", "connect", "read", "write", "pool"])
@pytest.mark.parametrize("seconds", [None, "5", True, [5]])
def test_a_timeout_that_is_no_number_is_a_type_error(step: str, seconds: object) -> None:
    steps: dict[str, Any] = {step: seconds}
    with pytest.raises(TypeError, match=f"timeout {step} must be a number of seconds"):
        Timeout(**steps)


@pytest.mark.parametrize("given", [None, "5", True, (1, 2)])
def test_a_connection_takes_seconds_or_a_timeout(given: Any) -> None:
    with pytest.raises(TypeError, match="timeout total must be a number of seconds"):
        UpgradeConnection(URL, timeout=given)


@pytest.mark.parametrize("given", [None, "5", True, 1.5])
def test_retries_are_a_whole_number(given: Any) -> None:
    with pytest.raises(TypeError, match="retries must be a whole number"):
        UpgradeConnection(URL, retries=given)


def test_retries_are_not_negative() -> None:
    with pytest.raises(ValueError, match="retries must be 0 or more, not -1"):
        UpgradeConnection(URL, retries=-1)


# ---- with_options ----


@both_forms
def test_a_view_has_its_own_retries(call: Form) -> None:
    upgrade = LocalUpgrade()
    client = connected_to(upgrade, retries=1)
    upgrade.fail_next("init", status=502, times=6)

    attempts: list[int] = []
    for one in (client, client.with_options(retries=0), client.with_options(retries=2)):
        with pytest.raises(ServerError) as caught:
            call(one.init)
        attempts.append(caught.value.attempts)

    assert attempts == [2, 1, 3]


@both_forms
def test_a_view_has_its_own_timeout(call: Form) -> None:
    with (
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(server.url, timeout=30.0, retries=0) as connection,
    ):
        client = connection.client("user", "my-app")
        for timeout in (0.05, Timeout(read=0.05)):
            with pytest.raises(RequestTimeoutError):
                call(client.with_options(timeout=timeout).init)


@both_forms
def test_a_view_of_a_view_keeps_what_it_does_not_set(call: Form) -> None:
    with (
        FaultyServer(init=never_answers) as server,
        UpgradeConnection(server.url, timeout=30.0, retries=5) as connection,
    ):
        client = connection.client("user", "my-app")
        view = client.with_options(timeout=Timeout(total=5.0, read=0.05)).with_options(retries=1)
        with pytest.raises(RequestTimeoutError) as caught:
            call(view.init)

    assert caught.value.attempts == 2


@both_forms
def test_a_view_shares_the_caches(call: Form) -> None:
    upgrade = upgrade_with_user()
    client = connected_to(upgrade)
    view = client.with_options(retries=0)
    before = len(upgrade.requests)

    call(view.get_decision_point_assignment, "home", "banner")
    call(client.get_decision_point_assignment, "home", "banner")
    call(client.has_feature_flag, "new-dashboard")
    call(view.has_feature_flag, "new-dashboard")

    assert len(upgrade.requests) == before + 2


@both_forms
def test_what_a_view_marks_its_client_knows(call: Form) -> None:
    client = connected_to(upgrade_with_user())
    view = client.with_options(retries=0)

    call(view.mark_decision_point, "home", "banner", "first", APPLIED)

    assignment = call(client.get_decision_point_assignment, "home", "banner")
    assert assignment.get_condition() == "second"


@both_forms
@pytest.mark.parametrize("warm", [False, True])
def test_an_assignment_marks_with_the_options_of_the_view_that_gave_it(
    call: Form, warm: bool
) -> None:
    upgrade = upgrade_with_user()
    client = connected_to(upgrade, retries=0)
    if warm:
        call(client.get_decision_point_assignment, "home", "banner")
    of_view = call(client.with_options(retries=3).get_decision_point_assignment, "home", "banner")
    of_client = call(client.get_decision_point_assignment, "home", "banner")
    upgrade.fail_next("mark", status=429, times=4)

    with pytest.raises(Exception, match="429") as caught:
        call(of_client.mark_decision_point, APPLIED)
    call(of_view.mark_decision_point, APPLIED)

    assert caught.value.attempts == 1  # type: ignore[attr-defined]
    assert marks_at_banner(upgrade) == 1


def test_a_view_is_of_its_clients_class_and_user() -> None:
    class Pupil(UpgradeClient):
        pass

    upgrade = LocalUpgrade()
    view = Pupil("user", URL, "my-app", transport=upgrade.transport).with_options(retries=0)

    assert type(view) is Pupil
    assert (view.user_id, view.context) == ("user", "my-app")


@both_forms
def test_a_view_is_closed_with_its_client(call: Form) -> None:
    client = connected_to(LocalUpgrade())
    view = client.with_options(retries=0)
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        call(view.init)


@both_forms
def test_closing_a_view_closes_its_client(call: Form) -> None:
    client = connected_to(upgrade_with_user())

    with client.with_options(retries=0) as view:
        call(view.init)

    with pytest.raises(RuntimeError, match="is closed"):
        call(client.init)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"timeout": 0}, ValueError, "timeout total must be a positive"),
        ({"timeout": "1"}, TypeError, "timeout total must be a number"),
        ({"retries": -1}, ValueError, "retries must be 0 or more"),
        ({"retries": 1.0}, TypeError, "retries must be a whole number"),
    ],
)
def test_a_view_checks_its_options(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    client = connected_to(LocalUpgrade())
    with pytest.raises(kind, match=message):
        client.with_options(**options)
