"""Within-subjects queues: they turn with the server, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_forms import Form, both_forms
from tests.support_marking import APPLIED, Marking, both_ways
from tests.support_rotation import (
    Scene,
    code_at,
    on_either_server,
    scripted,
    where_rotation_is_right,
)
from tests.support_server import client_of
from upgrade_client_lib import UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade


def test_a_rotation_that_does_not_exist_is_a_value_error_that_lists_those_that_do() -> None:
    rotation: Any = "point"
    url = "https://upgrade.example.org"

    with pytest.raises(ValueError, match="'auto', 'decision_point', 'experiment'"):
        UpgradeClient("user", url, "my-app", rotation=rotation)
    with pytest.raises(ValueError, match="'auto', 'decision_point', 'experiment'"):
        UpgradeConnection(url).client("user", "my-app", rotation=rotation)


# ---- What it costs ----


@both_forms
@both_ways
@where_rotation_is_right
def test_a_queue_at_a_single_point_turns_without_asking(
    call: Form, mark: Marking, version: str, rotation: str
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


@both_forms
@both_ways
@pytest.mark.parametrize("rotation", ["auto", "decision_point", "experiment"])
def test_between_subjects_experiments_cost_nothing_however_many_points(
    call: Form, mark: Marking, rotation: str
) -> None:
    scene = Scene(rotation=rotation)
    before = call(scene.client.get_all_experiment_conditions)

    for point in [("home", "banner"), ("pair", "one"), ("pair", "two")] * 2:
        mark(call, scene.client, *point, APPLIED)

    assert call(scene.client.get_all_experiment_conditions) == before
    assert scene.loads == 1


@both_forms
@both_ways
@on_either_server
def test_auto_asks_for_the_experiments_other_points_before_they_are_next_used(
    call: Form, mark: Marking, version: str
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


@both_forms
@both_ways
@on_either_server
def test_auto_asks_once_for_all_when_all_are_asked_for(
    call: Form, mark: Marking, version: str
) -> None:
    scene = Scene(version)
    mark(call, scene.client, "twin", "one", APPLIED)

    found = call(scene.client.get_all_experiment_conditions)

    assert found == client_of(scene.upgrade.transport).get_all_experiment_conditions_sync()
    assert scene.in_step(call)
    assert scene.loads == 2


@both_forms
@both_ways
@pytest.mark.parametrize(
    ("version", "rotation"), [("6.5", "decision_point"), ("6.7", "experiment")]
)
def test_who_knows_the_server_saves_that_request(
    call: Form, mark: Marking, version: str, rotation: str
) -> None:
    scene = Scene(version, rotation=rotation)

    for point in [("twin", "one"), ("twin", "two"), ("twin", "one"), ("single", "queue")]:
        mark(call, scene.client, *point, APPLIED)
        assert scene.in_step(call)

    assert scene.loads == 1


@both_forms
@pytest.mark.parametrize(
    ("version", "rotation"), [("6.7", "decision_point"), ("6.5", "experiment")]
)
def test_who_is_wrong_about_the_server_is_out_of_step_until_it_is_asked(
    call: Form, version: str, rotation: str
) -> None:
    """So the two modes differ, and each is tied to its servers."""
    scene = Scene(version, rotation=rotation)
    call(scene.client.mark_decision_point, "twin", "one", "first", APPLIED)

    assert not scene.in_step(call)

    call(scene.client.get_all_experiment_conditions, ignore_cache=True)
    assert scene.in_step(call)


@both_forms
def test_views_turn_the_queues_of_their_client(call: Form) -> None:
    scene = Scene()
    view = scene.client.with_options(timeout=3.0)

    call(call(view.get_decision_point_assignment, "single", "queue").mark_decision_point, APPLIED)
    assert code_at(call, scene.client, "single", "queue") == "second"
    call(scene.client.mark_decision_point, "single", "queue", "second", APPLIED)
    assert code_at(call, view, "single", "queue") == "third"
    assert scene.loads == 1


# ---- What turns ----


@both_forms
@where_rotation_is_right
@pytest.mark.parametrize("order", ["random", "ordered round robin", "random round robin"])
def test_every_order_of_queue_turns_as_the_servers(
    call: Form, version: str, rotation: str, order: str
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


@both_forms
@both_ways
@where_rotation_is_right
def test_factors_turn_with_the_queue(
    call: Form, mark: Marking, version: str, rotation: str
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


@both_forms
def test_factors_that_are_fewer_than_the_queue_say_nothing_of_its_rest(call: Form) -> None:
    client = client_of(scripted("a", "b", "c", factors=[{"color": {"level": "red"}}]))

    factors: list[list[str]] = []
    for _ in range(4):
        assignment = call(client.get_decision_point_assignment, "s", "t")
        factors.append(assignment.factors)
        call(assignment.mark_decision_point, APPLIED)

    assert factors == [["color"], [], [], ["color"]]


@both_forms
@both_ways
def test_a_condition_in_the_queue_that_cannot_be_read_does_not_stop_it(
    call: Form, mark: Marking, caplog: pytest.LogCaptureFixture
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


@both_forms
@both_ways
def test_a_queue_whose_first_condition_cannot_be_read_turns_all_the_same(
    call: Form, mark: Marking
) -> None:
    server = scripted(None, "b", "c")
    client = client_of(server)

    assert call(client.get_decision_point_assignment, "s", "t") is None
    call(client.mark_decision_point, "s", "t", None, APPLIED)
    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "c"
    assert server.count("assign") == 1


@both_forms
@both_ways
@pytest.mark.parametrize("answered", [None, "another", "absent"])
def test_the_answers_experiment_decides_nothing(
    call: Form, mark: Marking, answered: str | None
) -> None:
    server = scripted("a", "b")
    answer = {"id": "i", "userId": "user", "site": "s", "target": "t", "condition": "b"}
    server.answer("mark", answer if answered == "absent" else {**answer, "experimentId": answered})
    client = client_of(server)

    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "b"
    assert server.count("assign") == 1


@both_forms
@both_ways
def test_a_queue_of_an_experiment_that_has_no_id_is_asked_for(call: Form, mark: Marking) -> None:
    server = scripted({"conditionCode": "a"}, {"conditionCode": "b"})
    client = client_of(server)

    mark(call, client, "s", "t", APPLIED)

    assert code_at(call, client, "s", "t") == "a"
    assert server.count("assign") == 2


@both_forms
@both_ways
@where_rotation_is_right
def test_marks_of_a_queue_without_a_target_count_where_the_server_counts_them(
    call: Form, mark: Marking, version: str, rotation: str
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
