"""Exports that somebody else wrote: what they name is not read, and what is odd is an error."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.testing.support_local import client, codes
from tests.testing.support_recorded import EXPORTS
from tests.testing.support_sequences import extended
from upgrade_client_lib.testing import LocalUpgrade

EXPERIMENTS = EXPORTS / "experiments.json"


def with_segment(segment: dict[str, Any]) -> dict[str, Any]:
    """An experiment that excludes the members of a segment."""
    (found,) = [
        one for one in json.loads(EXPERIMENTS.read_text("utf-8")) if one["name"] == "simple-banner"
    ]
    return {**found, "experimentSegmentExclusion": [{"segment": segment}]}


def segment(name: str, *inner: Any, **members: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "subSegments": list(inner), **members}


def test_a_path_inside_a_file_is_not_read(tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps([str(EXPERIMENTS)]))
    with pytest.raises(ValueError, match=r"experiment of .*export\.json: not a JSON object"):
        LocalUpgrade.from_export(export)
    assert LocalUpgrade.from_export([str(EXPERIMENTS)]).experiments


def test_members_of_segments_come_from_their_export() -> None:
    experiment = with_segment(segment("list", {"id": "inner", "name": "Inner"}))
    members = segment("inner", individualForSegment=[{"userId": "u1"}])
    for segments in (members, [members]):
        local = LocalUpgrade.from_export(experiment, segments=segments)
        client(local)
        client(local, "u2")
        assert codes(local) == {} != codes(local, "u2")


def test_a_segment_without_its_members_is_an_error_that_says_what_to_do() -> None:
    experiment = with_segment(segment("list", {"id": "inner", "name": "Inner"}))
    with pytest.raises(
        ValueError,
        match="'simple-banner': experimentSegmentExclusion: segment: "
        "subSegments: the export names segment 'Inner' without its members: give",
    ):
        LocalUpgrade.from_export(experiment)
    with pytest.raises(ValueError, match=r"segment 'ext-(in|out)' without its members"):
        LocalUpgrade.from_export(extended("experiments"), extended("flags"))


def test_a_list_without_its_members_is_filled_in_or_an_error() -> None:
    experiment = with_segment({"id": "list", "name": "List"})
    with pytest.raises(ValueError, match="the export names segment 'List' without its members"):
        LocalUpgrade.from_export(experiment)
    members = segment("list", individualForSegment=[{"userId": "u1"}])
    (loaded,) = LocalUpgrade.from_export(experiment, segments=members).experiments
    assert loaded.filter.exclude.users == {"u1"}


def test_a_segment_that_many_hold_is_read_once() -> None:
    levels = 40  # which doubled the time with each
    segments = [
        segment(
            f"s{level}",
            *[{"id": f"s{level + 1}"}] * (2 if level < levels else 0),
            individualForSegment=[{"userId": f"u{level}"}],
        )
        for level in range(levels + 1)
    ]
    experiment = with_segment(segment("list", {"id": "s0"}))
    (loaded,) = LocalUpgrade.from_export(experiment, segments=segments).experiments
    assert loaded.filter.exclude.users == {f"u{level}" for level in range(levels + 1)}


def test_a_segment_that_contains_itself_is_an_error() -> None:
    looped = segment("loop", groupForSegment=[])
    looped["subSegments"].append(looped)
    with pytest.raises(ValueError, match=r"experimentSegmentExclusion: .*segment 'loop' contains"):
        LocalUpgrade.from_export(with_segment(looped))
    named = segment("list", {"id": "a"})
    circle = [
        segment("a", {"id": "b"}, individualForSegment=[]),
        segment("b", {"id": "a"}, individualForSegment=[]),
    ]
    with pytest.raises(ValueError, match="segment 'a' contains itself"):
        LocalUpgrade.from_export(with_segment(named), segments=circle)


def test_segments_nested_too_deeply_are_an_error() -> None:
    deep: dict[str, Any] = segment("last", individualForSegment=[])
    for number in range(3000):
        deep = segment(f"s{number}", deep, individualForSegment=[])
    with pytest.raises(ValueError, match="subSegments: segments nested too deeply"):
        LocalUpgrade.from_export(with_segment(deep))


def test_json_nested_too_deeply_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    export = tmp_path / "deep.json"
    export.write_text("[" * 200_000 + "]" * 200_000)
    with pytest.raises(ValueError, match=r"deep\.json: (nested too deeply|not JSON)"):
        LocalUpgrade.from_export(export)


def test_lists_in_lists_and_odd_names_are_errors() -> None:
    looped: list[Any] = []
    looped.append(looped)
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for odd in (looped, [looped], [{"name": deep}], {"name": {"a": 1}}):
        with pytest.raises(ValueError, match=r"^experiment: "):
            LocalUpgrade.from_export(odd)
    experiment = with_segment(segment("list"))
    with pytest.raises(ValueError, match="'simple-banner': context: missing or malformed"):
        LocalUpgrade.from_export({**experiment, "context": [deep]})
    query = {"metric": {"key": "k", "context": ["my-app"], "allowedData": [deep]}}
    with pytest.raises(ValueError, match="allowedData: missing or malformed"):
        LocalUpgrade.from_export({**experiment, "queries": [query]})


def test_a_stale_condition_to_revert_to_does_not_matter_while_the_rule_is_to_continue() -> None:
    experiment = {**with_segment(segment("list")), "revertTo": "gone"}
    (loaded,) = LocalUpgrade.from_export(copy.deepcopy(experiment)).experiments
    assert loaded.revert_to is None


def test_a_whole_export_of_a_server_is_loaded_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local = LocalUpgrade.from_export(
            extended("experiments"), extended("flags"), segments=extended("segments")
        )
    assert (len(local.experiments), len(local.flags)) == (73, 16)
