"""Marks of decisions: what each case sends, and what is never sent."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import attrs
import httpx
import pytest

from tests.support_assignments import condition, item
from tests.support_clients import client_at
from tests.support_clock import Clock
from tests.support_forms import Form, both_forms
from tests.support_marking import STATUS
from tests.support_server import SteeredServer, client_of
from upgrade_client_lib import Decision, UpgradeClient, UpgradeConnection
from upgrade_client_lib.hooks import Call, Hook
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason, MarkedDecisionPoint

MAX_AGE = 300.0
UNASSIGNED = "home", "footer"


def marks(server: SteeredServer) -> list[dict[str, Any]]:
    return server.bodies("mark")


def decided(call: Form, client: UpgradeClient, *where: str, times: int = 1) -> Decision:
    """A decision: the server's with ``times=1``, the cache's with 2, the kept one with 3."""
    decisions = [call(client.decide, *where, default="the default") for _ in range(times)]
    assert isinstance(decisions[-1], Decision)
    return decisions[-1]


def failed(call: Form, client: UpgradeClient, server: SteeredServer) -> Decision:
    server.lose_next("assign", "before")
    decision = decided(call, client.with_options(retries=0), "home", "banner")
    assert decision.reason is DecisionReason.ERROR
    return decision


each_time = pytest.mark.parametrize("times", [1, 2, 3])


# ---- What is sent ----


@both_forms
def test_a_condition_that_is_no_valid_unicode_is_marked_as_it_was_answered(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    server.answer("assign", [item(assignedCondition=[condition("half \ud83d")])])
    server.answer("mark", {"id": "an id", "userId": "user", "site": "home"})
    decision = decided(call, client, "home", "banner")
    assert decision.condition == "half \ud83d"
    assert isinstance(call(decision.mark), MarkedDecisionPoint)
    assert marks(server)[-1]["data"]["assignedCondition"]["conditionCode"] == decision.condition


@both_forms
@each_time
def test_an_assigned_condition_is_marked_as_applied_with_its_ids(
    call: Form, client: UpgradeClient, server: SteeredServer, times: int
) -> None:
    decision = decided(call, client, "home", "banner", times=times)
    marked = call(decision.mark)

    assert isinstance(marked, MarkedDecisionPoint)
    assert marked.condition == decision.condition
    assignment = decision.assignment
    assert assignment is not None
    sent = marks(server)[-1]
    assert sent["status"] == "condition applied"
    assert sent["data"]["site"] == "home"
    assert sent["data"]["target"] == "banner"
    assert sent["data"]["assignedCondition"] == {
        "conditionCode": decision.condition,
        "experimentId": assignment.experiment_id,
        "id": assignment.condition_id,
    }


@both_forms
@each_time
def test_a_default_that_was_shown_is_marked_without_a_condition(
    call: Form, client: UpgradeClient, server: SteeredServer, times: int
) -> None:
    marked = call(decided(call, client, *UNASSIGNED, times=times).mark)

    assert isinstance(marked, MarkedDecisionPoint)
    sent = marks(server)[-1]
    assert sent["status"] == "no condition assigned"
    assert sent["data"]["assignedCondition"]["conditionCode"] is None
    assert "the default" not in str(sent)
    assert len(server.sent) == 3, "init, assign and mark"


@both_forms
def test_after_an_error_nothing_is_sent(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    decision = failed(call, client, server)
    before = len(server.sent)

    assert call(decision.mark) is None
    assert call(decision.mark, STATUS.CONDITION_APPLIED) is None
    assert len(server.sent) == before


@both_forms
@pytest.mark.parametrize("status", [*STATUS, *map(str, STATUS)])
@pytest.mark.parametrize("where", [("home", "banner"), UNASSIGNED])
def test_a_status_a_uniquifier_and_an_error_may_be_given(
    call: Form,
    client: UpgradeClient,
    server: SteeredServer,
    status: Any,
    where: tuple[str, str],
) -> None:
    decision = decided(call, client, *where)
    call(decision.mark, status, "visit-1", "the video did not play")

    sent = marks(server)[-1]
    assert sent["status"] == str(status)
    assert sent["uniquifier"] == "visit-1"
    assert sent["clientError"] == "the video did not play"
    code = sent["data"]["assignedCondition"]["conditionCode"]
    assert code == (decision.condition if decision else None)


@both_forms
def test_a_mark_may_be_repeated_and_counts_each_time(call: Form) -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control"])
    decision = decided(call, client_at(local, group={}), "home", "banner")
    call(decision.mark)
    call(decision.mark)

    assert len(local.marks) == 2


@both_forms
def test_a_decision_outlives_its_client_and_is_marked(call: Form, server: SteeredServer) -> None:
    for where in [("home", "banner"), UNASSIGNED]:
        for times in (1, 2, 3):
            decision = decided(call, client_of(server, group={}), *where, times=1)
            assert call(decision.mark) is not None
            client = client_of(server, group={})
            decision = decided(call, client, *where, times=times)
            del client
            assert call(decision.mark) is not None
    assert server.count("mark") == 12


# ---- "No condition assigned" rests on a fresh answer ----


@both_forms
@each_time
def test_an_answer_that_is_too_old_is_not_marked(
    call: Form,
    client: UpgradeClient,
    server: SteeredServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    times: int,
) -> None:
    clock = Clock.stopped(monkeypatch, "time")
    decision = decided(call, client, *UNASSIGNED, times=times)
    clock.let_pass(MAX_AGE - 1)
    assert call(decision.mark) is not None
    clock.let_pass(1)
    with caplog.at_level(logging.INFO, "upgrade_client_lib"):
        assert call(decision.mark) is None
    assert server.count("mark") == 1
    assert "no longer" in caplog.messages[-1]


@both_forms
def test_a_clock_that_was_set_back_leaves_open_how_old_an_answer_is(
    call: Form, client: UpgradeClient, server: SteeredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.stopped(monkeypatch, "time")
    decision = decided(call, client, *UNASSIGNED)
    clock.let_pass(-1)
    assert call(decision.mark) is None
    assert server.count("mark") == 0


@both_forms
def test_an_assigned_condition_is_marked_however_old_it_is(
    call: Form, client: UpgradeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.stopped(monkeypatch, "time")
    decision = decided(call, client, "home", "banner")
    clock.let_pass(100 * MAX_AGE)
    assert call(decision.mark) is not None


@both_forms
@each_time
@pytest.mark.parametrize("dropped", [False, True])
def test_an_answer_that_init_took_back_is_not_marked(
    call: Form, client: UpgradeClient, server: SteeredServer, times: int, dropped: bool
) -> None:
    own = client_of(server)
    decision = decided(call, own, *UNASSIGNED, times=times)
    call(own.init, {"class": ["class-1"]})
    if dropped:
        del own
    assert call(decision.mark) is None
    assert server.count("mark") == 0


@both_forms
def test_an_answer_of_a_closed_client_is_not_marked(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    decision = decided(call, client, *UNASSIGNED)
    client.close()
    assert call(decision.mark) is None
    assert server.count("mark") == 0


@both_forms
@each_time
def test_an_answer_that_a_newer_one_replaced_is_marked_while_that_says_the_same(
    call: Form, client: UpgradeClient, server: SteeredServer, times: int
) -> None:
    decision = decided(call, client, *UNASSIGNED, times=times)
    call(client.get_all_experiment_conditions, ignore_cache=True)
    assert call(decision.mark) is not None

    local = LocalUpgrade()
    local.experiment(*UNASSIGNED, conditions=["control"])
    call(client_at(local, "user").init)
    server.behind = local.transport
    call(client.get_all_experiment_conditions, ignore_cache=True)
    assert call(decision.mark) is None
    assert server.count("mark") == 1


@both_forms
@each_time
def test_a_point_whose_assignment_cannot_be_read_is_not_marked(
    call: Form, client: UpgradeClient, server: SteeredServer, times: int
) -> None:
    """The mark would enrol the user in an experiment whose condition they did not see."""
    unreadable = item("home", "page", assignedCondition=[condition({})])  # type: ignore[arg-type]
    server.answer("assign", [unreadable])
    server.answer("mark", {"id": "1", "userId": "user", "site": "home", "target": "page"})
    call(client.init)
    unassigned = decided(call, client, *UNASSIGNED)
    decision = decided(call, client, "home", "page", times=times)
    assert (decision.condition, decision.assignment) == ("the default", None)
    assert call(decision.mark) is None
    assert server.count("mark") == 0

    unreadable["site"], unreadable["target"] = UNASSIGNED
    server.answer("assign", [unreadable])
    call(client.get_all_experiment_conditions, ignore_cache=True)
    assert call(unassigned.mark) is None
    assert server.count("mark") == 0


@both_forms
def test_a_point_that_a_mark_invalidated_is_not_marked(
    call: Form, client: UpgradeClient, server: SteeredServer
) -> None:
    """Its condition could not be read, so the default was shown; then its sister was marked."""
    assigned: dict[str, Any] = {"id": "c", "conditionCode": "first", "experimentId": "e"}
    unreadable: dict[str, Any] = {**assigned, "conditionCode": {}}
    answer = [
        item("twin", "one", assignedCondition=[assigned] * 2),
        item("twin", "two", assignedCondition=[unreadable] * 2),
    ]
    server.answer("assign", answer)
    server.answer("mark", {"id": "1", "userId": "user", "site": "twin", "target": "one"})
    call(client.init)
    decision = decided(call, client, "twin", "two")
    assert decision.reason is DecisionReason.NOT_ASSIGNED
    call(decided(call, client, "twin", "one").mark)
    assert server.count("mark") == 1
    assert call(decision.mark) is None
    assert server.count("mark") == 1


# ---- What may go wrong ----


class Failures(Hook):
    def __init__(self) -> None:
        self.calls: list[Call] = []

    def failed(self, call: Call) -> None:
        self.calls.append(call)


@both_forms
@pytest.mark.parametrize("where", [("home", "banner"), UNASSIGNED])
@pytest.mark.parametrize("lost", ["before", "after", "refused"])
def test_what_goes_wrong_is_logged_and_told_to_hooks(
    call: Form,
    server: SteeredServer,
    caplog: pytest.LogCaptureFixture,
    where: tuple[str, str],
    lost: Any,
) -> None:
    hook = Failures()
    with UpgradeConnection("http://upgrade", transport=server, hooks=[hook]) as connection:
        client = connection.client("user", "my-app", group={})
        decision = decided(call, client, *where)
        hook.calls.clear()
        caplog.clear()
        if lost == "refused":
            server.answer("mark", {"message": "no such condition"}, status=500)
        else:
            server.lose_next("mark", lost, httpx.ReadError)
        assert call(decision.mark) is None

    [failure] = hook.calls
    assert failure.endpoint == "POST /api/v6/mark"
    assert failure.error is not None
    warning = caplog.records[-1]
    assert warning.levelno == logging.WARNING
    assert str(where) in warning.getMessage()
    assert str(failure.error) in warning.getMessage()


@both_forms
@pytest.mark.parametrize("where", [("home", "banner"), UNASSIGNED])
def test_a_closed_connection_is_a_mistake(call: Form, where: tuple[str, str]) -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control"])
    connection = UpgradeConnection("http://upgrade", transport=local.transport)
    decision = decided(call, connection.client("user", "my-app", group={}), *where)
    connection.close()
    with pytest.raises(RuntimeError, match="closed"):
        call(decision.mark)


@both_forms
@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("applied",), ValueError),
        ((7,), TypeError),
        ((None, 7), TypeError),
        ((None, "a\0b"), ValueError),
        ((None, "", 7), TypeError),
    ],
)
@pytest.mark.parametrize("which", ["assigned", "not assigned", "error"])
def test_wrong_arguments_raise(
    call: Form,
    client: UpgradeClient,
    server: SteeredServer,
    arguments: tuple[Any, ...],
    kind: type[Exception],
    which: str,
) -> None:
    if which == "error":
        decision = failed(call, client, server)
    else:
        decision = decided(
            call, client, *(UNASSIGNED if which != "assigned" else ("home", "banner"))
        )
    with pytest.raises(kind):
        call(decision.mark, *arguments)
    assert server.count("mark") == 0


def through_pickle(decision: Decision) -> Any:
    return pickle.loads(pickle.dumps(decision))


@both_forms
@pytest.mark.parametrize("detached", [through_pickle, attrs.evolve])
def test_a_decision_without_its_client_says_what_to_do(
    call: Form, client: UpgradeClient, detached: Any
) -> None:
    decision = detached(decided(call, client, "home", "banner"))
    with pytest.raises(
        RuntimeError, match=r"mark_assignment\(decision.assignment, ...\)"
    ) as caught:
        call(decision.mark)
    assert "user 'user' in context 'my-app'" in str(caught.value)
    assert call(client.mark_assignment, decision.assignment, "condition applied")

    with pytest.raises(RuntimeError, match="decide again, with a client of user 'user'"):
        call(detached(decided(call, client, *UNASSIGNED)).mark)


@both_forms
def test_a_user_whom_the_server_forgot_is_made_known_before_the_mark(call: Form) -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["control"])
    decision = decided(call, client_at(local, group={"class": ["class-1"]}), "home", "banner")
    local.reset()
    assert call(decision.mark) is not None
    assert [request.endpoint for request in local.requests] == ["mark", "init", "mark"]
