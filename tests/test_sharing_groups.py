"""A stored record serves only the groups it was loaded under."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from tests.stores.support_stores import Time
from tests.support_forms import Form, both_forms
from tests.support_server import Background, local_upgrade
from tests.support_sharing import Workers, clock, kind
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason, DecisionSource

__all__ = ["clock", "kind"]

MAX_AGE = 300


def stating(workers: Workers, name: str, **options: Any) -> UpgradeClient:
    """A client for which a class was stated."""
    options = {"group": {"class": [name]}, "working_group": {"class": name}, **options}
    return workers.client(**options)


def upgrade_of_classes() -> LocalUpgrade:
    upgrade = local_upgrade()
    for name in ("class-1", "class-2"):
        upgrade.experiment(
            "room",
            name=name,
            conditions=[name],
            unit="group",
            group_type="class",
            include={"class": [name]},
        )
        upgrade.flag(name, include={"class": [name]})
    return upgrade


@pytest.fixture
def workers(kind: Any) -> Workers:
    return Workers(kind, upgrade_of_classes())


def room(call: Form, client: UpgradeClient) -> str:
    assignment = call(client.get_decision_point_assignment, "room")
    condition: str = "" if assignment is None else assignment.get_condition()
    return condition


@both_forms
def test_the_same_groups_are_stated_once(call: Form, workers: Workers) -> None:
    for _ in range(3):
        assert room(call, stating(workers, "class-1")) == "class-1"
        assert call(stating(workers, "class-1").has_feature_flag, "class-1")
    assert workers.sent() == ["init", "assign", "featureflag"]


@both_forms
def test_other_groups_are_initialised_once_before_the_first_call(
    call: Form, workers: Workers
) -> None:
    assert room(call, stating(workers, "class-1")) == "class-1"
    begun = len(workers.server.sent)
    for _ in range(2):
        client = stating(workers, "class-2")
        assert call(client.has_feature_flag, "class-2")
        assert room(call, client) == "class-2"
    assert workers.sent()[begun:] == ["init", "featureflag", "assign"]


@both_forms
def test_a_mark_that_comes_first_is_one_of_the_stated_groups(call: Form, workers: Workers) -> None:
    assignment = call(stating(workers, "class-1").get_decision_point_assignment, "home", "banner")
    begun = len(workers.server.sent)
    client = stating(workers, "class-2")
    call(client.mark_assignment, assignment, "condition applied")
    call(client.mark_assignment, assignment, "condition applied")
    assert workers.sent()[begun:] == ["init", "mark", "mark"]
    assert call(workers.truth().has_feature_flag, "class-2")


@both_forms
def test_a_call_that_comes_first_of_all_initialises_only_if_needed(
    call: Form, workers: Workers
) -> None:
    workers.truth("other").init_sync()
    assignment = call(workers.client("other").get_decision_point_assignment, "home", "banner")
    begun = len(workers.server.sent)
    client = stating(workers, "class-1", user_id="other")
    for _ in range(2):
        call(client.mark_assignment, assignment, "condition applied")
    assert workers.sent()[begun:] == ["mark", "mark"]


@both_forms
def test_if_initialising_fails_the_old_classs_condition_is_not_served(
    call: Form, workers: Workers
) -> None:
    assert room(call, stating(workers, "class-1")) == "class-1"
    workers.server.lose_next("init", "before", httpx.ConnectError)
    decision = call(stating(workers, "class-2").decide, "room", default="control")
    assert (decision.reason, decision.condition) == (DecisionReason.ERROR, "control")
    workers.server.lose_next("init", "after")
    assert call(stating(workers, "class-2").decide_flag, "class-1").reason is DecisionReason.ERROR


@both_forms
def test_an_initialising_that_may_have_been_applied_ends_the_records(
    call: Form, workers: Workers
) -> None:
    assert room(call, workers.known()) == ""
    assert room(call, stating(workers, "class-1")) == "class-1"
    workers.server.lose_next("init", "after")
    assert call(stating(workers, "class-2").decide, "room").reason is DecisionReason.ERROR
    assert room(call, workers.client()) == "class-2"


@both_forms
@pytest.mark.parametrize("stated", [{}, {"group": {}}])
def test_what_is_not_stated_is_not_compared(
    call: Form, workers: Workers, stated: dict[str, Any]
) -> None:
    call(workers.client().init, {}, {"class": "class-1"})
    for _ in range(2):
        room(call, workers.client(**stated))
    assert workers.sent() == ["init", "assign"]


@both_forms
def test_workers_that_state_different_groups_do_not_take_turns(
    call: Form, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="upgrade_client_lib")
    one, two = workers.connection(), workers.connection()
    for _ in range(4):
        for connection, name in ((one, "class-1"), (two, "class-2")):
            client = connection.client(
                "user", "my-app", group={"class": [name]}, working_group={"class": name}
            )
            call(client.get_decision_point_assignment, "room")
    assert workers.server.count("init") == 2
    assert workers.server.count("assign") == 2
    assert room(call, workers.client()) == "class-2"
    (said,) = caplog.messages
    assert "other groups were set for user 'user'" in said


@both_forms
def test_nor_do_they_if_they_begin_at_the_same_time(
    call: Form, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="upgrade_client_lib")
    hold = workers.server.hold_next("init", when="before")
    with Background(call) as background:
        first = background.begin(stating(workers, "class-1").get_decision_point_assignment, "room")
        hold.wait()
        room(call, stating(workers, "class-2"))
        hold.release()
        first.result()
    for _ in range(3):
        for name in ("class-2", "class-1"):
            room(call, stating(workers, name))
    assert workers.server.count("init") == 3
    assert room(call, workers.client()) == "class-1"
    assert "other groups were set for user 'user'" in caplog.text


@both_forms
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("init", ({"class": ["class-2"]}, {"class": "class-2"})),
        ("set_group_membership", ({"class": ["class-2"]},)),
    ],
)
def test_the_last_explicit_change_wins(
    call: Form, workers: Workers, method: str, arguments: Any
) -> None:
    room(call, stating(workers, "class-1"))
    call(getattr(workers.client(), method), *arguments)
    begun = len(workers.server.sent)
    for _ in range(2):
        assert call(stating(workers, "class-1").has_feature_flag, "class-2")
        assert call(stating(workers, "class-2").has_feature_flag, "class-2")
    assert workers.sent()[begun:] == ["featureflag"]
    call(workers.client().init, {"class": ["class-1"]}, {"class": "class-1"})
    assert room(call, stating(workers, "class-2")) == "class-1"


@both_forms
def test_the_client_that_changes_groups_states_them_from_then_on(
    call: Form, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    client = stating(workers, "class-1")
    assert room(call, client) == "class-1"
    call(client.set_group_membership, {"class": ["class-2"]})
    call(client.set_working_group, {"class": "class-2"})
    assert room(call, client) == "class-2"
    assert room(call, stating(workers, "class-2")) == "class-2"
    assert workers.server.count("init") == 1
    assert not caplog.messages


@both_forms
def test_groups_that_were_erased_are_known_to_be_none(call: Form, workers: Workers) -> None:
    room(call, stating(workers, "class-1"))
    call(workers.client().set_group_membership, None)
    begun = len(workers.server.sent)
    assert not call(workers.client(group={}).has_feature_flag, "class-1")
    assert workers.sent()[begun:] == ["featureflag"]


@both_forms
def test_changing_groups_before_anything_is_stored_says_what_is_known(
    call: Form, workers: Workers
) -> None:
    call(workers.truth().init, {"class": ["class-1"]}, {"class": "class-1"})
    call(workers.client().set_working_group, {"class": "class-2"})
    call(workers.client(group={"class": ["class-1"]}).get_all_feature_flags)
    assert workers.sent() == ["workinggroup", "featureflag"]


@both_forms
def test_linking_aliases_keeps_what_is_known_of_the_groups(call: Form, workers: Workers) -> None:
    call(workers.client().init, {"class": ["class-2"]}, {"class": "class-2"})
    call(workers.client().set_alt_user_ids, ["alias"])
    assert room(call, stating(workers, "class-1")) == "class-2"
    assert workers.server.count("init") == 1


@both_forms
def test_stale_records_serve_their_groups_alone(call: Form, workers: Workers, clock: Time) -> None:
    assert room(call, stating(workers, "class-1")) == "class-1"
    clock.let_pass(MAX_AGE + 1)
    workers.upgrade.down()
    assert call(stating(workers, "class-1").decide, "room").source is DecisionSource.STALE
    assert call(stating(workers, "class-2").decide, "room").reason is DecisionReason.ERROR


@both_forms
def test_an_init_repeated_by_a_user_whom_the_server_lost_keeps_the_records(
    call: Form, workers: Workers
) -> None:
    call(workers.client().init, {"class": ["class-1"]}, {"class": "class-1"})
    room(call, workers.client())
    workers.server.behind = upgrade_of_classes().transport
    call(stating(workers, "class-1").get_all_feature_flags)
    assert room(call, stating(workers, "class-1")) == "class-1"
    assert workers.sent() == ["init", "assign", "featureflag", "init", "featureflag"]


@both_forms
@pytest.mark.parametrize("first", [False, True])
def test_of_changes_that_overlap_nobody_knows_which_is_the_last(
    call: Form, workers: Workers, first: bool
) -> None:
    if not first:
        call(workers.client().init, {"class": ["class-3"]})
    hold = workers.server.hold_next("init", when="before")
    with Background(call) as background:
        changing = background.begin(
            workers.client().init, {"class": ["class-1"]}, {"class": "class-1"}
        )
        hold.wait()
        call(workers.client().init, {"class": ["class-2"]}, {"class": "class-2"})
        assert room(call, workers.client()) == "class-2"
        hold.release()
        changing.result()
    assert room(call, workers.client()) == "class-1"
    for _ in range(2):
        assert room(call, stating(workers, "class-2")) == "class-2"


@both_forms
def test_stated_groups_are_initialised_once_by_callers_at_the_same_time(
    call: Form, workers: Workers
) -> None:
    client = stating(workers, "class-1")
    hold = workers.server.hold_next("init")
    with Background(call) as background:
        getting = background.begin(client.get_decision_point_assignment, "room")
        hold.wait()
        deciding = background.begin(client.decide_flag, "class-1")
        hold.release()
        assert getting.result() is not None
        assert deciding.result().enabled
    assert workers.server.count("init") == 1
