"""What a test forces a LocalUpgrade to give to a user."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.support_local import CONDITIONS, client, codes, mark
from upgrade_client_lib.testing import LocalUpgrade


def test_force_wins_over_everything_for_one_user_until_reset() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS, exclude_users=["u1"])
    local.experiment(
        "turn", "x", conditions=["a", "b"], unit="within-subjects", order="ordered round robin"
    )
    for condition in CONDITIONS:
        local.force("home", "banner", user="u1", condition=condition)
        client(local)
        assert codes(local)["home/banner"] == [condition]
    local.force("turn", "x", user="u1", condition="b")
    assert codes(local)["turn/x"] == ["b", "b"]
    local.reset()
    client(local)
    assert codes(local) == {"turn/x": ["a", "b"]}


def test_force_of_what_is_not_there_says_what_is() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    with pytest.raises(ValueError, match="only 'control', 'treatment'"):
        local.force("home", "banner", user="u1", condition="tretment")
    with pytest.raises(ValueError, match="nor any experiment"):
        local.force("away", user="u1", condition="control")


def test_force_chooses_the_experiment_of_a_pool_that_has_the_condition() -> None:
    local = LocalUpgrade()
    for code in ("first", "second"):
        local.experiment("a", "1", conditions=[code])
    for code in ("first", "second"):
        client(local, code)
        local.force("a", "1", user=code, condition=code)
        assert codes(local, code) == {"a/1": [code]}


def test_force_wins_over_the_exclusion_from_everything() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=CONDITIONS)
    local.experiment("home", "footer", conditions=CONDITIONS)
    local.exclude(users=["u1"], groups={"class": ["c1"]})
    for user_id in ("u1", "u2"):
        local.force("home", "banner", user=user_id, condition="treatment")
        client(local, user_id, group={"class": ["c1"]})
        assert codes(local, user_id) == {"home/banner": ["treatment"]}
        mark(local, "home", "banner", "treatment", user_id)
        assert codes(local, user_id) == {"home/banner": ["treatment"]}


def test_force_holds_for_an_alias_that_is_linked_later() -> None:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions={"control": 100, "treatment": 0})
    local.experiment("home", "footer", conditions={"control": 100, "treatment": 0})
    local.force("home", "banner", user="tablet", condition="treatment")
    local.force("home", "footer", user="tablet", condition="treatment")
    local.force("home", "footer", user="u1", condition="control")
    client(local).set_alt_user_ids_sync(["tablet", "phone"])
    for user_id in ("u1", "tablet", "phone"):
        assert codes(local, user_id) == {"home/banner": ["treatment"], "home/footer": ["control"]}
    local.force("home", "footer", user="tablet", condition="treatment")
    assert codes(local)["home/footer"] == ["treatment"]


def test_force_holds_in_every_context_that_has_the_condition_there() -> None:
    local = LocalUpgrade()
    for context in ("one", "two"):
        local.experiment(
            "home", "banner", conditions={"control": 100, "treatment": 0}, context=context
        )
    local.experiment("home", "banner", conditions=["another"], context="three")
    local.force("home", "banner", user="u1", condition="treatment")
    client(local)
    given = {context: codes(local, context=context) for context in ("one", "two", "three")}
    assert given == {
        "one": {"home/banner": ["treatment"]},
        "two": {"home/banner": ["treatment"]},
        "three": {"home/banner": ["another"]},
    }


def test_what_was_forced_last_wins() -> None:
    local = LocalUpgrade()
    for code in ("first", "second"):
        local.experiment("home", "banner", conditions=[code])
    local.experiment("elsewhere", conditions=["only"])
    client(local)
    for code in ("first", "second", "first", "second"):
        local.force("home", "banner", user="u1", condition=code)
        local.force("elsewhere", user="u1", condition="only")
        assert codes(local) == {"home/banner": [code], "elsewhere/": ["only"]}


@pytest.mark.parametrize(("defined", "forced"), [(None, ""), ("", None), (None, None)])
def test_force_takes_no_target_and_an_empty_one_for_the_same(
    defined: str | None, forced: str | None
) -> None:
    local = LocalUpgrade()
    local.experiment("home", defined, conditions={"control": 100, "treatment": 0})
    local.force("home", forced, user="u1", condition="treatment")
    client(local)
    assert codes(local) == {f"home/{defined}": ["treatment"]}


def test_a_user_who_is_not_a_text_is_an_error() -> None:
    user: Any = 5
    with pytest.raises(TypeError, match="user must be a string, not 5"):
        LocalUpgrade().force("home", "banner", user=user, condition="control")
