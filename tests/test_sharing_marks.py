"""A mark advances a within-subjects queue for all workers."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import httpx
import pytest

from tests.stores.support_stores import Kind, Time, memory
from tests.support_forms import Form, blocking, both_forms
from tests.support_reads import until_waiting
from tests.support_server import Background, local_upgrade
from tests.support_sharing import Workers, clock, kind, workers
from upgrade_client_lib import Assignment, ConflictError, UpgradeApiError, UpgradeClient
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.types import DecisionSource

__all__ = ["clock", "kind", "workers"]

QUEUE = ("single", "queue")
TWIN = ("twin", "one")
APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
MAX_AGE = 300


def at(call: Form, client: UpgradeClient, point: tuple[str, str] = QUEUE) -> Assignment:
    assignment = call(client.get_decision_point_assignment, *point)
    assert isinstance(assignment, Assignment)
    return assignment


def is_in_step(call: Form, workers: Workers) -> bool:
    found = call(workers.client().get_all_experiment_conditions)
    return bool(found == workers.truth().get_all_experiment_conditions_sync())


@both_forms
def test_the_next_condition_is_that_of_all_workers(call: Form, workers: Workers) -> None:
    living = workers.known()
    seen: list[str] = []
    for _ in range(6):
        seen.append(at(call, living).get_condition())
        call(at(call, workers.client()).mark_decision_point, APPLIED)
        assert is_in_step(call, workers)
    assert seen == ["first", "second", "third"] * 2
    assert workers.server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("version", ["6.5", "6.7"])
@pytest.mark.parametrize("rotation", ["auto", "right"])
def test_sister_points_are_those_of_all_workers(
    call: Form, kind: Kind, version: str, rotation: Any
) -> None:
    workers = Workers(kind, local_upgrade(version))
    if rotation == "right":
        rotation = {"6.5": "decision_point", "6.7": "experiment"}[version]
    workers.known()
    for point in (TWIN, ("twin", "two"), TWIN, TWIN):
        call(at(call, workers.client(rotation=rotation), point).mark_decision_point, APPLIED)
        assert is_in_step(call, workers)
    assert (workers.server.count("assign") == 1) == (rotation != "auto")


@both_forms
def test_marks_by_point_and_of_pickled_assignments_advance_it_too(
    call: Form, workers: Workers
) -> None:
    assignment = at(call, workers.known())
    call(workers.client().mark_decision_point, *QUEUE, "first", APPLIED)
    assert is_in_step(call, workers)
    call(workers.client().mark_assignment, assignment, APPLIED)
    assert is_in_step(call, workers)
    assert workers.server.count("assign") == 1


@both_forms
def test_decisions_follow_the_queue(call: Form, workers: Workers) -> None:
    living = workers.known()
    for code in ["first", "second", "third", "first"]:
        for client in (living, workers.client()):
            assert call(client.decide, *QUEUE).condition == code
        call(call(workers.client().decide, *QUEUE).mark)
    assert workers.server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("was_loaded", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("marker", ["a living client", "a new client"])
def test_a_mark_that_overlaps_a_load_of_another_worker_is_counted_once(
    call: Form, workers: Workers, was_loaded: bool, when: Any, marker: str
) -> None:
    living = workers.known()
    assignment = at(call, living)
    if not was_loaded:
        call(workers.connection().forget, "user")
    hold = workers.server.hold_next("assign", when)
    with Background(call) as background:
        loading = background.begin(
            workers.client().get_all_experiment_conditions, ignore_cache=True
        )
        hold.wait()
        client = living if marker == "a living client" else workers.client()
        call(client.mark_assignment, assignment, APPLIED)
        hold.release()
        loading.result()
    assert is_in_step(call, workers)


@both_forms
@pytest.mark.parametrize("was_loaded", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_during_a_mark_is_counted_once(
    call: Form, workers: Workers, was_loaded: bool, when: Any
) -> None:
    assignment = at(call, workers.known())
    if not was_loaded:
        call(workers.connection().forget, "user")
    hold = workers.server.hold_next("mark", when)
    with Background(call) as background:
        marking = background.begin(workers.client().mark_assignment, assignment, APPLIED)
        hold.wait()
        call(workers.client().get_all_experiment_conditions, ignore_cache=True)
        hold.release()
        marking.result()
    assert is_in_step(call, workers)


@both_forms
def test_a_mark_while_its_client_is_initialised_again_advances_the_queue(
    call: Form, workers: Workers
) -> None:
    client = workers.known()
    assignment = at(call, client)
    hold = workers.server.hold_next("mark", "after")
    with Background(call) as background:
        marking = background.begin(assignment.mark_decision_point, APPLIED)
        hold.wait()
        call(client.init)
        hold.release()
        marking.result()
    assert is_in_step(call, workers)
    assert workers.server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_mark_of_unknown_outcome_the_server_is_asked(
    call: Form, workers: Workers, when: Any
) -> None:
    assignment = at(call, workers.known())
    workers.server.lose_next("mark", when)
    with pytest.raises(UpgradeApiError):
        call(assignment.mark_decision_point, APPLIED)
    at(call, workers.client(), ("home", "banner"))
    assert workers.server.count("assign") == 1
    assert is_in_step(call, workers)
    assert workers.server.count("assign") == 2


@both_forms
def test_a_mark_that_was_refused_changes_nothing(call: Form, workers: Workers) -> None:
    assignment = at(call, workers.known())
    workers.upgrade.fail_next("mark", status=400)
    with pytest.raises(UpgradeApiError):
        call(assignment.mark_decision_point, APPLIED)
    assert is_in_step(call, workers)
    assert workers.server.count("assign") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_mark_that_was_cancelled_the_server_is_asked(workers: Workers, when: Any) -> None:
    client = workers.known()
    hold = workers.server.hold_next("mark", when)

    async def scenario() -> None:
        assignment = await client.get_decision_point_assignment(*QUEUE)
        assert assignment is not None
        marking = asyncio.ensure_future(assignment.mark_decision_point(APPLIED))
        await hold.wait_async()
        marking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await marking
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)
        found = await workers.client().get_decision_point_assignment(*QUEUE)
        truth = await workers.truth().get_decision_point_assignment(*QUEUE)
        assert found == truth

    asyncio.run(scenario())


class Held(MemoryStore):
    """A store whose next write waits."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: asyncio.Event | None = None
        self.go_on: asyncio.Event | None = None

    async def replace_async(self, key: str, value: bytes, version: int | None, ttl: float) -> bool:
        if self.begun is not None and self.go_on is not None:
            self.begun.set()
            await self.go_on.wait()
        return await super().replace_async(key, value, version, ttl)


