"""The user: initialising, groups, working group, aliases, and what each of them clears."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_clients import client_at
from tests.support_exchanges import HOST, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    ServerError,
    UpgradeApiError,
    UpgradeClient,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import ExperimentUser, UserAliases

GROUP = {"class": ["class-1", "class-2"], "school": ["school-1"]}
WORKING_GROUP = {"class": "class-1", "school": "school-1"}


# ---- What is sent, and what the answer becomes ----


@both_forms
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("init_minimal_new_user", {}),
        ("init_again_without_groups_returns_stored", {}),
        ("init_minimal_again", {}),
        ("init_with_groups", {"group": GROUP, "working_group": WORKING_GROUP}),
        ("init_group_only", {"group": {"class": ["class-9"]}}),
        ("init_working_group_only", {"working_group": {"class": "class-9"}}),
        ("init_group_empty_object", {"group": {}, "working_group": {}}),
        (
            "init_unicode_groups",
            {"group": {"class": ["été", "日本😀"]}, "working_group": {"class": "日本😀"}},
        ),
        (
            "init_unknown_group_type",
            {"group": {"planet": ["mars"]}, "working_group": {"planet": "mars"}},
        ),
        (
            "init_working_group_not_in_group",
            {"group": {"class": ["a"]}, "working_group": {"class": "zzz"}},
        ),
        ("init_nul_char_in_group", {"group": {"class": ["a\0b"]}}),
        ("alias_call_init", {}),
    ],
)
def test_init_sends_what_was_given_and_answers_the_stored_user(
    call: Form, name: str, arguments: dict[str, Any]
) -> None:
    client, server, recorded = playing(name)

    user = call(client.init, **arguments)

    assert (server.only.method, server.only.path) == ("POST", "/api/v6/init")
    assert server.only.json == recorded.body
    answered: Any = recorded.answer.body
    assert user == ExperimentUser(
        answered["id"], answered.get("group"), answered.get("workingGroup")
    )


@both_forms
@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("groupmembership_ok", {"class": ["class-1"], "school": ["s1", "s2"]}),
        ("groupmembership_empty_list", {"class": []}),
    ],
)
def test_group_membership_is_replaced(call: Form, name: str, group: dict[str, list[str]]) -> None:
    client, server, recorded = playing(name)

    user = call(client.set_group_membership, group)

    assert (server.only.method, server.only.path) == ("PATCH", "/api/v6/groupmembership")
    assert server.only.json == recorded.body
    assert user == ExperimentUser(recorded.user_id, group)


@both_forms
@pytest.mark.parametrize(
    ("name", "working_group"),
    [
        ("workinggroup_ok", {"class": "class-1"}),
        ("workinggroup_not_member", {"class": "not-in-group"}),
        ("workinggroup_empty_object", {}),
    ],
)
def test_working_group_is_replaced(call: Form, name: str, working_group: dict[str, str]) -> None:
    client, server, recorded = playing(name)

    user = call(client.set_working_group, working_group)

    assert (server.only.method, server.only.path) == ("PATCH", "/api/v6/workinggroup")
    assert server.only.json == recorded.body
    assert user == ExperimentUser(recorded.user_id, None, working_group)


@both_forms
@pytest.mark.parametrize(
    "name",
    ["useraliases_ok", "useraliases_repeat", "useraliases_unicode", "useraliases_empty_list"],
)
def test_aliases_are_linked_to_the_root_user(call: Form, name: str) -> None:
    client, server, recorded = playing(name)

    linked = call(client.set_alt_user_ids, recorded.body["aliases"])

    assert (server.only.method, server.only.path) == ("PATCH", "/api/v6/useraliases")
    assert server.only.json == recorded.body
    answered: Any = recorded.answer.body
    assert linked == UserAliases(answered["userId"], answered["aliases"])


@both_forms
def test_each_alias_is_sent_once_and_in_order(call: Form) -> None:
    # The server registered none of a list with a duplicate, and answered 200 all the same.
    client, server, recorded = playing("useraliases_duplicates")
    first, again, last = recorded.body["aliases"]
    assert first == again
    answered: Any = recorded.answer.body
    assert answered["aliases"] == []

    call(client.set_alt_user_ids, (last, first, last, first, last))

    assert server.only.json == {"aliases": [last, first]}


@both_forms
def test_aliases_with_a_duplicate_are_linked_all_the_same(call: Form) -> None:
    local = LocalUpgrade()
    client = client_at(local)
    call(client.init)

    assert call(client.set_alt_user_ids, ["b", "a", "b"]) == UserAliases("u1", ["b", "a"])
    assert call(client_at(local, "a").init).id == "u1"


@both_forms
@pytest.mark.parametrize(
    "name", ["useraliases_self", "useraliases_root_user", "useraliases_linked_to_other"]
)
def test_an_alias_that_is_taken_is_a_server_error(call: Form, name: str) -> None:
    client, _, recorded = playing(name)
    answered: Any = recorded.answer.body

    with pytest.raises(ServerError) as caught:
        call(client.set_alt_user_ids, recorded.body["aliases"])

    assert caught.value.message == answered["message"].replace("\n", "\\n")
    assert caught.value.status_code == 500


@both_forms
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("groupmembership_not_initialised", "set_group_membership"),
        ("useraliases_not_initialised", "set_alt_user_ids"),
    ],
)
def test_a_user_whom_the_server_does_not_know_is_told_to_call_init(
    call: Form, name: str, method: str
) -> None:
    client, _, recorded = playing(name)
    (argument,) = recorded.body.values()

    with pytest.raises(UserNotInitializedError, match=r"User not found: .*init\(\)"):
        call(getattr(client, method), argument)


@both_forms
def test_an_alias_speaks_for_its_root_user(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("for-class-1", include={"class": ["class-1"]})
    root, alias = client_at(local), client_at(local, "u1-tablet")
    call(root.init, {"class": ["class-1"]})
    call(root.set_alt_user_ids, ["u1-tablet"])

    assert call(alias.init) == ExperimentUser("u1", {"class": ["class-1"]})
    assert call(alias.has_feature_flag, "for-class-1") is True


@both_forms
def test_groups_that_an_alias_sets_are_those_of_its_root_user(call: Form) -> None:
    local = LocalUpgrade()
    root, alias = client_at(local), client_at(local, "u1-tablet")
    call(root.init, {"class": ["class-1"]}, {"class": "class-1"})
    call(root.set_alt_user_ids, ["u1-tablet"])

    assert call(alias.set_group_membership, {"class": ["class-2"]}).id == "u1"
    assert call(alias.set_working_group, {"class": "class-2"}).id == "u1"

    assert call(root.init) == ExperimentUser("u1", {"class": ["class-2"]}, {"class": "class-2"})


# ---- What a client knows of its user ----


@both_forms
def test_a_change_of_groups_answers_the_working_group_too(call: Form) -> None:
    client = client_at(LocalUpgrade())
    call(client.init, {"class": ["class-1"]}, {"class": "class-1"})

    user = call(client.set_group_membership, {"class": ["class-2"]})

    assert user == ExperimentUser("u1", {"class": ["class-2"]}, {"class": "class-1"})


@both_forms
def test_a_change_of_the_working_group_answers_the_groups_too(call: Form) -> None:
    client = client_at(LocalUpgrade())
    call(client.init, {"class": ["class-1"]}, {"class": "class-1"})

    user = call(client.set_working_group, {"class": "class-2"})

    assert user == ExperimentUser("u1", {"class": ["class-1"]}, {"class": "class-2"})


@both_forms
def test_one_change_after_another_is_known(call: Form) -> None:
    client = client_at(LocalUpgrade())
    call(client.init)
    call(client.set_group_membership, {"class": ["class-1"]})

    user = call(client.set_working_group, {"class": "class-1"})
    assert user == ExperimentUser("u1", {"class": ["class-1"]}, {"class": "class-1"})

    user = call(client.set_group_membership, None)
    assert user == ExperimentUser("u1", None, {"class": "class-1"})

    assert call(client.set_working_group, {}) == ExperimentUser("u1", None, {})


@both_forms
def test_init_answers_what_the_server_has_and_the_client_goes_by_that(call: Form) -> None:
    local = LocalUpgrade()
    call(client_at(local).init, {"class": ["class-1"]}, {"class": "class-1"})
    client = client_at(local)
    call(client.init, {"class": ["class-9"]})

    user = call(client.set_group_membership, {"class": ["class-2"]})

    assert user.workingGroup == {"class": "class-1"}


@both_forms
def test_what_another_client_changed_is_not_known_here(call: Form) -> None:
    local = LocalUpgrade()
    call(client_at(local).init, {"class": ["class-1"]}, {"class": "class-1"})
    client = client_at(local)

    assert call(client.set_group_membership, GROUP) == ExperimentUser("u1", GROUP)


@both_forms
def test_a_failed_change_leaves_what_is_known(call: Form) -> None:
    local = LocalUpgrade()
    client = client_at(local)
    call(client.init, {"class": ["class-1"]}, {"class": "class-1"})
    local.fail_next("workinggroup", status=500)

    with pytest.raises(ServerError):
        call(client.set_working_group, {"class": "class-2"})

    user = call(client.set_group_membership, {"class": ["class-3"]})
    assert user == ExperimentUser("u1", {"class": ["class-3"]}, {"class": "class-1"})


@both_forms
def test_none_erases_the_groups_and_leaving_them_out_keeps_them(call: Form) -> None:
    local = LocalUpgrade()
    client = client_at(local)
    call(client.init, {"class": ["class-1"]}, {"class": "class-1"})
    assert call(client.init).group == {"class": ["class-1"]}

    call(client.set_group_membership, None)

    assert local.requests[-1].json == {"group": None}
    assert call(client.init) == ExperimentUser("u1", None, {"class": "class-1"})


# ---- What is cached, and what clears it ----

CHANGES = pytest.mark.parametrize(
    ("endpoint", "method", "arguments"),
    [
        ("init", "init", []),
        ("groupmembership", "set_group_membership", [GROUP]),
        ("workinggroup", "set_working_group", [WORKING_GROUP]),
        ("useraliases", "set_alt_user_ids", [["b"]]),
    ],
)


@both_forms
@CHANGES
def test_a_change_of_the_user_clears_flags_and_assignments(
    call: Form, endpoint: str, method: str, arguments: list[Any]
) -> None:
    local = served()
    client = client_at(local)
    call(client.init)
    read_everything(call, client)
    read_everything(call, client)

    call(getattr(client, method), *arguments)
    read_everything(call, client)

    assert endpoints(local) == ["init", "assign", "featureflag", endpoint, "assign", "featureflag"]


@both_forms
@pytest.mark.parametrize("status", [400, 401, 500])
@CHANGES
def test_a_change_that_failed_keeps_the_last_good_state(
    call: Form, endpoint: str, method: str, arguments: list[Any], status: int
) -> None:
    local = served()
    client = client_at(local)
    call(client.init)
    before = read_everything(call, client)
    local.fail_next(endpoint, status=status)

    with pytest.raises(UpgradeApiError):
        call(getattr(client, method), *arguments)

    assert read_everything(call, client) == before
    assert endpoints(local) == ["init", "assign", "featureflag", endpoint]


@both_forms
@CHANGES
def test_a_change_during_an_outage_keeps_the_last_good_state(
    call: Form, endpoint: str, method: str, arguments: list[Any]
) -> None:
    local = served()
    client = client_at(local)
    call(client.init)
    before = read_everything(call, client)
    local.down()

    with pytest.raises(UpgradeApiError) as caught:
        call(getattr(client.with_options(retries=0), method), *arguments)

    assert str(caught.value.endpoint).endswith(f"/{endpoint}")
    assert read_everything(call, client) == before


@both_forms
def test_new_groups_decide_at_once(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("for-class-1", include={"class": ["class-1"]})
    local.experiment(
        "home",
        conditions=["treatment"],
        unit="group",
        group_type="class",
    )
    client = client_at(local)
    call(client.init)
    assert call(client.has_feature_flag, "for-class-1") is False
    assert call(client.get_decision_point_assignment, "home") is None

    call(client.set_group_membership, {"class": ["class-1"]})
    assert call(client.has_feature_flag, "for-class-1") is True

    call(client.set_working_group, {"class": "class-1"})
    assert call(client.get_decision_point_assignment, "home").get_condition() == "treatment"


def served() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions={"control": 50, "treatment": 50})
    local.flag("new-dashboard")
    return local


def read_everything(call: Form, client: UpgradeClient) -> list[object]:
    return [
        call(client.get_all_experiment_conditions),
        call(client.get_decision_point_assignment, "home", "banner"),
        call(client.get_all_feature_flags),
        call(client.has_feature_flag, "new-dashboard"),
    ]


def endpoints(local: LocalUpgrade) -> list[str]:
    return [request.endpoint for request in local.requests]


@both_forms
def test_a_caller_may_change_what_they_were_given(call: Form) -> None:
    client = UpgradeClient("user", HOST, "my-app", transport=LocalUpgrade().transport)
    expected = ExperimentUser("user", GROUP, WORKING_GROUP)

    for _ in range(2):
        given = [
            call(client.init, GROUP, WORKING_GROUP),
            call(client.set_group_membership, GROUP),
            call(client.set_working_group, WORKING_GROUP),
        ]
        assert given == [expected] * 3
        for user in given:
            user.group["class"].append("changed")
            user.workingGroup["class"] = "changed"
    again = call(client.set_working_group, WORKING_GROUP)

    assert again == expected
    assert call(client.set_group_membership, GROUP) == expected
