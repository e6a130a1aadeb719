"""Within-subjects queues: client and server stay at the same condition, whatever crosses what."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import httpx
import pytest

from tests.support_faces import FACES, Face, blocking, in_event_loop
from tests.support_server import (
    Background,
    SteeredServer,
    client_of,
    initialised,
    local_upgrade,
)
from tests.test_marks import Marking, both_ways
from upgrade_client_lib import (
    Assignment,
    BadRequestError,
    NoConnectionError,
    ServerError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeClient,
    _cache,
)
from upgrade_client_lib._answers import read_head
from upgrade_client_lib.testing import LocalUpgrade

both_faces = pytest.mark.parametrize("call", FACES)

APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
POINTS = [("single", "queue"), ("twin", "one"), ("twin", "two")]
RIGHT = [
    ("6.5", "auto"),
    ("6.7", "auto"),
    ("6.5", "decision_point"),
    ("6.7", "experiment"),
]
on_either_server = pytest.mark.parametrize("version", ["6.5", "6.7"])
where_rotation_is_right = pytest.mark.parametrize(("version", "rotation"), RIGHT)


class Scene:
    """A client, the server as it sees it, and the truth behind both."""

    def __init__(
        self, version: str = "6.5", upgrade: LocalUpgrade | None = None, **options: Any
    ) -> None:
        self.upgrade = upgrade or local_upgrade(version)
        self.server = SteeredServer(self.upgrade.transport)
        self.client = initialised(self.server, **options)

    def truth(self, site: str, target: str | None) -> Assignment | None:
        """What the server assigns, asked by somebody else."""
        return client_of(self.upgrade.transport).get_decision_point_assignment_sync(site, target)

    def in_step(self, call: Face, *points: tuple[str, str]) -> bool:
        """Whether client and server say the same of these points."""
        return all(
            call(self.client.get_decision_point_assignment, *point) == self.truth(*point)
            for point in points or POINTS
        )

    @property
    def loads(self) -> int:
        return self.server.count("assign")


def code_at(call: Face, client: UpgradeClient, site: str, target: str) -> str:
    assignment = call(client.get_decision_point_assignment, site, target)
    assert isinstance(assignment, Assignment)
    return assignment.get_condition()


def test_a_rotation_that_does_not_exist_is_a_value_error_that_lists_those_that_do() -> None:
    rotation: Any = "point"

    with pytest.raises(ValueError, match="'auto', 'decision_point', 'experiment'"):
        UpgradeClient("user", "https://upgrade.example.org", "my-app", rotation=rotation)


# ---- What it costs ----


@both_faces
@both_ways
@where_rotation_is_right
def test_a_queue_at_a_single_point_turns_without_asking(
    call: Face, mark: Marking, version: str, rotation: str
) -> None:
    scene = Scene(version, rotation=rotation)

    seen: list[str] = []
    for _ in range(7):
        seen.append(code_at(call, scene.client, "single", "queue"))
        mark(call, scene.client, "single", "queue", APPLIED)

    assert seen == ["first", "second", "third", "first", "second", "third", "first"]
    assert [one.condition for one in scene.upgrade.marks] == seen
    assert scene.loads == 1
    assert scene.in_step(call)


@both_faces
@both_ways
@pytest.mark.parametrize("rotation", ["auto", "decision_point", "experiment"])
def test_between_subjects_experiments_cost_nothing_however_many_points(
    call: Face, mark: Marking, rotation: str
) -> None:
    scene = Scene(rotation=rotation)
    before = call(scene.client.get_all_experiment_conditions)

    for point in [("home", "banner"), ("pair", "one"), ("pair", "two")] * 2:
        mark(call, scene.client, *point, APPLIED)

    assert call(scene.client.get_all_experiment_conditions) == before
    assert scene.loads == 1


@both_faces
@both_ways
@on_either_server
def test_auto_asks_for_the_experiments_other_points_before_they_are_next_used(
    call: Face, mark: Marking, version: str
) -> None:
    scene = Scene(version)

    mark(call, scene.client, "twin", "one", APPLIED)

    assert code_at(call, scene.client, "twin", "one") == "second"
    assert code_at(call, scene.client, "single", "queue") == "first"
    assert scene.loads == 1

    expected = "first" if version == "6.5" else "second"
    assert code_at(call, scene.client, "twin", "two") == expected
    assert scene.loads == 2

    assert scene.in_step(call)
    call(scene.client.get_all_experiment_conditions)
    assert scene.loads == 2


@both_faces
@both_ways
@on_either_server
def test_auto_asks_once_for_all_when_all_are_asked_for(
    call: Face, mark: Marking, version: str
) -> None:
    scene = Scene(version)
    mark(call, scene.client, "twin", "one", APPLIED)

    found = call(scene.client.get_all_experiment_conditions)

    assert found == client_of(scene.upgrade.transport).get_all_experiment_conditions_sync()
    assert scene.in_step(call)
    assert scene.loads == 2


@both_faces
@both_ways
@pytest.mark.parametrize(
    ("version", "rotation"), [("6.5", "decision_point"), ("6.7", "experiment")]
)
def test_who_knows_the_server_saves_that_request(
    call: Face, mark: Marking, version: str, rotation: str
) -> None:
    scene = Scene(version, rotation=rotation)

    for point in [("twin", "one"), ("twin", "two"), ("twin", "one"), ("single", "queue")]:
        mark(call, scene.client, *point, APPLIED)
        assert scene.in_step(call)

    assert scene.loads == 1


@both_faces
@pytest.mark.parametrize(
    ("version", "rotation"), [("6.7", "decision_point"), ("6.5", "experiment")]
)
def test_who_is_wrong_about_the_server_is_out_of_step_until_it_is_asked(
    call: Face, version: str, rotation: str
) -> None:
    """So the two modes differ, and each is tied to its servers."""
    scene = Scene(version, rotation=rotation)
    call(scene.client.mark_decision_point, "twin", "one", "first", APPLIED)

    assert not scene.in_step(call)

    call(scene.client.get_all_experiment_conditions, ignore_cache=True)
    assert scene.in_step(call)


@both_faces
def test_views_turn_the_queues_of_their_client(call: Face) -> None:
    scene = Scene()
    view = scene.client.with_options(timeout=3.0)

    call(call(view.get_decision_point_assignment, "single", "queue").mark_decision_point, APPLIED)
    assert code_at(call, scene.client, "single", "queue") == "second"
    call(scene.client.mark_decision_point, "single", "queue", "second", APPLIED)
    assert code_at(call, view, "single", "queue") == "third"
    assert scene.loads == 1


# ---- What turns ----


@both_faces
@where_rotation_is_right
@pytest.mark.parametrize("order", ["random", "ordered round robin", "random round robin"])
def test_every_order_of_queue_turns_as_the_servers(
    call: Face, version: str, rotation: str, order: str
) -> None:
    upgrade = LocalUpgrade(server=version)
    upgrade.experiment(
        "a",
        "b",
        conditions=["x", "y", "z"],
        unit="within-subjects",
        order=order,
        points=[("c", "d")],
    )
    scene = Scene(upgrade=upgrade, rotation=rotation)

    for site, target in [("a", "b"), ("a", "b"), ("c", "d"), ("a", "b"), ("c", "d")] * 2:
        code = code_at(call, scene.client, site, target)
        call(scene.client.mark_decision_point, site, target, code, APPLIED)
        assert scene.in_step(call, ("a", "b"), ("c", "d"))


@both_faces
@both_ways
@where_rotation_is_right
def test_factors_turn_with_the_queue(
    call: Face, mark: Marking, version: str, rotation: str
) -> None:
    upgrade = LocalUpgrade(server=version)
    upgrade.experiment(
        "a",
        "b",
        factors={"color": {"red": "#f00", "blue": ""}, "shape": ["circle", "square"]},
        unit="within-subjects",
        order="ordered round robin",
    )
    scene = Scene(upgrade=upgrade, rotation=rotation)

    levels: list[str] = []
    for _ in range(5):
        assignment = call(scene.client.get_decision_point_assignment, "a", "b")
        assert assignment == scene.truth("a", "b")
        levels.append(
            f"{assignment.get_factor_level('color')} {assignment.get_factor_level('shape')}"
        )
        mark(call, scene.client, "a", "b", APPLIED)

    assert levels == ["red circle", "red square", "blue circle", "blue square", "red circle"]
    assert scene.loads == 1


def scripted(*codes: object, factors: object = None, **fields: Any) -> SteeredServer:
    """A server whose one point has a queue of these codes, or of these raw conditions."""
    server = SteeredServer()
    conditions = [
        {"id": f"id-{code}", "conditionCode": code, "experimentId": "e"}
        if isinstance(code, str)
        else code
        for code in codes
    ]
    point = {"site": "s", "target": "t", "assignedCondition": conditions, "assignedFactor": factors}
    server.answer("assign", [{**point, **fields}])
    server.answer("mark", {"id": "i", "userId": "user", "site": "s"})
    return server


@both_faces
def test_factors_that_are_fewer_than_the_queue_say_nothing_of_its_rest(call: Face) -> None:
    client = client_of(scripted("a", "b", "c", factors=[{"color": {"level": "red"}}]))

    factors: list[list[str]] = []
    for _ in range(4):
        assignment = call(client.get_decision_point_assignment, "s", "t")
        factors.append(assignment.factors)
        call(assignment.mark_decision_point, APPLIED)

    assert factors == [["color"], [], [], ["color"]]


@both_faces
@both_ways
def test_a_condition_in_the_queue_that_cannot_be_read_does_not_stop_it(
    call: Face, mark: Marking, caplog: pytest.LogCaptureFixture
) -> None:
    server = scripted("a", {"id": 5}, "c")
    client = client_of(server)

    mark(call, client, "s", "t", APPLIED)
    for _ in range(2):
        assert call(client.get_decision_point_assignment, "s", "t") is None
        assert call(client.get_all_experiment_conditions) == []
    call(client.mark_decision_point, "s", "t", None, APPLIED)

    assert code_at(call, client, "s", "t") == "c"
    assert server.count("assign") == 1
    assert server.bodies("mark")[1]["data"]["assignedCondition"] == {
        "conditionCode": None,
        "experimentId": "e",
    }
    assert len(caplog.records) == 1


@both_faces
@both_ways
def test_a_queue_whose_first_condition_cannot_be_read_turns_all_the_same(
    call: Face, mark: Marking
) -> None:
    server = scripted(None, "b", "c")
    client = client_of(server)

    assert call(client.get_decision_point_assignment, "s", "t") is None
    call(client.mark_decision_point, "s", "t", None, APPLIED)
    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "c"
    assert server.count("assign") == 1


@both_faces
@both_ways
@pytest.mark.parametrize("answered", [None, "another", "absent"])
def test_the_answers_experiment_decides_nothing(
    call: Face, mark: Marking, answered: str | None
) -> None:
    server = scripted("a", "b")
    answer = {"id": "i", "userId": "user", "site": "s", "target": "t", "condition": "b"}
    server.answer("mark", answer if answered == "absent" else {**answer, "experimentId": answered})
    client = client_of(server)

    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "b"
    assert server.count("assign") == 1


@both_faces
@both_ways
def test_a_queue_of_an_experiment_that_has_no_id_is_asked_for(call: Face, mark: Marking) -> None:
    server = scripted({"conditionCode": "a"}, {"conditionCode": "b"})
    client = client_of(server)

    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "a"
    assert server.count("assign") == 2


@both_faces
@both_ways
@where_rotation_is_right
def test_marks_of_a_queue_without_a_target_count_where_the_server_counts_them(
    call: Face, mark: Marking, version: str, rotation: str
) -> None:
    upgrade = LocalUpgrade(server=version)
    upgrade.experiment(
        "a",
        None,
        conditions=["x", "y", "z"],
        unit="within-subjects",
        order="ordered round robin",
        points=[("a", "b")],
    )
    scene = Scene(upgrade=upgrade, rotation=rotation)

    for target in ["", "", "b", "", "b"]:
        mark(call, scene.client, "a", target, APPLIED)
        assert scene.in_step(call, ("a", ""), ("a", "b"))


# ---- Marks that fail ----


@both_faces
@both_ways
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 400}, BadRequestError),
        ({"status": 404}, BadRequestError),
        ({"status": 429}, UpgradeApiError),
        ({"status": 503, "headers": {"Retry-After": "9"}}, ServerError),
    ],
)
def test_a_mark_that_the_server_refused_turns_nothing_and_costs_nothing(
    call: Face, mark: Marking, fault: dict[str, Any], expected: type[UpgradeApiError]
) -> None:
    scene = Scene()
    before = call(scene.client.get_all_experiment_conditions)
    scene.upgrade.fail_next("mark", **fault)

    with pytest.raises(expected):
        mark(call, scene.client.with_options(retries=0), "twin", "one", APPLIED)

    assert call(scene.client.get_all_experiment_conditions) == before
    assert scene.in_step(call)
    assert scene.loads == 1


@both_faces
@both_ways
def test_a_mark_that_never_reached_the_server_turns_nothing_and_costs_nothing(
    call: Face, mark: Marking
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.server.lose_next("mark", "before", httpx.ConnectError)

    with pytest.raises(NoConnectionError):
        mark(call, scene.client.with_options(retries=0), "twin", "one", APPLIED)

    assert scene.in_step(call)
    assert scene.loads == 1


@both_faces
@both_ways
@on_either_server
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError])
def test_a_mark_of_which_nobody_knows_whether_it_counted_is_asked_about(
    call: Face, mark: Marking, version: str, when: Any, error: type[httpx.TransportError]
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


@both_faces
@both_ways
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_mark_that_broke_the_server_is_asked_about(
    call: Face, mark: Marking, status: int
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.upgrade.fail_next("mark", status=status)

    with pytest.raises(ServerError):
        mark(call, scene.client, "single", "queue", APPLIED)

    assert scene.server.count("mark") == 1
    assert scene.in_step(call)
    assert scene.loads == 2


@both_faces
@both_ways
def test_a_mark_with_an_answer_that_makes_no_sense_is_asked_about(
    call: Face, mark: Marking
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    scene.server.answer("mark", ["?"])

    with pytest.raises(UnreadableAnswerError):
        mark(call, scene.client, "single", "queue", APPLIED)

    scene.server.forget_answers()
    assert scene.in_step(call)
    assert scene.loads == 2


@both_faces
@both_ways
def test_a_mark_that_was_sent_again_turns_once(call: Face, mark: Marking) -> None:
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


@both_faces
@on_either_server
def test_a_mark_whose_ids_could_not_be_fetched_leaves_nothing_of_the_experiment_unasked(
    call: Face, version: str
) -> None:
    scene = Scene(version)
    hasty = scene.client.with_options(retries=0)
    call(scene.client.mark_decision_point, "twin", "one", "first", APPLIED)
    scene.server.lose_next("assign", "before", httpx.ConnectError)

    call(hasty.mark_decision_point, "twin", "two", "first", APPLIED)

    sent = scene.server.bodies("mark")[1]["data"]["assignedCondition"]
    assert sent == {"conditionCode": "first"}
    assert scene.in_step(call)


# ---- Marks side by side ----


@pytest.mark.parametrize("face", ["async", "sync"])
@where_rotation_is_right
def test_marks_of_20_threads_turn_20_times(face: str, version: str, rotation: str) -> None:
    scene = Scene(version, rotation=rotation)
    client = scene.client
    client.get_all_experiment_conditions_sync()
    start = threading.Barrier(20)

    def one(number: int) -> None:
        site, target = POINTS[number % 3]
        start.wait(10)
        assignment = client.get_decision_point_assignment_sync(site, target)
        assert assignment is not None
        if face == "sync":
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


@both_faces
@pytest.mark.parametrize("first", [0, 1])
def test_marks_that_overlap_turn_once_each_in_whatever_order_they_end(
    call: Face, first: int
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


@both_faces
@where_rotation_is_right
@pytest.mark.parametrize(("load_when", "mark_when", "first"), CROSSINGS)
@pytest.mark.parametrize("begun_first", ["load", "mark"])
@pytest.mark.parametrize("asked_first", ["one", "two"])
def test_a_mark_that_crosses_a_load(
    call: Face,
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


@both_faces
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_a_load_that_begins_and_ends_during_a_mark(
    call: Face, version: str, mark_when: Any
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


@both_faces
@on_either_server
@pytest.mark.parametrize("load_when", ["before", "after"])
def test_marks_that_begin_and_end_during_a_load(call: Face, version: str, load_when: Any) -> None:
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


@both_faces
@on_either_server
def test_a_reader_after_a_mark_does_not_join_a_load_from_before_it(
    call: Face, version: str
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


@both_faces
def test_a_refused_mark_does_not_spoil_the_load_it_crosses(call: Face) -> None:
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


@both_faces
@on_either_server
def test_a_mark_that_did_not_wait_for_the_load_and_its_ids(call: Face, version: str) -> None:
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


@both_faces
def test_a_load_that_a_mark_of_an_experiment_without_id_crossed_is_asked_about(call: Face) -> None:
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


@both_faces
def test_a_queue_that_turns_while_its_head_is_being_read(
    call: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_slowly(*arguments: Any) -> Any:
        monkeypatch.undo()
        read = read_head(*arguments)
        old.mark_decision_point_sync(APPLIED)
        return read

    scene = Scene()
    old = call(scene.client.get_decision_point_assignment, "single", "queue")
    call(scene.client.init)
    call(scene.client.get_decision_point_assignment, "home", "banner")
    monkeypatch.setattr(_cache, "read_head", read_slowly)

    call(scene.client.get_decision_point_assignment, "single", "queue")

    assert len(scene.upgrade.marks) == 1
    assert scene.in_step(call)
    assert scene.loads == 2


@both_faces
def test_marks_of_between_subjects_experiments_cost_nothing_when_they_cross_a_load(
    call: Face,
) -> None:
    scene = Scene()
    call(scene.client.get_all_experiment_conditions)
    load = scene.server.hold_next("assign")
    mark = scene.server.hold_next("mark")
    with Background(call) as background:
        loading = background.begin(scene.client.get_all_experiment_conditions, ignore_cache=True)
        load.wait()
        marking = background.begin(scene.client.mark_decision_point, "pair", "one", "left", APPLIED)
        mark.wait()
        load.release()
        loading.result()
        mark.release()
        marking.result()

    call(scene.client.get_all_experiment_conditions)
    assert scene.in_step(call, ("pair", "one"), ("pair", "two"))
    assert scene.loads == 2


# ---- Marks and what clears the cache ----


@both_faces
@both_ways
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_init_during_a_mark(call: Face, mark: Marking, version: str, mark_when: Any) -> None:
    scene = Scene(version)
    call(scene.client.get_all_experiment_conditions)
    hold = scene.server.hold_next("mark", mark_when)
    with Background(call) as background:
        marking = background.run(mark, call, scene.client, "twin", "one", APPLIED)
        hold.wait()
        call(scene.client.init)
        call(scene.client.get_all_experiment_conditions)
        hold.release()
        marking.result()

    assert scene.in_step(call)


@both_faces
@on_either_server
def test_a_snapshot_from_before_init_turns_the_queue_that_is_known_now(
    call: Face, version: str
) -> None:
    scene = Scene(version)
    old = call(scene.client.get_decision_point_assignment, "single", "queue")
    call(scene.client.init)
    assert code_at(call, scene.client, "single", "queue") == "first"

    call(old.mark_decision_point, APPLIED)
    call(old.mark_decision_point, APPLIED)

    assert code_at(call, scene.client, "single", "queue") == "third"
    assert scene.in_step(call)
    assert scene.loads == 2


@both_faces
@on_either_server
def test_a_snapshot_from_before_a_group_change_leaves_client_and_server_in_step(
    call: Face, version: str
) -> None:
    upgrade = LocalUpgrade(server=version)
    within: dict[str, Any] = {"unit": "within-subjects", "order": "ordered round robin"}
    for name in ["class-1", "class-2"]:
        include = {"class": [name]}
        codes = [f"{name} {letter}" for letter in "abc"]
        points = [("own", name)]
        upgrade.experiment(
            "s", "t", conditions=codes, include=include, name=name, points=points, **within
        )
    scene = Scene(upgrade=upgrade)
    call(scene.client.set_group_membership, {"class": ["class-1"]})
    old = call(scene.client.get_decision_point_assignment, "s", "t")
    call(scene.client.set_group_membership, {"class": ["class-2"]})
    assert code_at(call, scene.client, "s", "t") == "class-2 a"

    call(old.mark_decision_point, APPLIED)

    assert scene.in_step(call, ("s", "t"), ("own", "class-1"), ("own", "class-2"))


@both_faces
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_a_point_that_became_a_queue_while_it_was_marked(
    call: Face, version: str, mark_when: Any
) -> None:
    upgrade = LocalUpgrade(server=version)
    upgrade.experiment(
        "s",
        "t",
        conditions=["a", "b"],
        unit="within-subjects",
        order="ordered round robin",
        include={"class": ["class-1"]},
    )
    scene = Scene(upgrade=upgrade)
    assert call(scene.client.get_decision_point_assignment, "s", "t") is None
    mark = scene.server.hold_next("mark", mark_when)
    load = scene.server.hold_next("assign", "after")
    none = UpgradeClient.MARKED_DECISION_POINT_STATUS.NO_CONDITION_ASSIGNED
    with Background(call) as background:
        # The point is known to assign nothing, so the mark needs no ids.
        marking = background.begin(scene.client.mark_decision_point, "s", "t", None, none)
        mark.wait()
        call(scene.client.set_group_membership, {"class": ["class-1"]})
        loading = background.begin(scene.client.get_all_experiment_conditions)
        load.wait()
        mark.release()
        marking.result()
        load.release()
        loading.result()

    assert scene.in_step(call, ("s", "t"))
