"""Workers that share a store know what one of them was answered."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.stores.support_stores import Time, memory
from tests.support_forms import Form, both_forms
from tests.support_server import Background
from tests.support_sharing import Workers, clock, kind, workers
from upgrade_client_lib import (
    CircuitOpenError,
    NoConnectionError,
    UpgradeApiError,
    UpgradeConnection,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason, DecisionSource

__all__ = ["clock", "kind", "workers"]

MAX_AGE, STALE = 300, 3600


# ---- What is young enough sends nothing ----


@both_forms
def test_another_worker_sends_nothing(call: Form, workers: Workers) -> None:
    expected = call(workers.known().get_decision_point_assignment, "home", "banner")
    for _ in range(3):
        found = call(workers.client().get_decision_point_assignment, "home", "banner")
        assert found == expected
        assert found is not None
        assert call(workers.client().get_decision_point_assignment, "home", "none") is None
        assert len(call(workers.client().get_all_experiment_conditions)) == 6

    assert workers.server.count("assign") == 1


@both_forms
def test_another_worker_knows_the_flags(call: Form, workers: Workers) -> None:
    workers.upgrade.flag("other")
    flags = call(workers.known().get_all_feature_flags)
    assert sorted(flag.key for flag in flags) == ["new-dashboard", "other"]
    assert call(workers.client().get_all_feature_flags) == flags
    assert call(workers.client().has_feature_flag, "other") is True
    assert call(workers.client().has_feature_flag, "none") is False

    assert workers.server.count("featureflag") == 1


@both_forms
def test_a_decision_says_that_it_comes_from_the_store(call: Form, workers: Workers) -> None:
    first = call(workers.known().decide, "home", "banner")
    second = call(workers.client().decide, "home", "banner")
    assert (first.source, second.source) == (DecisionSource.SERVER, DecisionSource.CACHE)
    assert second.condition == first.condition
    assert second.answered_at == first.answered_at
    flag = call(workers.client().decide_flag, "new-dashboard")
    again = call(workers.client().decide_flag, "new-dashboard")
    assert (flag.source, again.source) == (DecisionSource.SERVER, DecisionSource.CACHE)


@both_forms
def test_users_contexts_and_hosts_are_kept_apart(call: Form, workers: Workers) -> None:
    workers.upgrade.context("other-app")
    call(workers.known().get_all_experiment_conditions)
    call(workers.known("second").get_all_experiment_conditions)
    call(workers.client(context="other-app").get_all_experiment_conditions)
    assert workers.server.count("assign") == 3
    assert call(workers.client(context="other-app").get_all_experiment_conditions) == []
    assert len(call(workers.client().get_all_experiment_conditions)) == 6
    assert workers.server.count("assign") == 3


@both_forms
def test_an_older_record_is_asked_for_anew(call: Form, workers: Workers, clock: Time) -> None:
    client = workers.known()
    for method in ("get_all_experiment_conditions", "get_all_feature_flags"):
        call(getattr(client, method))
        clock.let_pass(MAX_AGE - 1)
        call(getattr(workers.client(), method))
    assert (workers.server.count("assign"), workers.server.count("featureflag")) == (1, 1)
    clock.let_pass(2)
    for _ in range(2):
        call(workers.client().get_all_experiment_conditions)
        call(client.get_all_feature_flags)
    assert (workers.server.count("assign"), workers.server.count("featureflag")) == (2, 2)


@both_forms
def test_a_living_client_looks_at_the_store_again_after_a_second(
    call: Form, workers: Workers, clock: Time
) -> None:
    first = workers.known()
    call(first.get_decision_point_assignment, "home", "banner")
    workers.upgrade.flag("late")
    call(first.decide_flag, "late")
    call(workers.client().get_all_feature_flags, ignore_cache=True)
    call(workers.client().set_group_membership, {"class": ["class-1"]})
    call(first.get_decision_point_assignment, "home", "banner")
    assert workers.server.count("assign") == 1
    clock.let_pass(1.1)
    call(first.get_decision_point_assignment, "home", "banner")
    call(first.get_decision_point_assignment, "home", "banner")
    assert workers.server.count("assign") == 2


@both_forms
@pytest.mark.parametrize("max_age", [0, 0.5])
def test_an_age_of_less_than_a_second_holds_in_each_worker_too(
    call: Form, workers: Workers, clock: Time, max_age: float
) -> None:
    client = workers.connection(max_age=max_age).client("user", "my-app", group={})
    call(client.get_decision_point_assignment, "home", "banner")
    clock.let_pass(0.6)
    call(client.get_decision_point_assignment, "home", "banner")
    assert workers.server.count("assign") == 2


@both_forms
def test_a_clock_that_was_set_back_makes_nothing_young(
    call: Form, workers: Workers, clock: Time
) -> None:
    call(workers.known().get_all_experiment_conditions)
    clock.let_pass(-60)
    call(workers.client().get_all_experiment_conditions)
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 2


@both_forms
def test_asking_anew_writes_what_all_then_know(call: Form, workers: Workers) -> None:
    client = workers.known()
    call(client.get_all_feature_flags)
    call(client.get_all_experiment_conditions)
    workers.upgrade.flag("late")
    workers.upgrade.experiment("late", conditions=["a"])
    assert not call(workers.client().has_feature_flag, "late")
    assert call(workers.client().get_decision_point_assignment, "late") is None
    call(workers.client().get_all_feature_flags, ignore_cache=True)
    call(workers.client().get_all_experiment_conditions, ignore_cache=True)
    assert call(workers.client().has_feature_flag, "late")
    assert call(workers.client().get_decision_point_assignment, "late") is not None
    assert (workers.server.count("assign"), workers.server.count("featureflag")) == (2, 2)


@both_forms
def test_flags_under_session_groups_are_never_stored(call: Form, workers: Workers) -> None:
    workers.upgrade.flag("restricted", include={"class": ["class-1"]})
    session: dict[str, Any] = {
        "groups_for_session": {"class": ["class-1"]},
        "include_stored_user_groups": False,
    }
    workers.known()
    for _ in range(2):
        assert call(workers.client(**session).has_feature_flag, "restricted")
    assert not call(workers.client().has_feature_flag, "restricted")
    assert call(workers.client(**session).has_feature_flag, "restricted")
    assert not call(workers.client().has_feature_flag, "restricted")
    assert workers.server.count("featureflag") == 4


@both_forms
def test_session_groups_that_are_set_while_flags_are_loaded_do_not_count(
    call: Form, workers: Workers
) -> None:
    workers.upgrade.flag("restricted", include={"class": ["class-1"]})
    client = workers.known()
    hold = workers.server.hold_next("featureflag")
    with Background(call) as background:
        loading = background.begin(client.get_all_feature_flags)
        hold.wait()
        client.set_feature_flag_user_groups_for_session({"class": ["class-1"]}, False)
        hold.release()
        loading.result()
    assert not call(workers.client().has_feature_flag, "restricted")


# ---- Outages ----


@both_forms
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout])
def test_after_a_failure_decisions_are_stale(
    call: Form, workers: Workers, clock: Time, error: type[httpx.TransportError]
) -> None:
    decided = call(workers.known().decide, "home", "banner")
    flag = call(workers.client().decide_flag, "new-dashboard")
    clock.let_pass(MAX_AGE + STALE - 10)
    for _ in range(2):
        workers.server.lose_next("assign", "before", error)
        workers.server.lose_next("featureflag", "before", error)
    client = workers.client()
    decision = call(client.decide, "home", "banner", default="control")
    assert (decision.source, decision.reason) == (DecisionSource.STALE, DecisionReason.ASSIGNED)
    assert decision.condition == decided.condition
    assert decision.age > MAX_AGE
    stale_flag = call(client.decide_flag, "new-dashboard")
    assert (stale_flag.source, stale_flag.enabled) == (DecisionSource.STALE, flag.enabled)
    with pytest.raises(UpgradeApiError):
        call(client.get_decision_point_assignment, "home", "banner")
    with pytest.raises(UpgradeApiError):
        call(client.has_feature_flag, "new-dashboard")
    assert call(client.decide, "home", "banner").source is DecisionSource.SERVER


@both_forms
def test_documented_methods_raise_what_went_wrong(
    call: Form, workers: Workers, clock: Time
) -> None:
    client = workers.known()
    call(client.get_all_experiment_conditions)
    call(client.get_all_feature_flags)
    clock.let_pass(MAX_AGE + 1)
    workers.upgrade.down()
    for method, args in (
        ("get_all_experiment_conditions", ()),
        ("get_decision_point_assignment", ("home", "banner")),
        ("get_all_feature_flags", ()),
        ("has_feature_flag", ("new-dashboard",)),
    ):
        with pytest.raises(NoConnectionError):
            call(getattr(workers.client(), method), *args)
    with pytest.raises(NoConnectionError):
        call(workers.client().get_all_experiment_conditions, ignore_cache=True)


@both_forms
def test_what_is_too_old_even_for_that_is_an_error(
    call: Form, workers: Workers, clock: Time
) -> None:
    call(workers.known().decide, "home", "banner")
    call(workers.client().decide_flag, "new-dashboard")
    clock.let_pass(MAX_AGE + STALE + 1)
    workers.upgrade.down()
    decision = call(workers.client().decide, "home", "banner", default="control")
    assert (decision.reason, decision.condition) == (DecisionReason.ERROR, "control")
    assert isinstance(decision.error, NoConnectionError)
    flag = call(workers.client().decide_flag, "new-dashboard", default=True)
    assert (flag.reason, flag.enabled) == (DecisionReason.ERROR, True)


@both_forms
@pytest.mark.parametrize(
    ("status", "source"),
    [
        (500, DecisionSource.STALE),
        (503, DecisionSource.STALE),
        (429, DecisionSource.STALE),
        (400, None),
        (401, None),
    ],
)
def test_what_the_server_refuses_is_no_outage(
    call: Form, workers: Workers, clock: Time, status: int, source: DecisionSource | None
) -> None:
    call(workers.known().decide, "home", "banner")
    clock.let_pass(MAX_AGE + 1)
    workers.upgrade.fail_next("assign", status=status)
    assert call(workers.client().decide, "home", "banner").source is source


@both_forms
def test_a_user_whom_the_server_forgot_is_not_served_what_it_said_before(
    call: Form, workers: Workers, clock: Time
) -> None:
    call(workers.known().decide, "home", "banner")
    clock.let_pass(MAX_AGE + 1)
    workers.server.behind = LocalUpgrade().transport
    decision = call(workers.client().decide, "home", "banner")
    assert decision.reason is DecisionReason.ERROR
    assert isinstance(decision.error, UserNotInitializedError)


@both_forms
def test_an_open_circuit_serves_what_is_stale(call: Form, clock: Time) -> None:
    workers = Workers(memory(), breaker=True)
    call(workers.known().decide, "home", "banner")
    clock.let_pass(MAX_AGE + 1)
    workers.upgrade.down()
    connection = workers.connection()
    decisions = [
        call(connection.client("user", "my-app").decide, "home", "banner") for _ in range(7)
    ]
    assert [decision.source for decision in decisions] == [DecisionSource.STALE] * 7
    assert workers.server.count("assign") == 1 + 5
    with pytest.raises(CircuitOpenError):
        call(connection.client("user", "my-app").get_all_experiment_conditions)


@both_forms
def test_a_caller_that_shares_a_stale_answer_raises(
    call: Form, workers: Workers, clock: Time
) -> None:
    call(workers.known().decide, "home", "banner")
    clock.let_pass(MAX_AGE + 1)
    client = workers.client()
    hold = workers.server.hold_next("assign", error=httpx.ConnectError)
    with Background(call) as background:
        deciding = background.begin(client.decide, "home", "banner")
        hold.wait()
        getting = background.begin(client.get_decision_point_assignment, "home", "banner")
        hold.release()
        assert deciding.result().source is DecisionSource.STALE
        outcome = getting.exception()
    assert outcome is None or isinstance(outcome, NoConnectionError)
    assert workers.server.count("assign") in {2, 3}


# ---- Changes that come between ----


@both_forms
@pytest.mark.parametrize("endpoint", ["assign", "featureflag"])
@pytest.mark.parametrize("was_known", [False, True])
def test_an_answer_is_not_kept_whose_user_changed_meanwhile(
    call: Form, workers: Workers, endpoint: str, was_known: bool
) -> None:
    workers.upgrade.flag("restricted", include={"class": ["class-1"]})
    workers.upgrade.experiment("room", conditions={"a": 1}, unit="group", group_type="class")
    client = workers.known()
    reading: Any = client.get_all_feature_flags
    if endpoint == "assign":
        reading = client.get_all_experiment_conditions
    if was_known:
        call(reading)
    hold = workers.server.hold_next(endpoint, when="after")
    with Background(call) as background:
        loading = background.begin(reading, ignore_cache=True)
        hold.wait()
        call(workers.client().init, {"class": ["class-1"]}, {"class": "class-1"})
        hold.release()
        loading.result()
    assert call(workers.client().has_feature_flag, "restricted")
    assert call(workers.client().get_decision_point_assignment, "room") is not None
    assert call(client.has_feature_flag, "restricted"), "the client that asked looks again, too"


@both_forms
@pytest.mark.parametrize("removes", ["forgets", "forgets_and_loads"])
def test_an_answer_is_not_kept_whose_entry_was_removed_meanwhile(
    call: Form, workers: Workers, removes: str
) -> None:
    client = workers.known()
    hold = workers.server.hold_next("assign", when="after")
    with Background(call) as background:
        loading = background.begin(client.get_all_experiment_conditions)
        hold.wait()
        call(workers.client().init, {"class": ["class-1"]})
        call(workers.connection().forget, "user")
        if removes == "forgets_and_loads":
            call(workers.client().get_all_feature_flags)
        hold.release()
        loading.result()
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 2


@both_forms
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("init", ({"class": ["class-2"]},)),
        ("init", (None, {"class": "class-2"})),
        ("set_group_membership", ({"class": ["class-2"]},)),
        ("set_working_group", ({"class": "class-2"},)),
        ("set_alt_user_ids", (["alias"],)),
    ],
)
def test_a_change_of_the_user_ends_the_records_of_all_contexts(
    call: Form, workers: Workers, method: str, arguments: Any
) -> None:
    workers.upgrade.context("other-app")
    call(workers.client().init, {"class": ["class-1"]}, {"class": "class-1"})
    for context in ("my-app", "other-app"):
        call(workers.client(context=context).get_all_experiment_conditions)
        call(workers.client(context=context).get_all_feature_flags)
    call(getattr(workers.client(), method), *arguments)
    for context in ("my-app", "other-app"):
        call(workers.client(context=context).get_all_experiment_conditions)
        call(workers.client(context=context).get_all_feature_flags)
    assert (workers.server.count("assign"), workers.server.count("featureflag")) == (4, 4)


@both_forms
@pytest.mark.parametrize("groups", [{}, {"group": {"class": ["b", "a"]}}])
def test_an_init_that_changes_nothing_keeps_the_records(
    call: Form, workers: Workers, groups: dict[str, Any]
) -> None:
    call(workers.client().init, {"class": ["a", "b"]}, {"class": "a"})
    call(workers.client().get_all_experiment_conditions)
    for _ in range(3):
        call(workers.client().init, **groups)
        call(workers.client().get_all_experiment_conditions)
    assert workers.sent() == ["init", "assign", "init", "init", "init"]


@both_forms
@pytest.mark.parametrize(("when", "ends"), [("after", True), ("before", False)])
def test_a_change_that_may_have_been_applied_ends_the_records(
    call: Form, workers: Workers, when: Any, ends: bool
) -> None:
    call(workers.known().get_all_experiment_conditions)
    error = httpx.ReadTimeout if when == "after" else httpx.ConnectError
    workers.server.lose_next("init", when, error)
    with pytest.raises(UpgradeApiError):
        call(workers.client().init, {"class": ["class-1"]})
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 1 + ends


@both_forms
def test_aliases_that_may_have_been_linked_end_the_records(call: Form, workers: Workers) -> None:
    call(workers.known().get_all_experiment_conditions)
    workers.server.lose_next("useraliases", "after")
    with pytest.raises(UpgradeApiError):
        call(workers.client().set_alt_user_ids, ["alias"])
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 2


@pytest.mark.parametrize("method", ["init", "set_alt_user_ids"])
def test_a_change_that_is_cancelled_ends_the_records(workers: Workers, method: str) -> None:
    workers.known().get_all_experiment_conditions_sync()
    endpoint = {"init": "init", "set_alt_user_ids": "useraliases"}[method]
    argument: Any = {"init": {"class": ["class-1"]}, "set_alt_user_ids": ["alias"]}[method]
    hold = workers.server.hold_next(endpoint, "after")

    async def scenario() -> None:
        changing = asyncio.ensure_future(getattr(workers.client(), method)(argument))
        await hold.wait_async()
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    workers.client().get_all_experiment_conditions_sync()
    assert workers.server.count("assign") == 2


# ---- Views, and forgetting ----


@both_forms
def test_a_view_knows_what_the_store_knows(call: Form, workers: Workers) -> None:
    call(workers.known().get_all_experiment_conditions)
    view = workers.client().with_options(timeout=5.0)
    assert call(view.get_decision_point_assignment, "single", "queue") is not None
    assert call(view.decide, "home", "banner").source is DecisionSource.CACHE
    assert workers.server.count("assign") == 1


@both_forms
def test_a_user_can_be_removed_from_the_store(call: Form, workers: Workers) -> None:
    call(workers.known().get_all_experiment_conditions)
    sent = len(workers.server.sent)
    call(workers.connection().forget, "user")
    call(workers.connection().forget, "somebody else")
    assert len(workers.server.sent) == sent
    call(workers.client().get_all_experiment_conditions)
    assert workers.server.count("assign") == 2


@both_forms
def test_a_connection_without_a_store_has_nothing_to_forget(call: Form) -> None:
    call(UpgradeConnection("http://upgrade").forget, "user")
    with pytest.raises(ValueError, match="user_id"):
        call(UpgradeConnection("http://upgrade").forget, "")


@both_forms
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_decision_point_assignment", ("home", "banner")),
        ("get_all_experiment_conditions", ()),
        ("get_all_feature_flags", ()),
        ("decide", ("home", "banner")),
        ("decide_flag", ("new-dashboard",)),
    ],
)
def test_a_closed_client_is_not_served_from_the_store(
    call: Form, workers: Workers, method: str, arguments: tuple[str, ...]
) -> None:
    call(getattr(workers.known(), method), *arguments)
    client = workers.client()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        call(getattr(client, method), *arguments)