def test_a_caller_that_is_cancelled_after_the_mark_does_not_lose_it_for_the_others() -> None:
    store = Held()
    workers = Workers(Kind("memory", lambda: store))
    client = workers.known()

    async def scenario() -> None:
        assignment = await client.get_decision_point_assignment(*QUEUE)
        assert assignment is not None
        store.begun, store.go_on = asyncio.Event(), asyncio.Event()
        marking = asyncio.ensure_future(assignment.mark_decision_point(APPLIED))
        await store.begun.wait()
        marking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await marking
        store.go_on.set()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    assert workers.client().decide_sync(*QUEUE).condition == "second"
    assert workers.server.count("assign") == 1


@both_forms
def test_whoever_leaves_an_experiment_has_left_it_for_all(call: Form, workers: Workers) -> None:
    assignment = at(call, workers.known(), ("home", "banner"))
    call(assignment.mark_decision_point, "condition not applied")
    assert call(workers.client().get_decision_point_assignment, "home", "banner") is None
    assert is_in_step(call, workers)


@both_forms
@pytest.mark.parametrize("kept", [True, False])
def test_the_same_mark_again_is_news_to_nobody(
    call: Form, workers: Workers, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    if not kept:
        monkeypatch.setattr("upgrade_client_lib._user.sharing.MAX_LAST_MARKED", 1)
    workers.known()
    others = {
        ("home", "banner"): {"control": "treatment", "treatment": "control"},
        ("pair", "one"): {"left": "right", "right": "left"},
    }
    for _ in range(3):
        for point, other in others.items():
            client = workers.client()
            code = other[at(call, client, point).get_condition()]
            call(client.mark_decision_point, *point, code, APPLIED)
            at(call, workers.client(), point)
    assert (workers.server.count("assign") == 3) == kept


@both_forms
def test_a_users_ordinary_marks_write_nothing(call: Form) -> None:
    store = MemoryStore()
    workers = Workers(Kind("memory", lambda: store))
    assignment = at(call, workers.known(), ("home", "banner"))
    before = store.get("https://upgrade.example.org user")
    call(assignment.mark_decision_point, APPLIED)
    assert store.get("https://upgrade.example.org user") == before


# ---- What rests on a stale answer ----


def stale(call: Form, workers: Workers, clock: Time, point: tuple[str, str] = QUEUE) -> Any:
    call(workers.known().decide, *point)
    clock.let_pass(MAX_AGE + 1)
    workers.server.lose_next("assign", "before", httpx.ConnectError)
    decision = call(workers.client().decide, *point)
    assert decision.source is DecisionSource.STALE
    return decision


@both_forms
def test_a_stale_decision_is_marked_if_the_server_assigns_the_same(
    call: Form, workers: Workers, clock: Time
) -> None:
    decision = stale(call, workers, clock)
    assert call(decision.mark) is not None
    assert workers.sent()[-2:] == ["assign", "mark"]
    assert is_in_step(call, workers)


@both_forms
def test_a_stale_assignment_is_marked_if_the_server_assigns_the_same(
    call: Form, workers: Workers, clock: Time
) -> None:
    decision = stale(call, workers, clock)
    assert call(decision.assignment.mark_decision_point, APPLIED) is not None
    assert is_in_step(call, workers)


@both_forms
def test_a_stale_assignment_is_marked_in_another_process_if_the_server_assigns_the_same(
    call: Form, workers: Workers, clock: Time
) -> None:
    unpickled = pickle.loads(pickle.dumps(stale(call, workers, clock).assignment))
    assert call(workers.client().mark_assignment, unpickled, APPLIED) is not None
    assert is_in_step(call, workers)


@both_forms
@pytest.mark.parametrize("how", ["rotated", "ended"])
def test_a_stale_decision_is_not_marked_if_the_server_assigns_another(
    call: Form, workers: Workers, clock: Time, how: str
) -> None:
    decision = stale(call, workers, clock)
    if how == "rotated":
        workers.truth().mark_decision_point_sync(*QUEUE, "first", APPLIED)
    else:
        workers.upgrade.exclude(users=["user"])
    assert call(decision.mark) is None
    with pytest.raises(ConflictError, match="not marked"):
        call(decision.assignment.mark_decision_point, APPLIED)
    unpickled = pickle.loads(pickle.dumps(decision.assignment))
    with pytest.raises(ConflictError, match="not marked"):
        call(workers.client().mark_assignment, unpickled, APPLIED)
    assert workers.server.count("mark") == 0
    assert is_in_step(call, workers)


@both_forms
def test_a_stale_decision_is_not_marked_while_the_server_cannot_be_asked(
    call: Form, workers: Workers, clock: Time
) -> None:
    decision = stale(call, workers, clock)
    workers.server.lose_next("assign", "before", httpx.ConnectError)
    assert call(decision.mark) is None
    assert workers.server.count("mark") == 0


@both_forms
def test_a_stale_default_is_not_marked(call: Form, workers: Workers, clock: Time) -> None:
    decision = stale(call, workers, clock, ("home", "none"))
    assert call(decision.mark) is None
    assert workers.server.count("mark") == 0


@both_forms
def test_a_mark_by_point_names_no_stale_ids(call: Form, workers: Workers, clock: Time) -> None:
    at(call, workers.known())
    clock.let_pass(MAX_AGE + 1)
    workers.server.lose_next("assign", "before", httpx.ConnectError)
    call(workers.client().mark_decision_point, *QUEUE, "first", APPLIED)
    (body,) = workers.server.bodies("mark")
    assert body["data"]["assignedCondition"].get("experimentId") is None


@both_forms
def test_a_point_that_is_invalidated_is_not_served_stale(
    call: Form, workers: Workers, clock: Time
) -> None:
    assignment = at(call, workers.known())
    workers.server.lose_next("mark", "after")
    with pytest.raises(UpgradeApiError):
        call(assignment.mark_decision_point, APPLIED)
    clock.let_pass(MAX_AGE + 1)
    workers.upgrade.down()
    assert call(workers.client().decide, *QUEUE).source is None
    assert call(workers.client().decide, "home", "banner").source is DecisionSource.STALE


# ---- Callers of one client ----


def test_a_caller_is_not_served_a_point_that_another_callers_answer_leaves_open(
    clock: Time,
) -> None:
    workers = Workers(memory())
    assignment = at(blocking, workers.known())
    workers.server.lose_next("mark", "after")
    with pytest.raises(UpgradeApiError):
        assignment.mark_decision_point_sync(APPLIED)
    clock.let_pass(MAX_AGE + 1)
    client = workers.client()
    hold = workers.server.hold_next("assign", error=httpx.ConnectError)
    workers.server.lose_next("assign", "before", httpx.ConnectError)

    async def scenario() -> list[DecisionSource | None]:
        first = asyncio.ensure_future(client.decide("home", "banner"))
        await hold.wait_async()
        second = asyncio.ensure_future(client.decide(*QUEUE))
        await until_waiting()
        hold.release()
        return [decision.source for decision in await asyncio.gather(first, second)]

    assert asyncio.run(scenario()) == [DecisionSource.STALE, None]
    assert workers.server.count("assign") == 3
