"""Loads that are under way when what they load is cleared, or when a process forks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_children import FORK_WARNING, in_child, needs_fork
from tests.support_forms import Form, blocking, both_forms
from tests.support_marking import APPLIED
from tests.support_reads import Read, every_read
from tests.support_server import Background, SteeredServer, client_of, initialised, local_upgrade
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

# ---- What clears the cache while a load is under way ----


@both_forms
@every_read
@pytest.mark.parametrize("handled", ["before", "after"])
def test_an_answer_from_before_init_serves_its_caller_and_is_not_kept(
    call: Form, read: Read, handled: Any
) -> None:
    upgrade = LocalUpgrade()
    old, new = {"class": ["class-1"]}, {"class": ["class-2"]}
    upgrade.experiment("home", "banner", conditions=["old"], include=old, name="old")
    upgrade.experiment("home", "banner", conditions=["new"], include=new, name="new")
    upgrade.flag("old-dashboard", include=old)
    upgrade.flag("new-dashboard", include=new)
    server = SteeredServer(upgrade.transport)
    client = client_of(server)
    call(client.init, group=old)
    before = read.through(call, client_of(upgrade.transport))
    hold = server.hold_next(read.endpoint, handled)
    with Background(call) as background:
        loading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        call(client.init, group=new)
        if read.endpoint == "assign":  # flag requests of a user take turns
            assert read.through(call, client) != before
        hold.release()
        loaded = loading.result()

    after = read.through(call, client_of(upgrade.transport))
    assert (
        loaded
        == (before if handled == "after" else after)
        != (after if handled == "after" else before)
    )

    assert read.through(call, client) == after
    assert server.count(read.endpoint) == 2


@both_forms
@pytest.mark.parametrize(
    "method", ["set_group_membership", "set_working_group", "set_alt_user_ids"]
)
def test_an_answer_from_before_a_change_of_the_user_is_not_kept(
    server: SteeredServer, client: UpgradeClient, call: Form, method: str
) -> None:
    arguments: dict[str, object] = {
        "set_group_membership": {"class": ["class-1"]},
        "set_working_group": {"class": "class-1"},
        "set_alt_user_ids": ["alias"],
    }
    holds = [server.hold_next("assign", "after"), server.hold_next("featureflag", "after")]
    with Background(call) as background:
        loading = [
            background.begin(client.get_all_experiment_conditions),
            background.begin(client.get_all_feature_flags),
        ]
        for hold in holds:
            hold.wait()
        call(getattr(client, method), arguments[method])
        for hold in holds:
            hold.release()
        for load in loading:
            load.result()

    call(client.get_all_experiment_conditions)
    call(client.get_all_feature_flags)
    assert (server.count("assign"), server.count("featureflag")) == (2, 2)


@both_forms
def test_flags_from_before_a_change_of_session_groups_are_not_kept(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.flag("restricted", include={"class": ["class-1"]})
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    hold = server.hold_next("featureflag", "after")
    with Background(call) as background:
        loading = background.begin(client.has_feature_flag, "restricted")
        hold.wait()
        client.set_feature_flag_user_groups_for_session({"class": ["class-1"]}, False)
        hold.release()
        assert not loading.result()

    assert call(client.has_feature_flag, "restricted")
    assert server.count("featureflag") == 2


@both_forms
@every_read
def test_a_client_that_is_closed_during_a_load_keeps_nothing(
    server: SteeredServer, client: UpgradeClient, call: Form, read: Read
) -> None:
    hold = server.hold_next(read.endpoint, "after")
    with Background(call) as background:
        loading = background.begin(getattr(client, read.method), *read.arguments)
        hold.wait()
        client.close()
        hold.release()
        assert loading.result()

    with pytest.raises(RuntimeError, match="closed"):
        read.through(call, client)


# ---- Child processes ----


@needs_fork
@pytest.mark.filterwarnings(FORK_WARNING)
@pytest.mark.parametrize("under_way", ["mark", "assign"])
def test_a_child_is_not_bothered_by_what_its_parent_has_under_way(under_way: str) -> None:
    upgrade = local_upgrade()
    server = SteeredServer(upgrade.transport)
    client = initialised(server)
    client.get_all_experiment_conditions_sync()
    hold = server.hold_next(under_way)
    with Background(blocking) as background:
        begun = (
            background.begin(client.mark_decision_point, "single", "queue", "first", APPLIED)
            if under_way == "mark"
            else background.begin(client.get_all_experiment_conditions, ignore_cache=True)
        )
        hold.wait()
        said = in_child(lambda: _loads_for_reads(client, server))
        hold.release()
        begun.result()

    assert said == "1"


def _loads_for_reads(client: UpgradeClient, server: SteeredServer) -> int:
    """What the child does: one fresh read must keep all the next ones warm."""
    loads = server.count("assign")
    client.get_all_experiment_conditions_sync(ignore_cache=True)
    for _ in range(2):
        client.get_decision_point_assignment_sync("single", "queue")
        client.get_all_experiment_conditions_sync()
    return server.count("assign") - loads
