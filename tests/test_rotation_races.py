"""Marks that cross each other, or cross a load: no turn is lost or made twice."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest

from tests.support_forms import Form, blocking, both_forms, in_event_loop
from tests.support_marking import APPLIED
from tests.support_rotation import (
    POINTS,
    Scene,
    code_at,
    on_either_server,
    scripted,
    where_rotation_is_right,
)
from tests.support_server import Background, client_of
from upgrade_client_lib import BadRequestError, _api
from upgrade_client_lib._api import read_assignment

# ---- Marks side by side ----


@pytest.mark.parametrize("form", ["async", "sync"])
@where_rotation_is_right
def test_marks_of_20_threads_turn_20_times(form: str, version: str, rotation: str) -> None:
    scene = Scene(version, rotation=rotation)
    client = scene.client
    client.get_all_experiment_conditions_sync()
    start = threading.Barrier(20)

    def one(number: int) -> None:
        site, target = POINTS[number % 3]
        start.wait(10)
        assignment = client.get_decision_point_assignment_sync(site, target)
        assert assignment is not None
        if form == "sync":
            assignment.mark_decision_point_sync(APPLIED)
        else:
            asyncio.run(client.mark_decision_point(site, target, "first", APPLIED))

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(one, range(20)))

    assert len(scene.upgrade.marks) == 20
    assert scene.in_step(in_event_loop)
    assert scene.in_step(blocking)
    if rotation != "auto":
        assert scene.loads == 1


@where_rotation_is_right
def test_marks_of_20_tasks_turn_20_times(version: str, rotation: str) -> None:
    scene = Scene(version, rotation=rotation)
    client = scene.client

    async def scenario() -> None:
        await asyncio.gather(
            *(
                client.mark_decision_point(*POINTS[number % 3], "first", APPLIED)
                for number in range(20)
            )
        )

    asyncio.run(scenario())

    assert len(scene.upgrade.marks) == 20
    assert scene.in_step(blocking)
    if rotation != "auto":
        assert scene.loads == 1


@both_forms
@pytest.mark.parametrize("first", [0, 1])
def test_marks_that_overlap_turn_once_each_in_whatever_order_they_end(
    call: Form, first: int
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    holds = [scene.server.hold_next("mark", "after") for _ in range(2)]
    with Background(call) as background:
        marks: list[Any] = []
        for hold in holds:
            mark = background.begin(
                scene.client.mark_decision_point, "single", "queue", "first", APPLIED
            )
            hold.wait()
            marks.append(mark)
        holds[first].release()
        marks[first].result()
        assert code_at(call, scene.client, "single", "queue") == "second"
        holds[1 - first].release()
        marks[1 - first].result()

    assert code_at(call, scene.client, "single", "queue") == "third"
    assert scene.in_step(call)
    assert scene.loads == 1


# ---- Marks that cross a load ----

CROSSINGS = list(product(["before", "after"], ["before", "after"], ["load", "mark"]))
"""When the load and the mark are held, each before or after the server, and which ends first."""


@both_forms
@where_rotation_is_right
@pytest.mark.parametrize(("load_when", "mark_when", "first"), CROSSINGS)
@pytest.mark.parametrize("begun_first", ["load", "mark"])
@pytest.mark.parametrize("asked_first", ["one", "two"])
def test_a_mark_that_crosses_a_load(
    call: Form,
    version: str,
    rotation: str,
    load_when: Any,
    mark_when: Any,
    first: str,
    begun_first: str,
    asked_first: str,
) -> None:
    scene = Scene(version, rotation=rotation)
    client = scene.client
    old = call(client.get_decision_point_assignment, "twin", "one")
    load = scene.server.hold_next("assign", load_when)
    mark = scene.server.hold_next("mark", mark_when)
    with Background(call) as background:

        def begin_load() -> Any:
            begun = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
            load.wait()
            return begun

        def begin_mark() -> Any:
            begun = background.begin(old.mark_decision_point, APPLIED)
            mark.wait()
            return begun

        if begun_first == "load":
            loading, marking = begin_load(), begin_mark()
        else:
            marking, loading = begin_mark(), begin_load()
        endings = [(load, loading), (mark, marking)]
        for hold, ending in endings if first == "load" else reversed(endings):
            hold.release()
            ending.result()

    assert scene.in_step(call, ("twin", asked_first))
    assert scene.in_step(call)
    loads = scene.loads
    call(client.get_all_experiment_conditions)
    assert scene.loads == loads <= 3


@both_forms
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_a_load_that_begins_and_ends_during_a_mark(
    call: Form, version: str, mark_when: Any
) -> None:
    scene = Scene(version)
    call(scene.client.get_all_experiment_conditions)
    hold = scene.server.hold_next("mark", mark_when)
    with Background(call) as background:
        marking = background.begin(
            scene.client.mark_decision_point, "twin", "one", "first", APPLIED
        )
        hold.wait()
        call(scene.client.get_all_experiment_conditions, ignore_cache=True)
        hold.release()
        marking.result()

    assert scene.in_step(call)


@both_forms
@on_either_server
@pytest.mark.parametrize("load_when", ["before", "after"])
def test_marks_that_begin_and_end_during_a_load(call: Form, version: str, load_when: Any) -> None:
    scene = Scene(version)
    call(scene.client.get_all_experiment_conditions)
    hold = scene.server.hold_next("assign", load_when)
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions, ignore_cache=True)
        hold.wait()
        for _ in range(2):
            call(scene.client.mark_decision_point, "single", "queue", "first", APPLIED)
        hold.release()
        loading.result()

    assert scene.in_step(call)


@both_forms
@on_either_server
def test_a_reader_after_a_mark_does_not_join_a_load_from_before_it(
    call: Form, version: str
) -> None:
    scene = Scene(version)
    old = call(scene.client.get_decision_point_assignment, "single", "queue")
    call(scene.client.init)
    hold = scene.server.hold_next("assign", "after")
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions)
        hold.wait()
        call(old.mark_decision_point, APPLIED)
        assert code_at(call, scene.client, "single", "queue") == "second"
        hold.release()
        loading.result()

    assert scene.in_step(call)


@both_forms
def test_a_refused_mark_does_not_spoil_the_load_it_crosses(call: Form) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    hold = scene.server.hold_next("assign", "after")
    scene.upgrade.fail_next("mark", status=400)
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions, ignore_cache=True)
        hold.wait()
        with pytest.raises(BadRequestError):
            call(scene.client.mark_decision_point, "single", "queue", "first", APPLIED)
        hold.release()
        loading.result()

    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
@on_either_server
def test_a_mark_that_did_not_wait_for_the_load_and_its_ids(call: Form, version: str) -> None:
    scene = Scene(version)
    hold = scene.server.hold_next("assign", "after")
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions)
        hold.wait()
        hasty = scene.client.with_options(timeout=0.1)
        call(hasty.mark_decision_point, "twin", "one", "first", APPLIED)
        hold.release()
        loading.result()

    (body,) = scene.server.bodies("mark")
    assert body["data"]["assignedCondition"] == {"conditionCode": "first"}
    assert scene.in_step(call)


@both_forms
def test_a_load_that_a_mark_of_an_experiment_without_id_crossed_is_asked_about(call: Form) -> None:
    server = scripted({"conditionCode": "a"}, {"conditionCode": "b"})
    client = client_of(server)
    old = call(client.get_decision_point_assignment, "s", "t")
    hold = server.hold_next("assign", "after")
    with Background(call) as background:
        loading = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        hold.wait()
        call(old.mark_decision_point, APPLIED)
        hold.release()
        loading.result()

    call(client.get_decision_point_assignment, "s", "t")
    assert server.count("assign") == 3


@both_forms
def test_a_queue_that_turns_while_its_head_is_being_read(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_slowly(*arguments: Any) -> Any:
        monkeypatch.undo()
        read = read_assignment(*arguments)
        old.mark_decision_point_sync(APPLIED)
        return read

    scene = Scene()
    old = call(scene.client.get_decision_point_assignment, "single", "queue")
    call(scene.client.init)
    call(scene.client.get_decision_point_assignment, "home", "banner")
    monkeypatch.setattr(_api, "read_assignment", read_slowly)

    call(scene.client.get_decision_point_assignment, "single", "queue")

    assert len(scene.upgrade.marks) == 1
    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
def test_marks_of_between_subjects_experiments_cost_nothing_when_they_cross_a_load(
    call: Form,
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    load = scene.server.hold_next("assign")
    mark = scene.server.hold_next("mark")
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions, ignore_cache=True)
        load.wait()
        marking = background.begin(
            scene.client.mark_decision_point, "pair", "one", "right", APPLIED
        )
        mark.wait()
        load.release()
        loading.result()
        mark.release()
        marking.result()

    call(scene.client.get_all_experiment_conditions)
    assert scene.in_step(call, ("pair", "one"), ("pair", "two"))
    assert scene.loads == 2
