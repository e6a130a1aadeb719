"""Groups, working groups and aliases that are wrong, and answers that are no user."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_clients import client_at
from tests.support_exchanges import Answer, ScriptedServer, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    UnreadableAnswerError,
    UpgradeClient,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import ExperimentUser


@both_forms
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("class-1", "group must be a mapping"),
        (["class"], "group must be a mapping"),
        (5, "group must be a mapping"),
        ({"class": "class-1"}, r"group\['class'\] must be a list of strings, not str"),
        ({"class": {"class-1": 1}}, r"group\['class'\] must be a list of strings"),
        ({"class": None}, r"group\['class'\] must be a list of strings, not None"),
        ({"class": ["ok", ""]}, r"group\['class'\]\[1\] must not be empty"),
        ({"class": ["ok", 7]}, r"group\['class'\]\[1\] must be a string, not int"),
        ({"": ["class-1"]}, "a key of group must not be empty"),
        ({1: ["class-1"]}, "a key of group must be a string"),
    ],
)
@pytest.mark.parametrize("method", ["init", "set_group_membership"])
def test_wrong_groups_are_refused_before_anything_is_sent(
    call: Form, method: str, wrong: object, named: str
) -> None:
    client, server = nobody()

    with pytest.raises((TypeError, ValueError), match=named):
        call(getattr(client, method), wrong)

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["class"], "working_group must be a mapping"),
        ({"class": ["class-1"]}, r"working_group\['class'\] must be a string, not list"),
        ({"class": ""}, r"working_group\['class'\] must not be empty"),
        ({"class": None}, r"working_group\['class'\] must be a string, not None"),
        ({"": "class-1"}, "a key of working_group must not be empty"),
    ],
)
def test_a_wrong_working_group_is_refused_before_anything_is_sent(
    call: Form, wrong: object, named: str
) -> None:
    client, server = nobody()

    with pytest.raises((TypeError, ValueError), match=named):
        call(client.set_working_group, wrong)
    with pytest.raises((TypeError, ValueError), match=named):
        call(client.init, None, wrong)

    assert server.sent == []


@both_forms
def test_there_is_no_working_group_of_none(call: Form) -> None:
    client, server = nobody()

    with pytest.raises(TypeError, match=r"working_group must be .* not None"):
        call(client.set_working_group, None)

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("alias", "aliases must be a list of strings, not str"),
        (None, "aliases must be a list of strings, not None"),
        ({"alias": 1}, "aliases must be a list of strings"),
        (["ok", ""], r"aliases\[1\] must not be empty"),
        (["ok", 1], r"aliases\[1\] must be a string, not int"),
        ([["a"]], r"aliases\[0\] must be a string, not list"),
        (["a\0b"], "an alias must not hold a NUL character"),
    ],
)
def test_wrong_aliases_are_refused_before_anything_is_sent(
    call: Form, wrong: object, named: str
) -> None:
    client, server = nobody()

    with pytest.raises((TypeError, ValueError), match=named):
        call(client.set_alt_user_ids, wrong)

    assert server.sent == []


@both_forms
def test_text_that_is_no_unicode_is_refused_before_anything_is_sent(call: Form) -> None:
    client, server = nobody()

    with pytest.raises(ValueError, match="not valid Unicode"):
        call(client.init, {"class": ["\ud800"]})

    assert server.sent == []


@both_forms
def test_what_the_caller_changes_afterwards_changes_nothing(call: Form) -> None:
    local = LocalUpgrade()
    client = client_at(local)
    group = {"class": ["class-1"]}
    call(client.init, group, {"class": "class-1"})

    group["class"].append("class-2")

    known = call(client.set_working_group, {"class": "class-2"})
    assert known.group == {"class": ["class-1"]}


@both_forms
@pytest.mark.parametrize(
    "answer",
    [
        {"group": None},
        {"id": None},
        {"id": 5},
        [],
        '"u1"',
        None,
        [["id", "u1"]],
    ],
)
def test_an_answer_that_is_no_user_is_an_error_and_clears_nothing(
    call: Form, answer: object
) -> None:
    server = ScriptedServer(Answer(200, ["FLAG"]), Answer(200, answer))
    client = server.client()
    assert call(client.has_feature_flag, "FLAG") is True

    with pytest.raises(UnreadableAnswerError) as caught:
        call(client.init)

    assert caught.value.status_code == 200
    assert call(client.has_feature_flag, "FLAG") is True
    assert len(server.sent) == 2


@both_forms
@pytest.mark.parametrize("root", ["", "\u0100", "u1\n", " u1"])
@pytest.mark.parametrize(
    ("method", "argument"),
    [("set_group_membership", {"class": ["class-1"]}), ("set_working_group", {"class": "class-1"})],
)
def test_an_alias_of_a_user_whom_no_header_can_name_changes_no_groups(
    call: Form, method: str, argument: object, root: str
) -> None:
    server = ScriptedServer(Answer(200, {"id": root}))
    client = server.client()

    with pytest.raises(UnreadableAnswerError, match="the user id in the answer"):
        call(getattr(client, method), argument)

    assert len(server.sent) == 1


@both_forms
@pytest.mark.parametrize("group", ["class-1", 5, ["class-1"], True])
def test_a_group_that_cannot_be_read_leaves_the_user(call: Form, group: object) -> None:
    server = ScriptedServer(
        Answer(200, {"id": "u1", "group": group, "workingGroup": group, "x": 1})
    )

    assert call(server.client().init) == ExperimentUser("u1")


@both_forms
def test_of_the_groups_those_that_can_be_read_stay(call: Form) -> None:
    group = {"class": ["class-1"], "school": "school-1", "team": None, "year": [2026]}
    working_group = {"class": "class-1", "school": ["school-1"], "team": None}
    server = ScriptedServer(
        Answer(200, {"id": "u1", "group": group, "workingGroup": working_group})
    )

    user = call(server.client().init)

    assert user == ExperimentUser("u1", {"class": ["class-1"]}, {"class": "class-1"})


@both_forms
def test_what_the_server_refuses_has_the_servers_own_words(call: Form) -> None:
    client, _, recorded = playing("init_group_numeric_member")
    answered: Any = recorded.answer.body

    with pytest.raises(BadRequestError) as caught:
        call(client.init)

    assert caught.value.message == answered["message"]
    assert caught.value.error_type == answered["type"]


def nobody() -> tuple[UpgradeClient, ScriptedServer]:
    """A client whose requests would be noticed, if there were any."""
    server = ScriptedServer(Answer(500))
    return server.client(), server
