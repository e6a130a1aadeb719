"""Marks that change what the server assigns, and marks of what it assigned before."""

from __future__ import annotations

import pytest

from tests.support_forms import Form, both_forms
from tests.support_marking import (
    APPLIED,
    NONE_ASSIGNED,
    NOT_APPLIED,
    Marking,
    both_ways,
    snapshot,
)
from tests.support_server import (
    Background,
    SteeredServer,
    When,
    client_of,
    initialised,
    local_upgrade,
)
from upgrade_client_lib import BadRequestError, RequestTimeoutError, UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

# ---- Marks that exclude the user ----


@both_forms
@both_ways
def test_a_mark_that_was_not_applied_excludes_the_user_from_the_whole_experiment(
    call: Form, mark: Marking
) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)

    mark(call, client, "pair", "one", NOT_APPLIED)

    assert call(client.get_decision_point_assignment, "pair", "one") is None
    assert call(client.get_decision_point_assignment, "pair", "two") is None
    assert call(client.get_decision_point_assignment, "home", "banner") is not None
    assert server.count("assign") == 2


@both_forms
@both_ways
def test_an_exclusion_makes_room_for_another_experiment_of_the_pool(
    call: Form, mark: Marking
) -> None:
    upgrade = LocalUpgrade()
    for name in ["one", "other"]:
        own_point = [("only", name)]
        upgrade.experiment("shared", "dp", conditions=[f"{name} code"], name=name, points=own_point)
    client = initialised(upgrade.transport)
    names = {"one", "other"}
    mine = snapshot(call, client, "shared", "dp").get_condition().partition(" ")[0]
    (others,) = names - {mine}
    assert call(client.get_decision_point_assignment, "only", others) is None

    mark(call, client, "shared", "dp", NOT_APPLIED)

    assert snapshot(call, client, "only", others).get_condition() == f"{others} code"
    assert snapshot(call, client, "shared", "dp").get_condition() == f"{others} code"
    assert call(client.get_decision_point_assignment, "only", mine) is None


