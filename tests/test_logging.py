"""What the logger ``upgrade_client_lib`` says, when, and what it never says."""

from __future__ import annotations

import logging
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support_calls import (
    APPLIED,
    COUNTED,
    HARMLESS,
    INIT,
    Operation,
    by_endpoint,
    upgrade_with_user,
)
from tests.support_clients import connected_to
from tests.support_faulty_server import Fault, FaultyServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    NoConnectionError,
    RequestTimeoutError,
    ServerError,
    Timeout,
    UpgradeApiError,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

pytestmark = pytest.mark.usefixtures("no_delay_between_attempts")


NAME = "upgrade_client_lib"
URL = "http://upgrade"


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == NAME and record.levelno == level
    ]


def test_the_logger_has_no_handlers_and_no_level_of_its_own() -> None:
    logger = logging.getLogger(NAME)
    assert logger.handlers == []
    assert logger.level == logging.NOTSET
    assert logger.propagate


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_each_request_is_one_line_at_debug(
    call: Form, operation: Operation, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = upgrade_with_user()
    client = connected_to(upgrade)
    call(client.get_all_experiment_conditions)
    with caplog.at_level(logging.DEBUG, NAME):
        before = len(upgrade.requests)
        operation.call(call, connected_to(upgrade) if operation.endpoint == "assign" else client)

    sent = upgrade.requests[before:]
    lines = said(caplog, logging.DEBUG)
    assert len(lines) == len(sent) == 1
    assert re.fullmatch(
        rf"{sent[0].method} /api/v6/{operation.endpoint} -> 200 in \d+\.\d ms, request \S+",
        lines[0],
    )


@both_forms
def test_a_request_id_in_a_line_is_the_answers(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=400, headers={"x-request-id": "request-7"})
    with caplog.at_level(logging.DEBUG, NAME), pytest.raises(BadRequestError):
        call(connected_to(upgrade).init)

    assert [re.sub(r"[\d.]+ ms", "1 ms", line) for line in said(caplog, logging.DEBUG)] == [
        "POST /api/v6/init -> 400 in 1 ms, request request-7"
    ]


@both_forms
def test_each_retry_is_a_line_at_debug(call: Form, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=503, times=2)
    with caplog.at_level(logging.DEBUG, NAME):
        call(connected_to(upgrade, retries=2).init)

    lines = [line for line in said(caplog, logging.DEBUG) if line.startswith("retrying")]
    assert len(lines) == 2
    assert all(line.startswith("retrying POST /api/v6/init in 0.000 s after: ") for line in lines)
    assert all("status 503" in line for line in lines)


@both_forms
def test_a_request_without_an_answer_is_a_line_at_debug(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = LocalUpgrade()
    upgrade.down()
    with caplog.at_level(logging.DEBUG, NAME), pytest.raises(NoConnectionError):
        call(connected_to(upgrade, retries=0).init)

    (line,) = said(caplog, logging.DEBUG)
    assert re.fullmatch(
        r"POST /api/v6/init -> no connection to http://\S+: .+ after \d+\.\d ms", line
    )


@both_forms
def test_an_unreachable_server_is_one_warning_and_its_return_one_info(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = LocalUpgrade()
    connection = UpgradeConnection(URL, transport=upgrade.transport, retries=1)
    clients = [connection.client(f"user-{i}", "my-app") for i in range(3)]
    with caplog.at_level(logging.INFO, NAME):
        for _ in range(2):
            upgrade.down()
            for client in clients:
                with pytest.raises(NoConnectionError):
                    call(client.init)
            upgrade.up()
            for client in clients:
                call(client.init)

    warnings, infos = said(caplog, logging.WARNING), said(caplog, logging.INFO)
    assert len(warnings) == len(infos) == 2
    assert all(f"{URL} is unreachable: no connection" in line for line in warnings)
    assert all(f"{URL} is reachable again" in line for line in infos)


@both_forms
def test_a_server_that_answers_at_the_second_try_was_never_unreachable(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=502)
    with caplog.at_level(logging.INFO, NAME):
        call(connected_to(upgrade, retries=1).init)

    assert caplog.records == []


@both_forms
def test_a_server_that_answers_with_errors_is_reachable(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=500, times=3)
    with caplog.at_level(logging.INFO, NAME):
        for _ in range(3):
            with pytest.raises(ServerError):
                call(connected_to(upgrade).init)

    assert caplog.records == []


@pytest.mark.parametrize("own_client", [False, True])
def test_a_server_for_which_no_connection_is_free_was_not_tried(
    caplog: pytest.LogCaptureFixture, own_client: bool
) -> None:
    def answer_when_told(connection: socket.socket, answer: bytes) -> bool:
        told.wait()
        connection.sendall(answer)
        return True

    told = threading.Event()
    with (
        caplog.at_level(logging.INFO, NAME),
        FaultyServer(init=[Fault(answer_when_told)]) as server,
        httpx.Client(limits=httpx.Limits(max_connections=1)) as own,
        UpgradeConnection(
            server.url,
            timeout=Timeout(pool=0.01),
            max_connections=1,
            http_client=own if own_client else None,
        ) as connection,
        ThreadPoolExecutor(1) as other,
    ):
        client = connection.client("user", "my-app")
        first = other.submit(client.init_sync)
        server.wait_for(1, "init")
        try:
            with pytest.raises(RequestTimeoutError, match="no free connection"):
                client.init_sync()
        finally:
            told.set()
        first.result()

    assert said(caplog, logging.WARNING) == []


@both_forms
def test_warm_reads_say_nothing(call: Form, caplog: pytest.LogCaptureFixture) -> None:
    client = connected_to(upgrade_with_user())
    call(client.has_feature_flag, "new-dashboard")
    call(client.get_decision_point_assignment, "home", "banner")
    with caplog.at_level(logging.DEBUG):
        for _ in range(10):
            call(client.has_feature_flag, "new-dashboard")
            call(client.get_decision_point_assignment, "home", "banner")

    assert said(caplog, logging.DEBUG) == []


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([INIT, *COUNTED]))
@pytest.mark.parametrize("where", ["client", "connection"])
def test_the_token_is_in_no_line_and_no_error(
    call: Form, operation: Operation, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
    upgrade = upgrade_with_user()
    connection = UpgradeConnection(
        URL, transport=upgrade.transport, token=secret if where == "connection" else "", retries=1
    )
    client = connection.client("user", "my-app", token=secret if where == "client" else "")
    errors: list[UpgradeApiError] = []

    with caplog.at_level(logging.DEBUG):
        operation.call(call, client)
        for status in (400, 401, 429, 500):
            upgrade.fail_next(
                operation.endpoint,
                status=status,
                times=2 if status == 429 else 1,
                body={"message": f"bad token {secret}", "request": {"token": secret}},
            )
            with pytest.raises(UpgradeApiError) as caught:
                operation.call(call, client)
            errors.append(caught.value)
        upgrade.down()
        with pytest.raises(UpgradeApiError) as caught:
            operation.call(call, client)
        errors.append(caught.value)

    assert all("authorization" in one.headers for one in upgrade.requests[-3:])
    assert secret not in caplog.text
    for error in errors:
        assert secret not in f"{error} {error!r} {error.message} {error.response_body}"
    assert secret not in f"{client!r} {connection!r}"


@both_forms
def test_an_assignment_that_cannot_be_marked_for_lack_of_ids_is_no_noise(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    """A mark goes out without ids when they cannot be fetched; nothing is wrong with the server."""
    upgrade = upgrade_with_user()
    upgrade.fail_next("assign", status=500)
    with caplog.at_level(logging.INFO, NAME):
        call(connected_to(upgrade).mark_decision_point, "home", "banner", "first", APPLIED)

    assert caplog.records == []
