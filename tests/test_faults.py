"""What callers see when the server, or the way to it, fails; and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support_calls import (
    APPLIED,
    COUNTED,
    HARMLESS,
    INIT,
    Operation,
    by_endpoint,
    marks_at_banner,
    upgrade_with_user,
)
from tests.support_clock import MARGIN, until
from tests.support_faults import FAULTS, PATIENCE, REFUSALS, redirects, within
from tests.support_faulty_server import (
    FaultyServer,
    answers,
    hangs_up,
    hangs_up_after_answer,
    refusing_address,
)
from tests.support_forms import Form, each_engine, every_way
from upgrade_client_lib import (
    BadRequestError,
    NoConnectionError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeConnection,
)

pytestmark = pytest.mark.usefixtures("engine", "first_calls_made", "no_delay_between_attempts")

each_fault = pytest.mark.parametrize("name", FAULTS)


def open_sockets() -> set[str]:
    """The sockets of this process, where the system tells."""
    found: set[str] = set()
    for descriptor in list(Path("/proc/self/fd").glob("*")):
        with suppress(OSError):  # what listed them is gone by now
            found.add(os.readlink(descriptor))
    return {target for target in found if target.startswith("socket:")}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Generator[None, None, None]:
    """No socket and no thread outlives a test, let alone one that nobody closed."""
    gc.freeze()  # so that collecting looks at this test's objects alone
    sockets, threads = open_sockets(), set(threading.enumerate())
    yield
    gc.collect()
    gc.unfreeze()
    assert not open_sockets() - sockets
    assert not set(threading.enumerate()) - threads


def failure_of(call: Form, operation: Operation, connection: UpgradeConnection) -> UpgradeApiError:
    """The error that an operation ends in, within its time."""
    client = connection.client("user", "my-app")
    begun = time.monotonic()
    with pytest.raises(UpgradeApiError) as caught:
        operation.call(call, client)
    assert time.monotonic() - begun < 1.0 + MARGIN
    return caught.value


@every_way
@each_fault
def test_a_fault_is_an_error_of_its_kind_in_time_and_leaves_no_socket(
    call: Form, name: str
) -> None:
    fault, kind, status = FAULTS[name]
    with FaultyServer(init=fault) as server:
        with UpgradeConnection(server.url, timeout=within(name), retries=1) as connection:
            error = failure_of(call, INIT, connection)
        server.wait_for(error.attempts, "init")
        server.wait_until_all_hung_up()

    assert type(error) is kind
    assert error.status_code == status
    assert error.endpoint == "POST /api/v6/init"
    assert error.message
    assert server.count("init") == error.attempts


@each_engine
@each_fault
def test_a_fault_leaves_no_task_behind(name: str) -> None:
    async def scenario() -> set[asyncio.Task[Any]]:
        async with UpgradeConnection(server.url, timeout=within(name), retries=0) as connection:
            with pytest.raises(UpgradeApiError):
                await connection.client("user", "my-app").init()
            return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    with FaultyServer(init=FAULTS[name][0]) as server:
        assert asyncio.run(scenario()) == set()


@every_way
@each_fault
def test_the_call_after_a_fault_succeeds(call: Form, name: str) -> None:
    with (
        FaultyServer(init=[FAULTS[name][0]]) as server,
        UpgradeConnection(server.url, timeout=within(name), retries=0) as connection,
    ):
        failure_of(call, INIT, connection)
        server.wait_for(1, "init")
        client = connection.client("user", "my-app").with_options(timeout=PATIENCE)
        assert call(client.init).id == "user"


@every_way
@each_fault
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
def test_a_mark_or_reward_counts_once_at_most(call: Form, name: str, operation: Operation) -> None:
    upgrade = upgrade_with_user()
    before = len(upgrade.marks), len(upgrade.rewards)
    faults: Any = {operation.endpoint: FAULTS[name][0]}
    with (
        FaultyServer(upgrade, **faults) as server,
        UpgradeConnection(server.url, timeout=within(name), retries=2) as connection,
    ):
        error = failure_of(call, operation, connection)

    counted = len(upgrade.marks) - before[0] + len(upgrade.rewards) - before[1]
    assert counted == (0 if name in REFUSALS else 1)
    assert error.may_have_been_applied  # since another than UpGrade may have said so


@every_way
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_an_answer_of_another_shape_is_unreadable(call: Form, operation: Operation) -> None:
    bodies = ["42", '{"message": 1}', "null", '"text"', "<html>", '[{"id": ']
    identified = {"x-request-id": "request-1"}
    faults: Any = {operation.endpoint: [answers(200, body, identified) for body in bodies]}
    with (
        FaultyServer(upgrade_with_user(), **faults) as server,
        UpgradeConnection(server.url, timeout=PATIENCE) as connection,
    ):
        for body in bodies:
            error = failure_of(call, operation, connection)
            assert type(error) is UnreadableAnswerError
            assert (error.status_code, error.request_id) == (200, "request-1")
            assert error.response_body == body
            assert error.may_have_been_applied


@every_way
def test_an_error_says_nothing_of_what_its_caller_was_handling(call: Form) -> None:
    with FaultyServer(init=hangs_up) as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        try:
            raise ssl.SSLCertVerificationError(1, "the certificate of another server")
        except ssl.SSLError:
            with pytest.raises(NoConnectionError) as caught:
                call(client.init)

    assert "another server" not in caught.value.message
    assert caught.value.attempts == 3


@every_way
def test_a_redirect_names_where_the_server_is(call: Form) -> None:
    with (
        FaultyServer(init=redirects) as server,
        UpgradeConnection(server.url, timeout=PATIENCE) as connection,
    ):
        error = failure_of(call, INIT, connection)

    assert "https://elsewhere.example.org/api/v6/init" in error.message
    assert "host_url" in error.message
    assert server.count("init") == 1


@every_way
def test_an_address_that_is_not_upgrade_is_said_so(call: Form) -> None:
    with (
        FaultyServer(init=answers(404, "<html>Not Found</html>")) as server,
        UpgradeConnection(server.url, timeout=PATIENCE) as connection,
    ):
        error = failure_of(call, INIT, connection)

    assert type(error) is BadRequestError
    assert "host_url" in error.message
    assert error.response_body == "<html>Not Found</html>"


@every_way
@pytest.mark.parametrize("operation", by_endpoint([INIT, *COUNTED]))
def test_a_refused_connection_is_no_connection(call: Form, operation: Operation) -> None:
    with (
        refusing_address() as url,
        UpgradeConnection(url, timeout=PATIENCE, retries=1) as connection,
    ):
        error = failure_of(call, operation, connection)

    assert type(error) is NoConnectionError
    assert not error.may_have_been_applied
    assert error.attempts == 2


@every_way
def test_a_name_that_does_not_exist_is_no_connection(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with UpgradeConnection("http://upgrade.invalid", timeout=PATIENCE, retries=1) as connection:
        error = failure_of(call, INIT, connection)

    assert type(error) is NoConnectionError
    assert "Name or service not known" in error.message
    assert not error.may_have_been_applied
    assert error.attempts == 2
    until(lambda: not any("look-up" in thread.name for thread in threading.enumerate()))


@every_way
@pytest.mark.parametrize("operation", by_endpoint([INIT, *COUNTED]))
def test_a_certificate_that_nobody_trusts_is_no_connection_and_is_not_tried_again(
    call: Form, operation: Operation
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.configure_cert(serving)  # pyright: ignore[reportUnknownMemberType]
    with (
        FaultyServer(tls=serving) as server,
        UpgradeConnection(server.url, timeout=PATIENCE, retries=2) as connection,
    ):
        error = failure_of(call, operation, connection)

    assert type(error) is NoConnectionError
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert not error.may_have_been_applied
    assert error.attempts == 1
    assert server.received == []


@every_way
def test_tls_to_a_server_without_it_is_no_connection(call: Form) -> None:
    with (
        FaultyServer() as server,
        UpgradeConnection(
            server.url.replace("http:", "https:"), timeout=PATIENCE, retries=0
        ) as connection,
    ):
        error = failure_of(call, INIT, connection)

    assert type(error) is NoConnectionError
    assert not error.may_have_been_applied


def test_a_socket_that_the_server_closed_while_it_was_idle_is_not_used_again() -> None:
    upgrade = upgrade_with_user()
    with (
        FaultyServer(upgrade, assign=hangs_up_after_answer) as server,
        UpgradeConnection(server.url, timeout=PATIENCE, retries=0) as connection,
    ):
        client = connection.client("user", "my-app")
        client.get_all_experiment_conditions_sync()
        server.wait_until_all_hung_up()
        client.mark_decision_point_sync("home", "banner", "first", APPLIED)

    assert marks_at_banner(upgrade) == 1


@each_engine
def test_an_event_loops_socket_that_the_server_closed_while_it_was_idle_is_not_used_again() -> None:
    async def scenario() -> None:
        async with UpgradeConnection(server.url, timeout=PATIENCE, retries=0) as connection:
            client = connection.client("user", "my-app")
            await client.get_all_experiment_conditions()
            await asyncio.to_thread(server.wait_until_all_hung_up)
            await client.mark_decision_point("home", "banner", "first", APPLIED)

    upgrade = upgrade_with_user()
    with FaultyServer(upgrade, assign=hangs_up_after_answer) as server:
        asyncio.run(scenario())

    assert marks_at_banner(upgrade) == 1
