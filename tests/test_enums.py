"""The enums are strings: they compare, print and format as the values on the wire."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, get_args

import pytest

from upgrade_client_lib.types import (
    BinaryRewardValue,
    BinaryRewardValueText,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
)

APPLIED = MarkedDecisionPointStatus.CONDITION_APPLIED


def test_a_member_is_its_value() -> None:
    assert APPLIED == "condition applied"
    assert str(APPLIED) == "condition applied"
    assert json.dumps(APPLIED) == '"condition applied"'


def test_a_member_formats_as_its_value_on_every_python() -> None:
    assert f"{APPLIED}" == "condition applied"
    assert f"{BinaryRewardValue.SUCCESS:>9}|" == "  SUCCESS|"


def test_a_value_gives_its_member() -> None:
    assert MarkedDecisionPointStatus("condition applied") is APPLIED


@pytest.mark.parametrize(
    ("enum", "text"),
    [
        (MarkedDecisionPointStatus, MarkedDecisionPointStatusText),
        (BinaryRewardValue, BinaryRewardValueText),
    ],
)
def test_the_texts_that_type_checkers_take_are_the_values(enum: type[Enum], text: Any) -> None:
    assert get_args(text) == tuple(member.value for member in enum)
