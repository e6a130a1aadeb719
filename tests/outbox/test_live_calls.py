"""Live marks, logs and rewards of a user whose events wait: these are sent first."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.outbox.support_outbox import LOG, Served, decided, known_user, served
from tests.outbox.test_queues import Unlisted
from tests.support_clock import MARGIN, taking
from tests.support_forms import Form, both_forms
from tests.support_server import PATIENCE, Background
from upgrade_client_lib import (
    Decision,
    NotAuthorizedError,
    RequestTimeoutError,
    UpgradeApiError,
    UpgradeClient,
)
from upgrade_client_lib.stores import MemoryStore

__all__ = ["served"]


def live(call: Form, client: UpgradeClient, kind: str) -> Any:
    if kind == "mark":
        return call(client.mark_decision_point, "home", "banner", None, "condition applied")
    if kind == "log":
        return call(client.log, LOG)
    return call(client.send_reward, "SUCCESS", "an id")


kinds = pytest.mark.parametrize("kind", ["mark", "log", "reward"])


@both_forms
@kinds
def test_what_waits_is_sent_before_a_live_call(call: Form, served: Served, kind: str) -> None:
    served.server.answer("reward", {"message": "ok", "request": {}})
    client = known_user(served.connect())
    client.enqueue_reward_sync("FAILURE", "an earlier id")
    decided(client, "single", "queue").mark_sync()
    live(call, client, kind)
    sent = [sent.endpoint for sent in served.server.sent]
    written = [endpoint for endpoint in sent if endpoint in {"mark", "log", "reward"}]
    assert written == ["reward", "mark", kind]


@both_forms
def test_a_live_call_waits_for_an_event_that_is_being_sent(call: Form, served: Served) -> None:
    client = known_user(served.connect())
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    with Background(call) as background:
        marking = background.begin(
            client.mark_decision_point, "home", "footer", None, "no condition assigned"
        )
        time.sleep(0)
        assert served.server.count("mark") == 0
        hold.release()
        marking.result(PATIENCE)


@both_forms
@kinds
def test_a_live_call_fails_where_what_waits_cannot_be_sent(
    call: Form, served: Served, kind: str
) -> None:
    connection = served.connect()
    client = known_user(connection)
    decided(client)
    for endpoint in ["log", "assign"]:
        served.server.answer(endpoint, "wait", 401)
    client.enqueue_log_sync(LOG)
    before = served.server.count(kind)
    with pytest.raises(NotAuthorizedError, match="the outbox has an event") as no:
        live(call, client, kind)
    assert not no.value.may_have_been_applied
    assert no.value.attempts == 0
    if kind != "log":
        assert served.server.count(kind) == before


@both_forms
def test_a_live_call_fails_in_time_where_what_waits_takes_too_long(
    call: Form, served: Served
) -> None:
    client = known_user(served.connect())
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    with pytest.raises(RequestTimeoutError, match="the outbox has") as late:
        call(client.with_options(timeout=0.05).send_reward, "SUCCESS", "an id")
    assert not late.value.may_have_been_applied
    assert served.server.count("reward") == 0
    hold.release()


@both_forms
def test_other_users_are_not_waited_for(call: Form, served: Served) -> None:
    connection = served.connect()
    served.server.answer("log", "wait", 401)
    known_user(connection).enqueue_log_sync(LOG)
    other = known_user(connection, "other")
    call(other.mark_decision_point, "home", "footer", None, "no condition assigned")
    assert served.server.count("mark") == 1


@both_forms
def test_a_store_that_fails_does_not_keep_a_live_call_from_being_sent(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unlisted()
    served = Served(store)
    client = known_user(served.connect())
    store.fails = True
    call(client.mark_decision_point, "home", "footer", None, "no condition assigned")
    assert served.server.count("mark") == 1
    assert "the outbox's store failed" in caplog.text
    served.close()


def test_calls_in_an_event_loop_do_not_outlast_their_time_where_the_store_hangs() -> None:
    is_over = threading.Event()

    class HangingStore(MemoryStore):
        def line_events(self, *args: Any, **kwargs: Any) -> Any:
            is_over.wait(PATIENCE)
            return super().line_events(*args, **kwargs)

    served = Served(HangingStore())
    connection = served.connect()
    known_user(connection)
    client = connection.client("user", "my-app").with_options(timeout=0.2)

    async def log() -> None:
        with taking(0, MARGIN), pytest.raises(RequestTimeoutError, match="wait in the outbox"):
            await client.log(LOG)
        is_over.set()

    async def page() -> Decision:
        deciding = asyncio.ensure_future(client.decide("single", "queue"))
        deciding.add_done_callback(lambda _: is_over.set())
        return await deciding

    asyncio.run(log())
    assert served.server.count("log") == 0
    is_over.clear()
    with ThreadPoolExecutor(1) as thread, taking(0, MARGIN):
        assert isinstance(thread.submit(asyncio.run, page()).result(), Decision)
    served.close()


def test_a_live_call_that_is_cancelled_while_it_waits_sends_nothing(served: Served) -> None:
    client = known_user(served.connect())
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()

    async def scenario() -> None:
        reward = asyncio.ensure_future(client.send_reward("SUCCESS", "an id"))
        await asyncio.sleep(0)
        reward.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reward

    asyncio.run(scenario())
    hold.release()
    assert served.server.count("reward") == 0


def test_the_error_of_a_live_call_is_one_of_the_documented_tree(served: Served) -> None:
    client = known_user(served.connect())
    hold = served.server.hold_next("log")
    client.enqueue_log_sync(LOG)
    hold.wait()
    with pytest.raises(UpgradeApiError):
        client.with_options(timeout=0.01).log_sync(LOG)
    hold.release()
