"""Marks beside what clears the cache: init and changes of groups, and snapshots from before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_forms import Form, both_forms
from tests.support_marking import APPLIED, Marking, both_ways
from tests.support_rotation import Scene, code_at, on_either_server
from tests.support_server import Background
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade


@both_forms
@both_ways
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_init_during_a_mark(call: Form, mark: Marking, version: str, mark_when: Any) -> None:
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


@both_forms
@on_either_server
def test_a_snapshot_from_before_init_turns_the_queue_that_is_known_now(
    call: Form, version: str
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


@both_forms
@on_either_server
def test_a_snapshot_from_before_a_group_change_leaves_client_and_server_in_step(
    call: Form, version: str
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


@both_forms
@on_either_server
@pytest.mark.parametrize("mark_when", ["before", "after"])
def test_a_point_that_became_a_queue_while_it_was_marked(
    call: Form, version: str, mark_when: Any
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
