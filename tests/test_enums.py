"""The enums are strings: they compare, print and format as the values on the wire."""

from __future__ import annotations

import json

from upgrade_client_lib.types import BinaryRewardValue, MarkedDecisionPointStatus

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
