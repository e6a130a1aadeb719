"""Marks that fail: queues turn only where the server counted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support_forms import Form, blocking, both_forms, in_event_loop
from tests.support_marking import APPLIED, Marking, both_ways
from tests.support_rotation import Scene, code_at, on_either_server
from upgrade_client_lib import (
    BadRequestError,
    NoConnectionError,
    ServerError,
    UnreadableAnswerError,
    UpgradeApiError,
)


@both_forms
@both_ways
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 400}, BadRequestError),
        ({"status": 404}, BadRequestError),
        ({"status": 429}, UpgradeApiError),
    ],
)
def test_a_mark_that_the_server_refused_turns_nothing_and_costs_nothing(
    call: Form, mark: Marking, fault: dict[str, Any], expected: type[UpgradeApiError]
) -> None:
    scene = Scene()
    before = call(scene.client.get_all_experiment_conditions)
    scene.upgrade.fail_next("mark", **fault)

    with pytest.raises(expected):
        mark(call, scene.client.with_options(retries=0), "twin", "one", APPLIED)

    assert call(scene.client.get_all_experiment_conditions) == before
    assert scene.in_step(call)
    assert scene.loads == 1


@both_forms
@both_ways
def test_a_mark_that_never_reached_the_server_turns_nothing_and_costs_nothing(
    call: Form, mark: Marking
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.server.lose_next("mark", "before", httpx.ConnectError)

    with pytest.raises(NoConnectionError):
        mark(call, scene.client.with_options(retries=0), "twin", "one", APPLIED)

    assert scene.in_step(call)
    assert scene.loads == 1


@both_forms
@both_ways
@on_either_server
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError])
def test_a_mark_of_which_nobody_knows_whether_it_counted_is_asked_about(
    call: Form, mark: Marking, version: str, when: Any, error: type[httpx.TransportError]
) -> None:
    scene = Scene(version)
    call(scene.client.get_all_experiment_conditions)
    scene.server.lose_next("mark", when, error)

    with pytest.raises(UpgradeApiError) as caught:
        mark(call, scene.client, "twin", "one", APPLIED)

    assert caught.value.may_have_been_applied
    assert len(scene.upgrade.marks) == (when == "after")
    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
@both_ways
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_mark_that_broke_the_server_is_asked_about(
    call: Form, mark: Marking, status: int
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.upgrade.fail_next("mark", status=status)

    with pytest.raises(ServerError):
        mark(call, scene.client, "single", "queue", APPLIED)

    assert scene.server.count("mark") == 1
    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
@both_ways
def test_a_mark_with_an_answer_that_makes_no_sense_is_asked_about(
    call: Form, mark: Marking
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.server.answer("mark", ["?"])

    with pytest.raises(UnreadableAnswerError):
        mark(call, scene.client, "single", "queue", APPLIED)

    scene.server.forget_answers()
    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
@both_ways
def test_a_mark_that_was_sent_again_turns_once(call: Form, mark: Marking) -> None:
    scene = Scene()
    scene.server.lose_next("mark", "before", httpx.ConnectError)

    mark(call, scene.client, "single", "queue", APPLIED)

    assert scene.server.count("mark") == 2
    assert code_at(call, scene.client, "single", "queue") == "second"
    assert scene.in_step(call)
    assert scene.loads == 1


@on_either_server
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mark_that_was_cancelled_is_asked_about(version: str, when: Any) -> None:
    scene = Scene(version)
    hold = scene.server.hold_next("mark", when)

    async def scenario() -> None:
        await scene.client.get_all_experiment_conditions()
        marking = asyncio.ensure_future(
            scene.client.mark_decision_point("twin", "one", "first", APPLIED)
        )
        await hold.wait_async()
        marking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await marking

    asyncio.run(scenario())

    assert len(scene.upgrade.marks) == (when == "after")
    assert scene.in_step(in_event_loop)
    assert scene.in_step(blocking)
    assert scene.loads == 2


@both_forms
@on_either_server
def test_a_mark_whose_ids_could_not_be_fetched_leaves_nothing_of_the_experiment_unasked(
    call: Form, version: str
) -> None:
    scene = Scene(version)
    hasty = scene.client.with_options(retries=0)
    call(scene.client.mark_decision_point, "twin", "one", "first", APPLIED)
    scene.server.lose_next("assign", "before", httpx.ConnectError)

    call(hasty.mark_decision_point, "twin", "two", "first", APPLIED)

    sent = scene.server.bodies("mark")[1]["data"]["assignedCondition"]
    assert sent == {"conditionCode": "first"}
    assert scene.in_step(call)
