"""Users who are made known to the server when that is needed, with the groups that were stated."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import httpx
import pytest

from tests.support_calls import (
    COUNTED,
    HARMLESS,
    INIT,
    MARK,
    Operation,
    by_endpoint,
    upgrade_with_user,
)
from tests.support_clients import client_at
from tests.support_clock import MARGIN, taking
from tests.support_faulty_server import FaultyServer, never_answers
from tests.support_forms import Form, blocking, both_forms
from tests.support_server import Background, SteeredServer, client_of, local_upgrade
from upgrade_client_lib import (
    ConflictError,
    NoConnectionError,
    RequestTimeoutError,
    UpgradeClient,
    UpgradeConnection,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason

CLASS_1 = {"class": ["class-1"]}
IN_CLASS_1 = {"class": "class-1"}
CALLS = [*(operation for operation in HARMLESS if operation is not INIT), *COUNTED]


def through_client(local: LocalUpgrade, **groups: Any) -> UpgradeClient:
    return UpgradeClient("new", "http://upgrade", "my-app", transport=local.transport, **groups)


def through_connection(local: LocalUpgrade, **groups: Any) -> UpgradeClient:
    connection = UpgradeConnection("http://upgrade", transport=local.transport)
    return connection.client("new", "my-app", **groups)


both_makers = pytest.mark.parametrize("make", [through_client, through_connection])


def sent_to(local: LocalUpgrade) -> list[str]:
    return [request.endpoint for request in local.requests]


# ---- Whoever states groups ----


@both_forms
@both_makers
@pytest.mark.parametrize("operation", by_endpoint(CALLS))
def test_a_call_of_an_unknown_user_makes_them_known_and_goes_on(
    call: Form, make: Callable[..., UpgradeClient], operation: Operation
) -> None:
    local = upgrade_with_user()
    begun = len(local.requests)
    client = make(local, group=CLASS_1, working_group=IN_CLASS_1)
    try:
        operation.call(call, client)
    except ConflictError:
        assert operation.endpoint == "reward", "the user is known, and not enrolled"

    endpoint = operation.endpoint
    # A mark first asks for the ids of what is assigned.
    expected = ["assign", "init", "assign", "mark"] if operation is MARK else [endpoint, "init"]
    assert sent_to(local)[begun:][: len(expected)] == expected
    assert sent_to(local)[begun:].count("init") == 1
    assert local.requests[begun + 1].json == {"group": CLASS_1, "workingGroup": IN_CLASS_1}
    stored = call(through_client(local).init)
    if operation.endpoint not in ("groupmembership", "workinggroup"):
        assert (stored.group, stored.workingGroup) == (CLASS_1, IN_CLASS_1)


@both_forms
@both_makers
def test_a_user_who_has_no_groups_says_so(call: Form, make: Callable[..., UpgradeClient]) -> None:
    local = local_upgrade()
    assert call(make(local, group={}).decide, "home", "banner")
    assert sent_to(local) == ["assign", "init", "assign"]
    assert local.requests[1].json == {"group": {}}


@both_forms
def test_a_known_user_is_not_initialised_again(call: Form) -> None:
    local = upgrade_with_user()
    begun = len(local.requests)
    client = client_at(local, "user", group=CLASS_1)
    for operation in CALLS:
        operation.call(call, client)
    assert "init" not in sent_to(local)[begun:]


@both_forms
def test_a_user_whom_the_server_forgets_is_made_known_each_time(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group={})
    for _ in range(3):
        assert call(client.get_all_feature_flags, ignore_cache=True)
        local.reset()
    assert call(client.get_all_feature_flags, ignore_cache=True)
    assert sent_to(local) == ["featureflag", "init", "featureflag"]


@both_forms
def test_a_view_makes_its_user_known(call: Form) -> None:
    local = local_upgrade()
    view = client_at(local, group=CLASS_1).with_options(retries=0)
    assert call(view.decide, "home", "banner")
    assert sent_to(local) == ["assign", "init", "assign"]


@both_forms
def test_a_mark_of_a_decision_makes_its_user_known(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group={})
    decision = call(client.decide, "home", "footer")
    local.reset()
    assert call(decision.mark)
    assert sent_to(local) == ["mark", "init", "mark"]


@both_forms
def test_the_groups_are_a_copy_of_those_that_were_given(call: Form) -> None:
    local = local_upgrade()
    group = {"class": ["class-1"]}
    client = client_at(local, group=group)
    group["class"].append("class-2")
    call(client.decide, "home", "banner")
    assert local.requests[1].json["group"] == CLASS_1


# ---- Whoever does not ----


@both_forms
@both_makers
@pytest.mark.parametrize("operation", by_endpoint(CALLS))
def test_without_groups_nobody_is_initialised(
    call: Form, make: Callable[..., UpgradeClient], operation: Operation
) -> None:
    local = upgrade_with_user()
    begun = len(local.requests)
    with pytest.raises(UserNotInitializedError):
        operation.call(call, make(local))
    assert "init" not in sent_to(local)[begun:]


@both_makers
@pytest.mark.parametrize(
    ("groups", "kind", "said"),
    [
        ({"working_group": IN_CLASS_1}, ValueError, "working_group goes with group"),
        ({"working_group": {}}, ValueError, "working_group goes with group"),
        ({"group": ["class-1"]}, TypeError, "group must be a mapping"),
        ({"group": {"class": "class-1"}}, TypeError, r"group\['class'\] must be a list"),
        ({"group": {}, "working_group": "class-1"}, TypeError, "working_group must be a mapping"),
    ],
)
def test_wrong_groups_are_named(
    make: Callable[..., UpgradeClient], groups: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        make(LocalUpgrade(), **groups)


@both_forms
@pytest.mark.parametrize("stored", [True, False])
def test_session_groups_never_initialise(call: Form, stored: bool) -> None:
    local = local_upgrade()
    client = client_at(
        local, group={}, groups_for_session=CLASS_1, include_stored_user_groups=stored
    )
    decision = call(client.decide_flag, "new-dashboard")
    assert decision.reason is (DecisionReason.ERROR if stored else DecisionReason.ASSIGNED)
    assert sent_to(local) == ["featureflag"]


# ---- Many at once ----


def test_many_threads_make_one_init() -> None:
    server = SteeredServer(local_upgrade().transport)
    client = client_of(server, group=CLASS_1)
    start = threading.Barrier(24)

    def log() -> None:
        start.wait(10)
        metrics = {"attributes": {"totalTimeSeconds": 95}}
        client.log_sync([{"timestamp": "2025-01-01T00:00:00Z", "metrics": metrics}])

    with ThreadPoolExecutor(24) as threads:
        for logged in [threads.submit(log) for _ in range(24)]:
            logged.result()

    assert server.count("init") == 1


def test_many_tasks_make_one_init() -> None:
    async def scenario() -> None:
        marking = [
            client.mark_decision_point("home", "banner", None, "no condition assigned")
            for _ in range(24)
        ]
        await asyncio.gather(*marking, client.has_feature_flag("new-dashboard"))

    server = SteeredServer(local_upgrade().transport)
    client = client_of(server, group=CLASS_1)
    asyncio.run(scenario())

    assert server.count("init") == 1


@both_forms
def test_a_refusal_that_arrives_after_another_callers_init_needs_none(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = client_of(server, group=CLASS_1)
    hold = server.hold_next("assign", "after")
    with Background(call) as background:
        late = background.begin(client.decide, "home", "banner")
        hold.wait()
        assert call(client.has_feature_flag, "new-dashboard")
        hold.release()
        assert late.result().reason is DecisionReason.ASSIGNED

    assert server.count("init") == 1


@both_forms
def test_whoever_waits_for_an_init_that_fails_learns_why(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = client_of(server, group=CLASS_1).with_options(retries=0)
    hold = server.hold_next("init", error=httpx.ConnectError)
    with Background(call) as background:
        one = background.begin(client.decide, "home", "banner")
        hold.wait()
        other = background.begin(client.decide_flag, "new-dashboard")
        hold.release()
        errors = [one.result().error, other.result().error]

    assert isinstance(errors[0], NoConnectionError)
    assert errors[1] is None or isinstance(errors[1], NoConnectionError)


# ---- What replaces the groups ----


@both_forms
def test_an_explicit_init_replaces_what_was_stated(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group=CLASS_1, working_group=IN_CLASS_1)
    call(client.init, {"class": ["class-2"]}, {"class": "class-2"})
    local.reset()
    call(client.decide, "home", "banner")

    assert local.requests[1].json == {
        "group": {"class": ["class-2"]},
        "workingGroup": {"class": "class-2"},
    }


@both_forms
def test_an_init_without_groups_leaves_what_was_stated(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group=CLASS_1, working_group=IN_CLASS_1)
    call(client.init)
    local.reset()
    call(client.decide, "home", "banner")

    assert local.requests[1].json == {"group": CLASS_1, "workingGroup": IN_CLASS_1}


@both_forms
def test_a_change_of_groups_replaces_what_was_stated(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group=CLASS_1)
    call(client.set_group_membership, {"class": ["class-2"]})
    assert [request.json for request in local.requests if request.endpoint == "init"] == [
        {"group": {"class": ["class-2"]}}
    ]
    call(client.set_working_group, {"class": "class-2"})
    local.reset()
    call(client.decide, "home", "banner")
    assert local.requests[1].json == {
        "group": {"class": ["class-2"]},
        "workingGroup": {"class": "class-2"},
    }
    call(client.set_group_membership, None)
    local.reset()
    call(client.decide, "home", "banner")
    assert local.requests[1].json["group"] == {}


@both_forms
def test_a_change_that_fails_is_what_the_user_is_made_known_with_later(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local, group=CLASS_1).with_options(retries=0)
    local.down()
    with pytest.raises(NoConnectionError):
        call(client.init, {"class": ["class-2"]})
    local.up()
    call(client.decide, "home", "banner")
    assert local.requests[-2].json == {"group": {"class": ["class-2"]}}


@both_forms
def test_explicit_calls_state_nothing_for_whoever_stated_nothing(call: Form) -> None:
    local = local_upgrade()
    client = client_at(local)
    call(client.init, CLASS_1)
    local.reset()
    assert call(client.decide, "home", "banner").reason is DecisionReason.ERROR
    assert sent_to(local) == ["assign"]


# ---- Outages ----


@both_forms
def test_an_outage_at_sign_in_heals_at_the_next_page(call: Form) -> None:
    local = local_upgrade()
    connection = UpgradeConnection("http://upgrade", transport=local.transport, retries=0)

    def page() -> UpgradeClient:
        return connection.client("new", "my-app", group=CLASS_1, working_group=IN_CLASS_1)

    local.down()
    with pytest.raises(NoConnectionError):
        call(page().init)
    assert call(page().decide, "home", "banner").reason is DecisionReason.ERROR

    local.up()
    decision = call(page().decide, "home", "banner")
    assert decision.reason is DecisionReason.ASSIGNED
    assert call(decision.mark) is not None
    local.assert_marked("home", "banner", user="new", condition=decision.condition)


@both_forms
@pytest.mark.parametrize("operation", by_endpoint(COUNTED))
def test_an_init_that_fails_says_that_the_call_was_not_applied(
    call: Form, operation: Operation
) -> None:
    upgrade = upgrade_with_user()
    counted = len(upgrade.marks), len(upgrade.rewards)
    server = SteeredServer(upgrade.transport)
    connection = UpgradeConnection("http://upgrade", transport=server, retries=0)
    server.lose_next("init", "before")  # for a mark, that is when its ids are looked up
    server.lose_next("init", "before")
    with pytest.raises(RequestTimeoutError) as caught:
        operation.call(call, connection.client("new", "my-app", group={}))

    assert caught.value.endpoint == "POST /api/v6/init"
    assert not caught.value.may_have_been_applied
    assert (len(upgrade.marks), len(upgrade.rewards)) == counted


@both_forms
def test_a_user_who_stays_unknown_is_initialised_once(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    unknown = {"type": "Experiment user not defined", "message": "who?"}
    server.answer("featureflag", unknown, status=404)
    with pytest.raises(UserNotInitializedError):
        call(client_of(server, group={}).has_feature_flag, "new-dashboard")
    assert [sent.endpoint for sent in server.sent] == ["featureflag", "init", "featureflag"]


@pytest.mark.usefixtures("first_calls_made")
@both_forms
def test_making_a_user_known_takes_no_longer_than_the_call_may(call: Form) -> None:
    with (
        FaultyServer(local_upgrade(), init=never_answers) as server,
        UpgradeConnection(server.url, timeout=0.3) as connection,
    ):
        client = connection.client("new", "my-app", group={})
        with taking(0.3, 0.3 + MARGIN):
            decision = call(client.decide, "home", "banner")

    assert isinstance(decision.error, RequestTimeoutError)


@both_forms
def test_a_closed_client_makes_nobody_known(call: Form) -> None:
    server = SteeredServer(local_upgrade().transport)
    client = client_of(server, group={})
    hold = server.hold_next("featureflag", "after")
    with Background(blocking) as background:
        asking = background.begin(client.has_feature_flag, "new-dashboard")
        hold.wait()
        client.close()
        hold.release()
        with pytest.raises(RuntimeError, match="closed"):
            asking.result()
    assert server.count("init") == 0
