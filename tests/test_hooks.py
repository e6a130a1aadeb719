"""What hooks hear of, in which order, and that they never disturb a call."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Callable

import attrs
import httpx
import pytest

from tests.support_calls import COUNTED, HARMLESS, Operation, by_endpoint, upgrade_with_user
from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer
from upgrade_client_lib import (
    CircuitOpenError,
    Decision,
    FlagDecision,
    NoConnectionError,
    UpgradeApiError,
    UpgradeConnection,
    hooks,
)
from upgrade_client_lib.hooks import Call, Hook

ASSIGN = "POST /api/v6/assign"


@attrs.define(eq=True)  # and so it is unhashable
class Listener(Hook):
    """Notes what it hears."""

    name: str = "one"
    heard: list[tuple[str, str, Any]] = attrs.field(factory=list[tuple[str, str, Any]])

    def before(self, call: Call) -> None:
        self.heard.append((self.name, "before", call))

    def after(self, call: Call) -> None:
        self.heard.append((self.name, "after", call))

    def failed(self, call: Call) -> None:
        self.heard.append((self.name, "failed", call))

    def abandoned(self, call: Call) -> None:
        self.heard.append((self.name, "abandoned", call))

    def decided(self, decision: Decision | FlagDecision) -> None:
        self.heard.append((self.name, "decided", decision))

    def names(self) -> list[str]:
        return [f"{name} {method}" for name, method, _ in self.heard]

    @property
    def calls(self) -> list[Call]:
        return [event for _, _, event in self.heard if isinstance(event, Call)]

    @property
    def decisions(self) -> list[Any]:
        return [event for _, method, event in self.heard if method == "decided"]


def connected(server: SteeredServer, *heard_by: Hook, **options: Any) -> UpgradeConnection:
    return UpgradeConnection("http://upgrade", transport=server, hooks=heard_by, **options)


@pytest.fixture
def server() -> SteeredServer:
    return SteeredServer(upgrade_with_user().transport)


# ---- What is heard ----


@both_forms
@pytest.mark.parametrize("operation", by_endpoint([*HARMLESS, *COUNTED]))
def test_every_call_is_heard_of(call: Form, server: SteeredServer, operation: Operation) -> None:
    listener = Listener()
    operation.call(call, connected(server, listener).client("user", "my-app"))

    before, after = listener.calls[-2:]
    assert listener.names()[-2:] == ["one before", "one after"]
    assert before.endpoint == after.endpoint
    assert before.endpoint.endswith(f"/api/v6/{operation.endpoint}")
    assert (before.user_id, before.context) == ("user", "my-app")
    assert before.host_url == after.host_url == "http://upgrade"
    assert (before.attempts, before.seconds, before.error) == (0, 0.0, None)
    assert (after.attempts, after.error) == (1, None)
    assert after.seconds > 0.0


@both_forms
def test_a_failure_is_heard_of_with_its_error(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener).client("user", "my-app")
    server.answer("featureflag", {"message": "no"}, status=500)
    with pytest.raises(UpgradeApiError) as caught:
        call(client.get_all_feature_flags)

    assert listener.names() == ["one before", "one failed"]
    assert listener.calls[1].error is caught.value
    assert listener.calls[1].attempts == 1


@pytest.mark.usefixtures("no_delay_between_attempts")
@both_forms
def test_a_call_is_heard_of_once_with_all_its_attempts(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener).client("user", "my-app")
    server.lose_next("init", "before")
    server.lose_next("init", "before")
    call(client.init)
    assert [call.attempts for call in listener.calls] == [0, 3]

    for _ in range(3):
        server.lose_next("assign", "before")
    with pytest.raises(UpgradeApiError):
        call(client.get_all_experiment_conditions)
    assert listener.names() == ["one before", "one after", "one before", "one failed"]
    assert listener.calls[-1].attempts == 3


@both_forms
def test_hooks_hear_in_their_order_and_of_the_end_of_a_call_in_reverse(
    call: Form, server: SteeredServer
) -> None:
    heard: list[Any] = []
    listeners = [Listener("one", heard), Listener("other", heard)]
    connection = connected(server, *listeners, retries=0)
    client = connection.client("user", "my-app")
    call(client.decide, "home", "banner")
    assert listeners[0].names() == [
        *("one before", "other before"),
        *("other after", "one after"),
        *("one decided", "other decided"),
    ]
    heard.clear()

    server.lose_next("init", "before")
    with pytest.raises(UpgradeApiError):
        call(client.init)
    connection.close()
    with pytest.raises(RuntimeError):
        call(client.init)
    assert listeners[0].names() == [
        *("one before", "other before", "other failed", "one failed"),
        *("one before", "other before", "other abandoned", "one abandoned"),
    ]


@both_forms
def test_every_decision_is_heard_of_also_warm_ones(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener).client("user", "my-app")
    decided = [
        *(call(client.decide, "home", "banner", default="x") for _ in range(3)),
        *(call(client.decide, "home", "footer", default="x") for _ in range(3)),
        *(call(client.decide_flag, "new-dashboard") for _ in range(3)),
        *(call(client.decide_flag, "dark-mode") for _ in range(3)),
    ]
    assert [id(one) for one in listener.decisions] == [id(one) for one in decided]


@both_forms
def test_errors_are_decisions_too(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener, retries=0).client("user", "my-app")
    server.lose_next("assign", "before")
    server.lose_next("featureflag", "before")
    decided = [call(client.decide, "home", "banner"), call(client.decide_flag, "new-dashboard")]
    assert listener.decisions == decided
    assert listener.names() == ["one before", "one failed", "one decided"] * 2


@both_forms
def test_other_reads_from_the_cache_are_not_heard_of(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener).client("user", "my-app")
    for _ in range(3):
        call(client.get_decision_point_assignment, "home", "banner")
    assert listener.names() == ["one before", "one after"]


@both_forms
def test_a_call_that_the_circuit_breaker_rejects_was_not_attempted(
    call: Form, server: SteeredServer
) -> None:
    listener = Listener()
    connection = connected(server, listener, retries=0)
    for _ in range(5):
        server.lose_next("assign", "before")
        call(connection.client("user", "my-app").decide, "home", "banner")
    listener.heard.clear()

    with pytest.raises(CircuitOpenError):
        call(connection.client("user", "my-app").get_all_feature_flags)
    assert listener.names() == ["one before", "one failed"]
    assert listener.calls[-1].attempts == 0
    listener.heard.clear()

    call(connection.client("user", "my-app").decide, "home", "banner")
    assert listener.names() == ["one decided"], "it made no call"


@both_forms
def test_a_user_who_is_made_known_is_heard_of(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    call(connected(server, listener).client("new", "my-app", group={}).decide, "home", "banner")
    assert [call.endpoint for call in listener.calls[::2]] == [
        ASSIGN,
        "POST /api/v6/init",
        ASSIGN,
    ]
    assert listener.names()[1::2][:3] == ["one failed", "one after", "one after"]


@both_forms
def test_views_are_heard_of(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    view = connected(server, listener).client("user", "my-app").with_options(timeout=2.0)
    for _ in range(2):
        call(view.decide, "home", "banner")
    assert listener.names() == ["one before", "one after", "one decided", "one decided"]


@both_forms
def test_the_mark_of_a_decision_is_heard_of(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    client = connected(server, listener, retries=0).client("user", "my-app")
    decision = call(client.decide, "home", "banner")
    listener.heard.clear()
    call(decision.mark)
    server.lose_next("mark", "before", httpx.ConnectError)
    call(decision.mark)
    assert listener.names() == ["one before", "one after", "one before", "one failed"]
    assert isinstance(listener.calls[-1].error, NoConnectionError)


def test_a_cancelled_call_is_abandoned(server: SteeredServer) -> None:
    async def scenario() -> None:
        hold = server.hold_next("assign")
        deciding = asyncio.ensure_future(client.decide("home", "banner"))
        await hold.wait_async()
        deciding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deciding

    listener = Listener()
    client = connected(server, listener).client("user", "my-app")
    asyncio.run(scenario())
    assert listener.names() == ["one before", "one abandoned"]
    assert listener.calls[1].seconds > 0.0


@both_forms
def test_a_call_on_a_closed_connection_is_abandoned(call: Form, server: SteeredServer) -> None:
    listener = Listener()
    connection = connected(server, listener)
    connection.close()
    with pytest.raises(RuntimeError):
        call(connection.client("user", "my-app").init)
    assert listener.names() == ["one before", "one abandoned"]


def test_hooks_run_in_the_thread_of_the_call(server: SteeredServer) -> None:
    class Threads(Hook):
        def before(self, call: Call) -> None:
            threads.append(threading.get_ident())

        after = failed = decided = before  # type: ignore[assignment]

    threads: list[int] = []
    connected(server, Threads()).client("user", "my-app").decide_sync("home", "banner")
    assert set(threads) == {threading.get_ident()}


@both_forms
def test_a_hook_may_hear_of_nothing(call: Form, server: SteeredServer) -> None:
    assert call(connected(server, Hook()).client("user", "my-app").decide, "home", "banner")
    server.lose_next("featureflag", "before")
    client = connected(server, Hook(), retries=0).client("user", "my-app")
    assert not call(client.decide_flag, "new-dashboard")


# ---- Hooks that fail ----


@attrs.define(eq=True)  # and so it is unhashable
class Broken(Hook):
    """Fails whenever it is called."""

    kind: type[BaseException] = ZeroDivisionError

    def before(self, call: Call) -> None:
        raise self.kind("broken")

    after = failed = decided = before  # type: ignore[assignment]


@both_forms
def test_an_exception_in_a_hook_is_logged_once_and_never_reaches_the_caller(
    call: Form, server: SteeredServer, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener()
    client = connected(server, Broken(), listener, Broken(), retries=0).client("user", "my-app")
    for _ in range(3):
        assert call(client.decide, "home", "banner")
        assert call(client.get_all_feature_flags, ignore_cache=True)
        server.lose_next("featureflag", "before")
        with pytest.raises(UpgradeApiError):
            call(client.get_all_feature_flags, ignore_cache=True)

    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(report.getMessage() for report in reports) == sorted(
        f"the hook Broken failed in {method}; its further failures there are not logged"
        for method in ("before", "after", "failed", "decided")
        for _ in range(2)
    )
    assert all(report.exc_info and report.exc_info[0] is ZeroDivisionError for report in reports)
    assert "one decided" in listener.names()


def test_an_interrupt_in_a_hook_is_an_interrupt(server: SteeredServer) -> None:
    client = connected(server, Broken(KeyboardInterrupt)).client("user", "my-app")
    with pytest.raises(KeyboardInterrupt):
        client.decide_sync("home", "banner")


class AsyncHook(Hook):
    async def after(self, call: Call) -> None:  # type: ignore[override]
        """Do nothing; it is never called."""


class AsyncDecided(Hook):
    async def decided(self, decision: object) -> None:  # type: ignore[override]
        """Do nothing; it is never called."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (7, "hooks must be a list of Hook, not int"),
        (Hook(), "hooks must be a list of Hook, not Hook"),
        ("hook", "hooks must be a list of Hook, not str"),
        ([7], "hooks must hold instances of Hook, not 7"),
        ([Hook], "hooks must hold instances of Hook, not <class"),
        ([AsyncHook()], "AsyncHook.after is async, which no hook can be"),
        ([Hook(), AsyncDecided()], "AsyncDecided.decided is async, which no hook can be"),
    ],
)
def test_wrong_hooks_are_named(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        UpgradeConnection("http://upgrade", hooks=wrong)


# ---- Without hooks ----


@both_forms
@pytest.mark.parametrize("nothing", [[], ()])
def test_without_hooks_nothing_of_theirs_runs(
    call: Form, server: SteeredServer, nothing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: set[str] = set()
    note: Callable[..., None] = lambda *_, **__: ran.add("hooks")  # noqa: E731  (its line runs)
    monkeypatch.setattr(hooks, "Call", note)
    monkeypatch.setattr(hooks.HookList, "call", note)
    client = UpgradeConnection("http://upgrade", transport=server, hooks=nothing, retries=0).client(
        "user", "my-app"
    )
    for _ in range(3):
        call(client.decide, "home", "banner")
        call(client.decide_flag, "new-dashboard")
    call(call(client.decide, "home", "banner").mark)

    assert ran == set()
