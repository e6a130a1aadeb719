"""A user's aliases share the record of the user."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stores.support_stores import Kind, Time
from tests.support_forms import Form, both_forms
from tests.support_sharing import Workers, clock, kind, workers
from upgrade_client_lib import UpgradeClient, stores
from upgrade_client_lib._user.entry import Entry, encode
from upgrade_client_lib.types import ExperimentUser

__all__ = ["clock", "kind", "workers"]

QUEUE = ("single", "queue")


def condition(call: Form, client: UpgradeClient) -> str:
    assignment = call(client.get_decision_point_assignment, *QUEUE)
    assert assignment is not None
    code: str = assignment.get_condition()
    return code


def linked(workers: Workers) -> None:
    """Have aliases that no worker has heard of."""
    truth = workers.truth()
    truth.init_sync()
    truth.set_alt_user_ids_sync(["alias", "second"])


def mark(call: Form, client: UpgradeClient, code: str) -> None:
    call(client.mark_decision_point, *QUEUE, code, "condition applied")


@both_forms
def test_aliases_that_a_worker_linked_share_the_record(call: Form, workers: Workers) -> None:
    client = workers.known()
    call(client.set_alt_user_ids, ["alias", "second"])
    first = condition(call, client)
    assert condition(call, workers.client("alias")) == first
    mark(call, workers.client("second"), first)
    second = condition(call, workers.client("alias"))
    assert second != first
    assert condition(call, workers.client()) == second
    assert workers.server.count("assign") == 1


@both_forms
def test_linking_through_an_alias_is_linking_to_the_root(call: Form, workers: Workers) -> None:
    call(workers.known().set_alt_user_ids, ["alias"])
    call(workers.client("alias").set_alt_user_ids, ["second"])
    condition(call, workers.client("second"))
    condition(call, workers.client())
    assert workers.server.count("assign") == 1


@both_forms
@pytest.mark.parametrize("learned_from", ["init", "mark"])
def test_an_alias_is_learned_from_what_the_server_answers(
    call: Form, workers: Workers, learned_from: str
) -> None:
    linked(workers)
    alias = workers.client("alias")
    if learned_from == "init":
        call(alias.init)
    else:
        call(alias.mark_decision_point, "home", "none", None, "no condition assigned")
    for _ in range(4):
        for user_id in ("user", "alias"):
            client = workers.client(user_id)
            code = condition(call, client)
            assert code == condition(call, workers.truth())
            mark(call, client, code)
    assert workers.server.count("assign") <= 3


@both_forms
def test_a_living_client_of_an_alias_learns_it_too(call: Form, workers: Workers) -> None:
    client = workers.known()
    alias = workers.client("alias")
    call(workers.known().set_alt_user_ids, ["alias"])
    for one in (client, alias) * 4:
        code = condition(call, one)
        assert code == condition(call, workers.truth())
        mark(call, one, code)


@both_forms
@pytest.mark.parametrize("method", ["set_group_membership", "set_working_group"])
def test_a_change_of_groups_through_an_alias_is_one_of_the_user(
    call: Form, workers: Workers, method: str
) -> None:
    groups, working = {"class": ["class-1"]}, {"class": "class-1"}
    call(workers.known().init, groups, working)
    call(workers.client().set_alt_user_ids, ["alias"])
    if method == "set_group_membership":
        groups = {"class": ["class-2"]}
        changed = call(workers.client("alias").set_group_membership, groups)
    else:
        working = {"class": "class-2"}
        changed = call(workers.client("alias").set_working_group, working)
    assert changed.id == "user"
    assert call(workers.truth().init) == ExperimentUser("user", groups, working)
    stated = workers.client("alias", group=groups, working_group=working)
    sent = workers.server.count("init")
    call(stated.get_all_feature_flags)
    assert workers.server.count("init") == sent


@both_forms
@pytest.mark.parametrize("user_id", ["user", "alias"])
def test_removing_a_user_removes_what_leads_to_them(call: Form, kind: Kind, user_id: str) -> None:
    workers = Workers(kind)
    client = workers.known()
    call(client.set_alt_user_ids, ["alias", "second"])
    condition(call, workers.client("alias"))
    call(workers.connection().forget, user_id)
    store = kind.open()
    for name in ("user", "alias") if user_id == "alias" else ("user", "alias", "second"):
        assert store.get(f"https://upgrade.example.org {name}") is None
    assert condition(call, workers.client("second")) == condition(call, workers.client("alias"))


@both_forms
def test_what_leads_to_the_root_lasts_as_long_as_it_is_used(
    call: Form, clock: Time, tmp_path: Any
) -> None:
    store = stores.MemoryStore()
    workers = Workers(Kind("memory", lambda: store))
    call(workers.known().set_alt_user_ids, ["alias"])
    for _ in range(4):
        clock.let_pass(2_000)
        condition(call, workers.client("alias"))
    begun = workers.server.count("assign")
    condition(call, workers.client("user"))
    assert workers.server.count("assign") == begun


@both_forms
def test_links_that_lead_to_each_other_are_no_entries(call: Form, workers: Workers) -> None:
    workers.known()
    store = workers.kind.open()
    host = "https://upgrade.example.org"
    for one, other in (("user", "alias"), ("alias", "user")):
        key = f"{host} {one}"
        found = store.get(key)
        version = None if found is None else found[1]
        value = encode(Entry(root_key=f"{host} {other}", linked_at=9e9))
        assert store.replace(key, value, version, 600)
    for _ in range(3):
        condition(call, workers.client())
    assert workers.server.count("assign") <= 2
