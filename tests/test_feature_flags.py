"""Feature flags: which are on, when the server is asked, and session groups."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support_clients import client_at, initialised_at
from tests.support_exchanges import Answer, ScriptedServer, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    ServerError,
    UnreadableAnswerError,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import FeatureFlag

CLASS_1 = {"class": ["class-1"]}


# ---- What is sent, and what the answer becomes ----


@both_forms
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("featureflag_plain", {}),
        ("featureflag_user_in_group", {}),
        ("featureflag_individual_include", {}),
        ("featureflag_excluded_user", {}),
        ("featureflag_empty_context", {"context": "empty-app"}),
        ("alias_call_featureflag", {}),
        (
            "featureflag_ephemeral",
            {"groups_for_session": CLASS_1, "include_stored_user_groups": False},
        ),
        (
            "featureflag_ephemeral_empty",
            {"groups_for_session": {}, "include_stored_user_groups": False},
        ),
    ],
)
def test_flags_are_those_of_the_server_in_its_order(
    call: Form, name: str, options: dict[str, Any]
) -> None:
    client, server, recorded = playing(name, **options)

    flags = call(client.get_all_feature_flags)

    assert (server.only.method, server.only.path) == ("POST", "/api/v6/featureflag")
    assert server.only.json == recorded.body
    keys: Any = recorded.answer.body
    assert [flag.key for flag in flags] == keys
    assert all(call(client.has_feature_flag, key) for key in keys)
    assert len(server.sent) == 1


@both_forms
def test_flags_keep_an_order_that_is_no_order(call: Form) -> None:
    keys = [f"flag-{i * 37 % 100}" for i in range(100)]
    client = ScriptedServer(Answer(200, keys)).client()

    assert call(client.get_all_feature_flags) == [FeatureFlag(key) for key in keys]


@both_forms
def test_a_flag_that_is_off_or_unknown_is_false(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("on")
    local.flag("disabled", enabled=False)
    local.flag("for-others", include_users=["u2"])
    client = initialised_at(call, local)

    assert call(client.has_feature_flag, "on") is True
    assert call(client.has_feature_flag, "disabled") is False
    assert call(client.has_feature_flag, "for-others") is False
    assert call(client.has_feature_flag, "ON") is False
    assert call(client.has_feature_flag, "no such flag") is False


@both_forms
@pytest.mark.parametrize("name", ["featureflag_not_initialised"])
def test_flags_of_a_user_whom_the_server_does_not_know(call: Form, name: str) -> None:
    client, _, recorded = playing(name)

    with pytest.raises(UserNotInitializedError, match=f"User not found: {recorded.user_id}"):
        call(client.has_feature_flag, "NEW_DASHBOARD")


@both_forms
def test_an_unknown_context_is_a_bad_request(call: Form) -> None:
    local = LocalUpgrade()
    call(client_at(local).init)

    with pytest.raises(BadRequestError, match="Invalid app context: My-App"):
        call(client_at(local, context="My-App").get_all_feature_flags)


# ---- The cache ----


@both_forms
def test_the_server_is_asked_once(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("on")
    client = initialised_at(call, local)

    for _ in range(3):
        assert call(client.has_feature_flag, "on") is True
        assert call(client.has_feature_flag, "off") is False
        assert call(client.get_all_feature_flags) == [FeatureFlag("on")]

    assert asked(local) == 1


@both_forms
def test_no_flags_at_all_are_cached_too(call: Form) -> None:
    local = LocalUpgrade()
    client = initialised_at(call, local)

    assert call(client.get_all_feature_flags) == []
    assert call(client.has_feature_flag, "on") is False

    assert asked(local) == 1


@both_forms
def test_ignore_cache_asks_again_and_renews_the_cache(call: Form) -> None:
    local = LocalUpgrade()
    client = initialised_at(call, local)
    assert call(client.has_feature_flag, "new") is False
    local.flag("new")
    assert call(client.has_feature_flag, "new") is False

    assert call(client.get_all_feature_flags, ignore_cache=True) == [FeatureFlag("new")]

    assert call(client.has_feature_flag, "new") is True
    assert call(client.get_all_feature_flags, True) == [FeatureFlag("new")]
    assert asked(local) == 3


@both_forms
def test_a_failed_refresh_keeps_what_was_cached(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("on")
    client = initialised_at(call, local)
    assert call(client.has_feature_flag, "on") is True
    local.fail_next("featureflag", status=500)

    with pytest.raises(ServerError):
        call(client.get_all_feature_flags, ignore_cache=True)

    assert call(client.has_feature_flag, "on") is True


@both_forms
def test_a_failed_first_fetch_is_tried_again_by_the_next_call(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("on")
    client = initialised_at(call, local)
    local.fail_next("featureflag", status=500)

    with pytest.raises(ServerError):
        call(client.has_feature_flag, "on")

    assert call(client.has_feature_flag, "on") is True


@both_forms
def test_what_the_caller_does_to_the_list_does_not_reach_the_cache(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("on")
    client = initialised_at(call, local)

    call(client.get_all_feature_flags).clear()

    assert call(client.get_all_feature_flags) == [FeatureFlag("on")]


@both_forms
def test_each_client_has_a_cache_of_its_own(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("for-u1", include_users=["u1"])
    first, second = initialised_at(call, local, "u1"), initialised_at(call, local, "u2")

    assert call(first.has_feature_flag, "for-u1") is True
    assert call(second.has_feature_flag, "for-u1") is False


# ---- Wrong arguments and odd answers ----


@both_forms
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("key", "kind"), [("", ValueError), (None, TypeError), (5, TypeError), (b"on", TypeError)]
)
def test_a_key_that_is_no_key_is_refused_before_anything_is_sent(
    call: Form, warm: bool, key: Any, kind: type[Exception]
) -> None:
    local = LocalUpgrade()
    client = initialised_at(call, local)
    if warm:
        call(client.get_all_feature_flags)

    with pytest.raises(kind, match="key must"):
        call(client.has_feature_flag, key)

    assert asked(local) == warm


@both_forms
def test_flags_that_cannot_be_read_are_left_out_with_one_warning(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    answer: list[object] = ["a", None, 5, {"key": "b"}, ["c"], "d", "", "a"]
    client = ScriptedServer(Answer(200, answer)).client()
    caplog.set_level(logging.WARNING, "upgrade_client_lib")

    assert [flag.key for flag in call(client.get_all_feature_flags)] == ["a", "d", ""]
    call(client.get_all_feature_flags)

    (warning,) = caplog.messages
    assert "left out 4 of the feature flags" in warning


@both_forms
@pytest.mark.parametrize("answer", [{}, {"a": True}, '"a"', None, 5, True])
def test_an_answer_that_is_no_list_is_an_error(call: Form, answer: object) -> None:
    client = ScriptedServer(Answer(200, answer)).client()

    with pytest.raises(UnreadableAnswerError, match="where a list belongs"):
        call(client.get_all_feature_flags)


def asked(local: LocalUpgrade) -> int:
    return sum(request.endpoint == "featureflag" for request in local.requests)
