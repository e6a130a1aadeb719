"""What users are shown while marks wait: the answered queue, advanced by the marks."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.outbox.support_outbox import (
    LOG,
    Served,
    counts_when,
    decided,
    known_user,
    said,
    served,
)
from tests.support_clock import MARGIN, taking, until
from tests.support_forms import Form, both_forms
from tests.support_server import PATIENCE, Background
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._rules import delivery
from upgrade_client_lib.stores import MemoryStore

__all__ = ["served"]


class Unlisted(MemoryStore):
    """A store of events that cannot list what stands in a line, for some time."""

    fails = False

    def line_events(self, *args: Any, **kwargs: Any) -> Any:
        if self.fails:
            raise OSError("the store is away")
        return super().line_events(*args, **kwargs)

    async def line_events_async(self, queue: str, line: str) -> Any:
        return self.line_events(queue, line)


@pytest.fixture
def paused(
    connection: UpgradeConnection, served: Served, monkeypatch: pytest.MonkeyPatch
) -> UpgradeConnection:
    """A connection whose outbox delivers nothing until it is flushed; users are answered."""
    monkeypatch.setattr(delivery, "PAUSES", (3600.0,))
    served.server.answer("log", "wait", 401)
    known_user(connection, "first of all").enqueue_log_sync(LOG)
    internals: Any = connection
    until(lambda: internals._server.outbox._deliverer.pausing_error is not None)
    return connection


@pytest.fixture(params=["alone", "with a store"])
def connection(request: pytest.FixtureRequest, served: Served) -> UpgradeConnection:
    store = MemoryStore() if request.param == "with a store" else None
    return served.connect(store=store)


@both_forms
def test_a_new_client_sees_the_queue_advanced_by_the_marks_that_wait(
    call: Form, served: Served, paused: UpgradeConnection
) -> None:
    connection = paused
    shown: list[str] = []
    known_user(connection)
    for _ in range(4):
        client = connection.client("user", "my-app", rotation="decision_point")
        decision = call(client.decide, "single", "queue")
        shown.append(decision.condition)
        call(decision.mark)
    assert shown == ["first", "second", "third", "first"]
    served.server.forget_answers()
    assert counts_when(connection) == {}
    assert served.conditions()[-4:] == shown
    fresh = connection.client("user", "my-app")
    assert call(fresh.decide, "single", "queue").condition == "second"


@both_forms
def test_the_documented_reads_see_the_same(
    call: Form, served: Served, paused: UpgradeConnection
) -> None:
    connection = paused
    client = known_user(connection)
    assignment = call(client.get_decision_point_assignment, "single", "queue")
    call(assignment.enqueue_mark, "condition applied")
    again = call(client.get_decision_point_assignment, "single", "queue")
    assert (assignment.get_condition(), again.get_condition()) == ("first", "second")
    every = call(connection.client("user", "my-app").get_all_experiment_conditions)
    (queue,) = [one for one in every if one.site == "single"]
    assert queue.get_condition() == "second"


@both_forms
def test_marks_of_other_users_and_contexts_advance_nothing(
    call: Form, served: Served, paused: UpgradeConnection
) -> None:
    connection = paused
    call(decided(known_user(connection), "single", "queue").mark)
    other = known_user(connection, "other")
    assert call(other.decide, "single", "queue").condition == "first"
    served.local.context("other-app")
    elsewhere = connection.client("user", "other-app")
    assert not call(elsewhere.decide, "single", "queue")


def test_a_mark_that_is_refused_has_the_queue_asked_for_anew(
    served: Served, connection: UpgradeConnection
) -> None:
    client = known_user(connection)
    served.server.answer("mark", said(400), 400)
    assert decided(client, "single", "queue").mark_sync() is not None
    assert counts_when(connection, "refused") == {"refused": 1}
    assert decided(client, "single", "queue").condition == "first"


def test_a_mark_that_is_undecided_has_the_queue_asked_for_anew(
    served: Served, connection: UpgradeConnection
) -> None:
    client = known_user(connection)
    served.server.lose_next("mark", "after")
    decided(client, "single", "queue").mark_sync()
    assert counts_when(connection, "undecided") == {"undecided": 1}
    assert decided(client, "single", "queue").condition == "second"


@both_forms
def test_a_page_during_a_delivery_has_the_answer_of_after_it(call: Form, served: Served) -> None:
    connection = served.connect()
    client = known_user(connection)
    delivery = served.server.hold_next("mark")
    decided(client, "single", "queue").mark_sync()
    delivery.wait()
    other = connection.client("user", "my-app")
    asked = served.server.count("assign")
    with Background(call) as background:
        page = background.begin(other.decide, "single", "queue")
        until(lambda: served.server.count("assign") > asked)
        delivery.release()
        assert page.result(PATIENCE).condition == "second"
    asked = served.server.count("assign")
    assert decided(other, "single", "queue").condition == "second"
    assert served.server.count("assign") == asked


@both_forms
def test_a_page_during_a_delivery_that_fails_sees_the_mark_that_waits_again(
    call: Form, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (3600.0,))
    connection = served.connect()
    client = known_user(connection)
    attempt = served.server.hold_next("mark", error=httpx.ConnectError)
    decided(client, "single", "queue").mark_sync()
    attempt.wait()
    asked = served.server.count("assign")
    with Background(call) as background:
        page = background.begin(connection.client("user", "my-app").decide, "single", "queue")
        until(lambda: served.server.count("assign") > asked)
        attempt.release()
        assert page.result(PATIENCE).condition == "second"
    assert served.conditions() == ["first"]


@both_forms
def test_a_page_during_a_long_delivery_waits_for_half_of_its_time(
    call: Form, served: Served
) -> None:
    connection = served.connect()
    client = known_user(connection)
    delivery = served.server.hold_next("mark")
    decided(client, "single", "queue").mark_sync()
    delivery.wait()
    page = connection.client("user", "my-app").with_options(timeout=1.0)
    with taking(0.5, MARGIN):
        assert call(page.decide, "single", "queue").condition == "first"
    with taking(0.0, MARGIN):
        assert call(page.decide, "home", "banner")
    delivery.release()
    assert connection.outbox.flush_sync(PATIENCE) == 0
    assert call(page.decide, "single", "queue").condition == "second"


@both_forms
def test_what_is_delivered_before_a_mark_does_not_hold_a_page_up(
    call: Form, served: Served
) -> None:
    connection = served.connect()
    client = known_user(connection)
    delivery = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    delivery.wait()
    decided(client, "single", "queue").mark_sync()
    asked = served.server.count("assign")
    page = connection.client("user", "my-app", rotation="decision_point")
    assert call(page.decide, "single", "queue").condition == "second"
    assert served.server.count("assign") == asked + 1
    delivery.release()
    assert connection.outbox.flush_sync(PATIENCE) == 0


def test_a_mark_that_excludes_leaves_its_experiment_open_until_it_is_delivered(
    served: Served,
    paused: UpgradeConnection,
) -> None:
    connection = paused
    client = known_user(connection)
    decided(client).mark_sync("condition not applied")
    asked = served.server.count("assign")
    for more in [1, 2]:
        decided(client)
        assert served.server.count("assign") >= asked + more
    served.server.forget_answers()
    assert counts_when(connection) == {}
    assert not decided(client)


@both_forms
def test_logs_and_marks_of_points_that_assign_nothing_change_nothing(
    call: Form, served: Served, paused: UpgradeConnection
) -> None:
    connection = paused
    client = known_user(connection)
    call(decided(client, "home", "footer").mark)
    call(client.enqueue_log, [{"timestamp": "2026-11-20", "metrics": {"attributes": {"a": 1}}}])
    fresh = connection.client("user", "my-app")
    assert call(fresh.decide, "single", "queue").condition == "first"
    asked = served.server.count("assign")
    assert call(fresh.decide, "single", "queue").condition == "first"
    assert served.server.count("assign") == asked


@both_forms
def test_while_the_store_of_events_fails_no_queue_is_kept(call: Form) -> None:
    store = Unlisted()
    served = Served(store)
    client = known_user(served.connect())
    store.fails = True
    asked = served.server.count("assign")
    for number in [1, 2]:
        assert call(client.decide, "single", "queue").condition == "first"
        assert call(client.decide, "home", "banner")
        assert served.server.count("assign") == asked + number
    store.fails = False
    call(client.decide, "single", "queue")
    call(client.decide, "single", "queue")
    assert served.server.count("assign") == asked + 3
    served.close()


@both_forms
def test_a_read_that_fails_leaves_the_marks_as_they_are(
    call: Form, served: Served, paused: UpgradeConnection
) -> None:
    connection = paused
    client = known_user(connection)
    call(decided(client, "single", "queue").mark)
    fresh = connection.client("user", "my-app")
    served.server.lose_next("assign", "before")
    served.server.lose_next("assign", "before")
    decision = call(fresh.decide, "single", "queue")
    assert decision.error is not None or decision.condition == "second"
    assert connection.outbox.counts_sync().get("undecided") is None