@both_forms
def test_an_exclusion_that_the_server_refused_changes_nothing(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    before = call(client.get_all_experiment_conditions)
    server.answer("mark", {"message": "no"}, status=400)

    with pytest.raises(BadRequestError):
        call(client.mark_decision_point, "pair", "one", "left", NOT_APPLIED)

    assert call(client.get_all_experiment_conditions) == before
    assert server.count("assign") == 1


@both_forms
def test_an_exclusion_whose_answer_was_lost_is_asked_about(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    call(client.get_all_experiment_conditions)
    server.lose_next("mark", "after")

    with pytest.raises(RequestTimeoutError):
        call(client.mark_decision_point, "pair", "one", "left", NOT_APPLIED)

    assert call(client.get_decision_point_assignment, "pair", "two") is None
    assert server.count("assign") == 2


@both_forms
@pytest.mark.parametrize("order", ["load first", "mark first"])
def test_a_load_that_an_exclusion_crossed_is_not_kept(call: Form, order: str) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = initialised(server)
    call(client.get_all_experiment_conditions)
    load = server.hold_next("assign", "after")
    mark = server.hold_next("mark", "after")
    with Background(call) as background:
        loading = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        load.wait()
        marking = background.begin(client.mark_decision_point, "pair", "one", "left", NOT_APPLIED)
        mark.wait()
        for hold, ending in [(load, loading), (mark, marking)][
            :: 1 if order == "load first" else -1
        ]:
            hold.release()
            ending.result()

    assert call(client.get_decision_point_assignment, "pair", "one") is None
    assert call(client.get_decision_point_assignment, "pair", "two") is None


# ---- Snapshots ----


@both_forms
def test_a_snapshot_marks_what_it_shows_even_if_the_client_has_learned_another(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment(
        "room", "seat", conditions=["window", "aisle"], unit="group", group_type="class"
    )
    seats = {group: _seat(upgrade, call, group) for group in (f"class-{i}" for i in range(1, 9))}
    one, other = (
        next(group for group, code in seats.items() if code == seat) for seat in ("window", "aisle")
    )
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    call(client.init, group={"class": [one, other]}, working_group={"class": one})
    old = snapshot(call, client, "room", "seat")
    call(client.set_working_group, {"class": other})
    assert snapshot(call, client, "room", "seat").get_condition() == "aisle"

    call(old.mark_decision_point, APPLIED)

    (body,) = server.bodies("mark")
    assert body["data"]["assignedCondition"] == {
        "conditionCode": "window",
        "experimentId": old.experiment_id,
        "id": old.condition_id,
    }
    assert server.count("assign") == 2
    assert snapshot(call, client, "room", "seat").get_condition() == "aisle"


def _seat(upgrade: LocalUpgrade, call: Form, group: str) -> str:
    client = client_of(upgrade.transport)
    call(client.init, group={"class": [group]}, working_group={"class": group})
    return snapshot(call, client, "room", "seat").get_condition()


@both_forms
def test_a_snapshot_of_an_experiment_that_the_user_left_is_the_servers_to_judge(
    call: Form,
) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment("a", "b", conditions=["old"], include={"class": ["class-1"]}, name="old")
    upgrade.experiment("a", "b", conditions=["new"], include={"class": ["class-2"]}, name="new")
    server = SteeredServer(upgrade.transport)
    client = client_of(server)
    call(client.init, group={"class": ["class-1"]})
    old = snapshot(call, client, "a", "b")
    call(client.set_group_membership, {"class": ["class-2"]})
    assert snapshot(call, client, "a", "b").get_condition() == "new"

    call(old.mark_decision_point, APPLIED)

    assert server.bodies("mark")[0]["data"]["assignedCondition"]["conditionCode"] == "old"
    assert snapshot(call, client, "a", "b").get_condition() == "new"
    assert server.count("assign") == 3  # what it marked is not what was known: all is asked for


# ---- Marks of what the client does not know ----


def two_that_share_a_point() -> tuple[SteeredServer, UpgradeClient, str]:
    """Experiments of which one is the user's; and a point at which only the other assigns."""
    upgrade = LocalUpgrade()
    for name in ["one", "other"]:
        points = [("shared", "dp")]
        upgrade.experiment("only", name, conditions=[f"{name} code"], name=name, points=points)
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    theirs = [
        name
        for name in ["one", "other"]
        if client.get_decision_point_assignment_sync("only", name) is None
    ]
    return server, client, theirs[0]


@both_forms
def test_a_mark_where_nothing_is_assigned_may_enrol_the_user_there(call: Form) -> None:
    server, client, theirs = two_that_share_a_point()

    call(client.mark_decision_point, "only", theirs, None, NONE_ASSIGNED)

    assert snapshot(call, client, "only", theirs).get_condition() == f"{theirs} code"
    assert snapshot(call, client, "shared", "dp").get_condition() == f"{theirs} code"
    assert server.count("assign") == 2


@both_forms
def test_marks_where_nothing_is_ever_assigned_ask_once_for_each_point(call: Form) -> None:
    server, client, theirs = two_that_share_a_point()
    server.answer(
        "mark",
        {
            "id": "1",
            "userId": "user",
            "site": "only",
            "target": theirs,
            "experimentId": "one that is over",
            "condition": None,
        },
    )

    for _ in range(3):
        for target in [theirs, "elsewhere"]:
            call(client.mark_decision_point, "only", target, None, NONE_ASSIGNED)
            assert call(client.get_decision_point_assignment, "only", target) is None

    assert server.count("assign") == 1 + 2


@both_forms
def test_marks_where_no_experiment_runs_ask_for_nothing(call: Form) -> None:
    server, client, _ = two_that_share_a_point()

    for _ in range(3):
        call(client.mark_decision_point, "nowhere", "at-all", None, NONE_ASSIGNED)
        assert call(client.get_decision_point_assignment, "shared", "dp") is not None

    assert server.count("assign") == 1


def adaptive() -> tuple[SteeredServer, UpgradeClient]:
    """An experiment that gives what was marked first, and until then anything."""
    upgrade = LocalUpgrade()
    points = [("lesson", "summary")]
    upgrade.experiment("lesson", "hint", conditions=["a", "b"], points=points, adaptive=True)
    server = SteeredServer(upgrade.transport)
    return server, initialised(server)


def other_than(condition: str) -> str:
    return {"a": "b", "b": "a"}[condition]


@both_forms
def test_an_adaptive_experiment_keeps_to_the_condition_that_was_marked(call: Form) -> None:
    server, client = adaptive()
    marked = other_than(snapshot(call, client, "lesson", "hint").get_condition())

    for _ in range(3):
        call(client.mark_decision_point, "lesson", "hint", marked, APPLIED)
        for target in ["hint", "summary"]:
            assert snapshot(call, client, "lesson", target).get_condition() == marked

    assert server.count("assign") == 2


@both_forms
def test_an_adaptive_experiment_keeps_to_the_snapshot_that_was_marked(call: Form) -> None:
    server, client = adaptive()
    old = snapshot(call, client, "lesson", "hint")
    while snapshot(call, client, "lesson", "hint") == old:
        call(client.get_all_experiment_conditions, ignore_cache=True)
    before = server.count("assign")

    call(old.mark_decision_point, APPLIED)

    assert snapshot(call, client, "lesson", "hint") == old
    assert server.count("assign") == before + 1


@both_forms
def test_marks_of_a_condition_that_the_server_does_not_keep_to_ask_once_each(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment("home", "banner", conditions={"control": 100, "a": 0, "b": 0})
    server = SteeredServer(upgrade.transport)
    client = initialised(server)

    for shown in ["a", "a", "a", "b", "b", "a", "a"]:
        call(client.mark_decision_point, "home", "banner", shown, APPLIED)
        assert snapshot(call, client, "home", "banner").get_condition() == "control"

    assert server.count("assign") == 1 + 3


@both_forms
def test_a_mark_of_another_condition_whose_fate_is_unknown_is_always_asked_about(
    call: Form,
) -> None:
    server, client = adaptive()
    assigned = snapshot(call, client, "lesson", "hint").get_condition()
    marked = other_than(assigned)

    for _ in range(2):
        before = server.count("assign")
        server.lose_next("mark", "before")
        with pytest.raises(RequestTimeoutError):
            call(client.mark_decision_point, "lesson", "hint", "neither", APPLIED)
        snapshot(call, client, "lesson", "hint")
        assert server.count("assign") == before + 1
    call(client.get_all_experiment_conditions, ignore_cache=True)
    call(client.mark_decision_point, "lesson", "hint", marked, APPLIED)

    assert snapshot(call, client, "lesson", "hint").get_condition() == marked


@both_forms
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_load_that_crossed_a_mark_of_another_condition_is_asked_again(
    call: Form, order: When
) -> None:
    server, client = adaptive()
    assigned = snapshot(call, client, "lesson", "hint").get_condition()
    load = server.hold_next("assign", order)
    with Background(call) as background:
        loading = background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        load.wait()
        call(client.mark_decision_point, "lesson", "hint", other_than(assigned), APPLIED)
        load.release()
        loading.result()

    for target in ["hint", "summary"]:
        assert snapshot(call, client, "lesson", target).get_condition() == other_than(assigned)


@both_forms
@pytest.mark.parametrize("name", ["code", "value", "", None])
def test_a_mark_with_what_is_assigned_or_with_nothing_asks_for_nothing(
    call: Form, name: str | None
) -> None:
    upgrade = LocalUpgrade()
    upgrade.experiment("home", "banner", conditions=["code"], payloads={"code": "value"})
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    assigned = snapshot(call, client, "home", "banner")

    call(client.mark_decision_point, "home", "banner", name, APPLIED)

    assert snapshot(call, client, "home", "banner") == assigned
    assert server.count("assign") == 1
