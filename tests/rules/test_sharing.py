"""What workers may conclude from a shared entry, as tables."""

from __future__ import annotations

import pytest

from upgrade_client_lib._rules.sharing import (
    MAX_SUPERSEDED,
    Groups,
    GroupsChange,
    StoredGroups,
    action_for,
    are_same,
    digest,
    groups_after,
    groups_after_overlap,
)

ONE: Groups = ({"class": ["a", "b"]}, {"class": "a"})
ONE_LOOSE: Groups = ({"class": ["b", "a"]}, None)
TWO: Groups = ({"class": ["c"]}, {"class": "c"})
TWO_LOOSE: Groups = ({"class": ["c"]}, None)
NONE: Groups = ({}, None)


def stored(groups: Groups, is_explicit: bool = False, *superseded: Groups) -> StoredGroups:
    return StoredGroups(*groups, is_explicit, tuple(digest(one) for one in superseded))


@pytest.mark.parametrize(
    ("stated", "known", "action"),
    [
        (None, None, "serve"),
        (None, stored(ONE), "serve"),
        (ONE, None, "initialize"),
        (ONE, stored(ONE), "serve"),
        (ONE_LOOSE, stored(ONE), "serve"),
        (TWO, stored(ONE), "initialize"),
        (TWO, stored(ONE, True), "ignore"),
        (TWO, stored(ONE, False, TWO), "ignore"),
        (TWO_LOOSE, stored(ONE, False, TWO), "initialize"),
        (NONE, stored(ONE), "initialize"),
        (NONE, StoredGroups({}, {}), "serve"),
        (({"class": ["a", "b"]}, {"class": "b"}), stored(ONE), "initialize"),
        # As far as both are known.
        (ONE, StoredGroups(ONE[0], None), "serve"),
        (ONE, StoredGroups(None, ONE[1]), "serve"),
        (ONE, StoredGroups(None, TWO[1]), "initialize"),
        (ONE, StoredGroups(None, TWO[1], is_explicit=True), "ignore"),
        # Nobody knows.
        (ONE, StoredGroups(), "initialize"),
        (ONE, StoredGroups(superseded=(digest(TWO),)), "initialize"),
        (TWO, StoredGroups(superseded=(digest(TWO),)), "ignore"),
    ],
)
def test_the_last_explicit_change_wins_and_stated_groups_take_no_turns(
    stated: Groups | None, known: StoredGroups | None, action: str
) -> None:
    assert action_for(stated, known) == action


@pytest.mark.parametrize(
    ("change", "before", "answered", "after"),
    [
        ("init", None, StoredGroups(*ONE), stored(ONE, True)),
        ("init", stored(TWO), StoredGroups(None, None), StoredGroups({}, {}, is_explicit=True)),
        ("plain init", None, StoredGroups(*ONE), stored(ONE)),
        ("plain init", stored(TWO, True, ONE), StoredGroups(*ONE), stored(ONE, False, ONE)),
        ("group", None, StoredGroups(ONE[0]), StoredGroups(ONE[0], None, is_explicit=True)),
        ("group", stored(TWO), StoredGroups(ONE[0]), stored((ONE[0], TWO[1]), True)),
        ("group", stored(TWO), StoredGroups(None), stored(({}, TWO[1]), True)),
        ("working group", stored(TWO), StoredGroups(None, ONE[1]), stored((TWO[0], ONE[1]), True)),
        (
            "working group",
            None,
            StoredGroups(None, None),
            StoredGroups(None, {}, is_explicit=True),
        ),
    ],
)
def test_what_is_known_of_the_groups_after_a_change(
    change: GroupsChange, before: StoredGroups | None, answered: StoredGroups, after: StoredGroups
) -> None:
    assert groups_after(change, before, answered, None) == after


def test_stated_groups_supersede_others_in_both_ways_to_state_them() -> None:
    after = groups_after("stated", stored(ONE), StoredGroups(*TWO), TWO)
    assert after == StoredGroups(*TWO, superseded=(digest(ONE_LOOSE), digest(ONE)))
    assert action_for(ONE, after) == action_for(ONE_LOOSE, after) == "ignore"
    back = groups_after("stated", after, StoredGroups(*ONE), ONE)
    assert action_for(ONE, back) == "serve"
    assert action_for(TWO, back) == "ignore"
    assert groups_after("stated", None, StoredGroups(*TWO), TWO).superseded == ()


@pytest.mark.parametrize(
    ("change", "known", "after"),
    [
        ("stated", None, None),
        ("stated", stored(ONE), StoredGroups(superseded=(digest(ONE_LOOSE), digest(ONE)))),
        ("stated", stored(ONE, True, TWO), StoredGroups(superseded=(digest(TWO),))),
        (
            "stated",
            StoredGroups(superseded=(digest(TWO),)),
            StoredGroups(superseded=(digest(TWO),)),
        ),
        ("init", stored(ONE, False, TWO), StoredGroups(superseded=(digest(TWO),))),
    ],
)
def test_of_two_stated_groups_that_overlap_one_goes_along(
    change: GroupsChange, known: StoredGroups | None, after: StoredGroups | None
) -> None:
    assert groups_after_overlap(change, known) == after


def test_few_superseded_groups_are_remembered() -> None:
    known = None
    for number in range(20):
        groups: Groups = ({"class": [str(number)]}, {})
        known = groups_after("stated", known, StoredGroups(*groups), groups)
    assert known is not None
    assert len(known.superseded) == MAX_SUPERSEDED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, stored(ONE), False),
        (stored(ONE), stored(ONE, True), True),
        (stored((ONE_LOOSE[0], ONE[1])), stored(ONE), True),
        (stored(ONE), stored(TWO), False),
        (StoredGroups(ONE[0], None), stored(ONE), False),
        (StoredGroups(None, ONE[1]), stored(ONE), False),
    ],
)
def test_groups_are_the_same_whatever_their_order_if_they_are_known(
    one: StoredGroups | None, other: StoredGroups, same: bool
) -> None:
    assert are_same(one, other) is same
