"""Session groups: flags for groups that are never stored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_clients import client_at, initialised_at
from tests.support_exchanges import HOST, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    UpgradeConnection,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade

CLASS_1 = {"class": ["class-1"]}


@both_forms
def test_session_groups_alone_need_no_init(call: Form) -> None:
    local = school()
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)

    assert call(client.has_feature_flag, "for-class-1") is True
    assert call(client.has_feature_flag, "for-class-2") is False


@both_forms
def test_session_groups_alone_leave_the_stored_ones_out(call: Form) -> None:
    local = school()
    call(client_at(local).init, {"class": ["class-2"]})
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)

    assert call(client.has_feature_flag, "for-class-1") is True
    assert call(client.has_feature_flag, "for-class-2") is False


@both_forms
def test_session_groups_can_join_the_stored_ones(call: Form) -> None:
    local = school()
    call(client_at(local).init, {"class": ["class-2"]})
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=True)

    assert call(client.has_feature_flag, "for-class-1") is True
    assert call(client.has_feature_flag, "for-class-2") is True
    assert local.requests[-1].json == {
        "context": "my-app",
        "groupsForSession": CLASS_1,
        "includeStoredUserGroups": True,
    }


@both_forms
def test_session_groups_that_join_the_stored_ones_need_init(call: Form) -> None:
    client, server, recorded = playing(
        "featureflag_merged_not_initialised",
        groups_for_session=CLASS_1,
        include_stored_user_groups=True,
    )

    with pytest.raises(UserNotInitializedError):
        call(client.get_all_feature_flags)

    assert server.only.json == recorded.body


@both_forms
def test_session_groups_are_never_stored(call: Form) -> None:
    local = school()
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)
    call(client.get_all_feature_flags)

    assert call(client.init).group is None
    assert call(client_at(local).has_feature_flag, "for-class-1") is False


@both_forms
def test_a_change_of_session_groups_sends_nothing_and_clears_the_flags(call: Form) -> None:
    local = school()
    client = initialised_at(call, local)
    assert call(client.has_feature_flag, "for-class-1") is False
    call(client.get_all_experiment_conditions)
    before = len(local.requests)

    client.set_feature_flag_user_groups_for_session(CLASS_1, False)
    assert len(local.requests) == before

    assert call(client.has_feature_flag, "for-class-1") is True
    call(client.get_all_experiment_conditions)
    assert [request.endpoint for request in local.requests[before:]] == ["featureflag"]


@both_forms
def test_session_groups_can_be_dropped(call: Form) -> None:
    local = school()
    call(client_at(local).init)
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)
    assert call(client.has_feature_flag, "for-class-1") is True

    client.set_feature_flag_user_groups_for_session(None, None)

    assert call(client.has_feature_flag, "for-class-1") is False
    assert local.requests[-1].json == {"context": "my-app"}


@both_forms
def test_session_groups_stay_over_init(call: Form) -> None:
    local = school()
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)

    call(client.init, {"class": ["class-2"]})

    assert call(client.has_feature_flag, "for-class-1") is True
    assert call(client.has_feature_flag, "for-class-2") is False


@both_forms
def test_session_groups_are_those_that_were_given_then(call: Form) -> None:
    local = school()
    groups = {"class": ["class-1"]}
    client = client_at(local, groups_for_session=groups, include_stored_user_groups=False)

    groups["class"].append("class-2")

    assert call(client.has_feature_flag, "for-class-2") is False


@both_forms
def test_a_connection_gives_clients_with_session_groups(call: Form) -> None:
    local = school()
    with UpgradeConnection(HOST, transport=local.transport) as connection:
        client = connection.client(
            "u1", "my-app", groups_for_session=CLASS_1, include_stored_user_groups=False
        )

        assert call(client.has_feature_flag, "for-class-1") is True


@pytest.mark.parametrize(
    ("groups", "stored", "kind", "named"),
    [
        (CLASS_1, None, ValueError, "go together"),
        (None, True, ValueError, "go together"),
        (None, False, ValueError, "go together"),
        ({}, None, ValueError, "go together"),
        (CLASS_1, "yes", TypeError, "include_stored_user_groups must be True or False, not str"),
        (CLASS_1, 1, TypeError, "include_stored_user_groups must be True or False, not int"),
        (["class-1"], False, TypeError, "groups_for_session must be a mapping"),
        ({"class": "class-1"}, False, TypeError, r"groups_for_session\['class'\] must be a list"),
        ({"class": [""]}, False, ValueError, r"groups_for_session\['class'\]\[0\]"),
    ],
)
def test_session_groups_that_do_not_add_up_are_refused_and_change_nothing(
    groups: Any, stored: Any, kind: type[Exception], named: str
) -> None:
    local = school()
    client = client_at(local, groups_for_session=CLASS_1, include_stored_user_groups=False)
    assert client.has_feature_flag_sync("for-class-1") is True

    with pytest.raises(kind, match=named):
        client.set_feature_flag_user_groups_for_session(groups, stored)
    with pytest.raises(kind, match=named):
        client_at(local, groups_for_session=groups, include_stored_user_groups=stored)

    assert client.has_feature_flag_sync("for-class-1") is True
    assert asked(local) == 1


def school() -> LocalUpgrade:
    local = LocalUpgrade()
    local.flag("for-class-1", include={"class": ["class-1"]})
    local.flag("for-class-2", include={"class": ["class-2"]})
    return local


def asked(local: LocalUpgrade) -> int:
    return sum(request.endpoint == "featureflag" for request in local.requests)
