"""What UpGrade's web page exports becomes a server, or a complaint about what does not fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.testing.support_local import CONDITIONS, client, codes, in_class, mark
from tests.testing.support_recorded import EXPORTS
from upgrade_client_lib.testing import LocalUpgrade

EXPERIMENTS = EXPORTS / "experiments.json"
FLAGS = EXPORTS / "flags.json"

Change = Callable[[dict[str, Any]], object]


def exported(name: str) -> dict[str, Any]:
    """A copy of one exported experiment."""
    experiments = json.loads(EXPERIMENTS.read_text("utf-8"))
    return copy.deepcopy(next(one for one in experiments if one["name"] == name))


def test_paths_parsed_json_single_experiments_and_lists_of_paths_are_exports() -> None:
    parsed = json.loads(EXPERIMENTS.read_text("utf-8"))
    names = [one.name for one in LocalUpgrade.from_export(EXPERIMENTS).experiments]
    assert len(names) == 20
    for export in (str(EXPERIMENTS), parsed, [EXPERIMENTS], [str(EXPERIMENTS)]):
        assert [one.name for one in LocalUpgrade.from_export(export).experiments] == names
    single = LocalUpgrade.from_export(parsed[0], json.loads(FLAGS.read_text("utf-8"))[0])
    assert [one.name for one in single.experiments] == [parsed[0]["name"]]
    assert [one.key for one in single.flags] == ["NEW_DASHBOARD"]


def test_experiments_come_in_the_order_of_their_creation() -> None:
    names = [one.name for one in LocalUpgrade.from_export(EXPERIMENTS).experiments]
    assert names[:2] == ["simple-banner", "simple-payload-types"]
    assert names.index("shared-1") < names.index("shared-2")


def test_only_contexts_of_the_exports_are_known() -> None:
    local = LocalUpgrade.from_export(exported("null-target"))
    client(local)
    assert set(codes(local, context="null-app")) == {"nullsite/None", "nullsite/has-target"}
    with pytest.raises(AssertionError, match="Invalid app context: my-app"):
        codes(local, context="my-app")


def test_the_metrics_that_experiments_query_are_stored() -> None:
    local = LocalUpgrade.from_export(EXPERIMENTS)
    entry = {"attributes": {"totalTimeSeconds": 7, "unqueriedMetric": 7}}
    client(local).log_sync([{"timestamp": "2026-11-20T09:00:00Z", "metrics": entry}])
    assert [one.stored for one in local.logs] == [True, False]


def test_lists_of_segments_of_segments_count() -> None:
    experiment = exported("excluding-exp")
    (excluded,) = experiment["experimentSegmentExclusion"]
    inner = {**copy.deepcopy(excluded["segment"]), "id": "inner"}
    inner["individualForSegment"] = [{"userId": "inside"}]
    inner["groupForSegment"] = [{"type": "class", "groupId": "closed"}]
    excluded["segment"]["subSegments"] = [inner]
    local = LocalUpgrade.from_export(experiment)
    for user_id, init, enters in (
        ("excluded-user", {}, False),
        ("inside", {}, False),
        ("member", {"group": {"class": ["closed"]}}, False),
        ("anybody", {}, True),
    ):
        client(local, user_id, **init)
        assert bool(codes(local, user_id)) == enters, user_id


def test_a_level_without_a_payload_has_none() -> None:
    experiment = exported("factorial-2x2")
    for factor in experiment["factors"]:
        for level in factor["levels"]:
            del level["payload"]
    (imported,) = LocalUpgrade.from_export(experiment).experiments
    assert [level.payload for one in imported.conditions for level in one.levels] == [None] * 8


def test_a_list_that_is_switched_off_does_not_count() -> None:
    (flag,) = [one for one in json.loads(FLAGS.read_text()) if one["key"] == "RESTRICTED"]
    for entry in flag["featureFlagSegmentInclusion"]:
        entry["enabled"] = False
    local = LocalUpgrade.from_export(exported("simple-banner"), flag)
    assert client(local, "vip-user").get_all_feature_flags_sync() == []


def test_after_its_end_an_experiment_may_give_all_its_users_one_condition() -> None:
    experiment = exported("complete-exp")
    experiment["postExperimentRule"] = "assign"
    experiment["revertTo"] = next(
        one["id"] for one in experiment["conditions"] if one["conditionCode"] == "treatment"
    )
    local = LocalUpgrade.from_export(experiment)
    experiment["state"] = "enrolling"
    local = LocalUpgrade.from_export(experiment)
    (running,) = local.experiments
    for number in range(10):
        client(local, f"u{number}")
        mark(local, "done", "x", None, f"u{number}")
    client(local, "late")
    local.set_state(running, "enrollmentComplete")
    for number in range(10):
        assert codes(local, f"u{number}") == {"done/x": ["treatment"]}
    assert codes(local, "late") == {}


@pytest.mark.parametrize(
    ("rule", "after_moving"), [("group", "new"), ("individual", "old"), ("experiment", "new")]
)
def test_the_consistency_rule_decides_what_a_user_gets_who_changes_group(
    rule: str, after_moving: str
) -> None:
    experiment = exported("group-class")
    experiment["consistencyRule"] = rule
    local = LocalUpgrade.from_export(experiment)
    by_group: dict[str, Any] = {}
    for group in map(str, range(10)):
        client(local, group, **in_class(group))
        by_group[group] = codes(local, group)
    old, new = (
        next(group for group, got in by_group.items() if got == {"group/classroom": [code]})
        for code in CONDITIONS
    )
    moves = client(local, "moves", group={"class": [old, new]}, working_group={"class": old})
    mark(local, "group", "classroom", "control", "moves")
    assert codes(local, "moves") == by_group[old]
    moves.set_working_group_sync({"class": new})
    expected: dict[str, Any] = {"new": by_group[new], "old": by_group[old]}
    assert codes(local, "moves") == expected[after_moving]


def _set(field: str, value: Any) -> Change:
    return lambda experiment: experiment.update({field: value})


def _reverts_to(condition: str) -> Change:
    return lambda experiment: experiment.update(postExperimentRule="assign", revertTo=condition)


def _in_first(field: str, **values: Any) -> Change:
    return lambda experiment: experiment[field][0].update(values)


def _empty(*fields: str) -> Change:
    return lambda experiment: experiment.update({field: [] for field in fields})


def _twice(field: str) -> Change:
    return lambda experiment: experiment[field].append(experiment[field][0])


def _without(field: str) -> Change:
    return lambda experiment: experiment.pop(field)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_in_first("conditions", assignmentWeight=80), "weights: they sum to 130"),
        (_in_first("conditions", assignmentWeight="50"), "conditions: assignmentWeight: miss"),
        (_in_first("conditions", conditionCode=None), "conditions: conditionCode: missing"),
        (_in_first("conditionPayloads", parentCondition="x"), "conditionPayloads: no condition"),
        (
            _in_first("conditionPayloads", payload={"type": "html", "value": "Hi"}),
            "payload type of '(control|treatment)': 'html'",
        ),
        (_in_first("conditions", conditionCode="control"), "conditions: 'control' occurs more"),
        (_in_first("conditions", assignmentWeight=-1), "weights: -1.0 of 'treatment' is not"),
        (_empty("conditions", "conditionPayloads"), "conditions: there are none"),
        (_set("partitions", []), "points: there are none"),
        (_twice("partitions"), r"points: \('home', 'banner'\) occurs more than once"),
        (_set("partitions", "home"), "partitions: missing or malformed"),
        (_without("partitions"), "partitions: missing or malformed"),
        (_without("id"), "id: missing or malformed"),
        (
            _in_first("partitions", site="half \ud800"),
            "partitions: site must not hold half a surrogate pair",
        ),
        (_set("state", "on"), "state: 'on' is not one of"),
        (_set("context", []), "context: there must be exactly one"),
        (_set("assignmentUnit", "group"), "group_type: a group experiment needs"),
        (_set("assignmentUnit", "within-subjects"), "order: None is not one of"),
        (
            _set("assignmentAlgorithm", "stratified random sampling"),
            "assignmentAlgorithm: 'stratified random sampling' cannot be run here",
        ),
        (_reverts_to("x"), "revert to: there is no condition 'x'"),
        (_set("queries", [{"name": "avg"}]), "queries: metric: missing"),
    ],
)
def test_an_experiment_that_does_not_fit_is_named_with_the_field(
    change: Change, complaint: str
) -> None:
    experiment = exported("simple-banner")
    change(experiment)
    with pytest.raises(ValueError, match=rf"experiment 'simple-banner': ({complaint})"):
        LocalUpgrade.from_export(experiment)


@pytest.mark.parametrize("state", ["inactive", "draft"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_empty("conditions", "conditionPayloads"), "conditions: there are none"),
        (_empty("partitions", "conditionPayloads"), "points: there are none"),
        (_in_first("conditions", assignmentWeight=0), "weights: they sum to 50"),
        (_in_first("conditions", assignmentWeight=-50), "weights: -50.0 of .* is not a weight"),
        (_twice("conditions"), "conditions: '.*' occurs more than once"),
        (_twice("partitions"), r"points: \('.*'\) occurs more than once"),
    ],
)
def test_an_unfinished_experiment_is_loaded_and_must_be_finished_to_enrol(
    state: str, change: Change, complaint: str
) -> None:
    unfinished = exported("simple-banner")
    change(unfinished)
    unfinished["state"] = state
    local = LocalUpgrade.from_export([unfinished, exported("complete-exp")])
    client(local)
    assert codes(local) == {}
    with pytest.raises(ValueError, match=f"experiment 'simple-banner': {complaint}"):
        local.set_state(local.experiments[0], "enrolling")


def test_an_order_that_is_left_of_another_unit_does_not_matter() -> None:
    experiment = {**exported("simple-banner"), "conditionOrder": "random"}
    (loaded,) = LocalUpgrade.from_export(experiment).experiments
    assert loaded.order is None


def test_a_level_that_no_factor_has_is_named() -> None:
    experiment = exported("factorial-2x2")
    experiment["conditions"][0]["levelCombinationElements"][0]["level"]["id"] = "x"
    with pytest.raises(ValueError, match=r"'factorial-2x2': conditions: no factor has .* 'x'"):
        LocalUpgrade.from_export(experiment)


@pytest.mark.parametrize("export", [[1], ["{"], [None], {"openapi": "3.1.0"}, [{"name": 1}]])
def test_an_export_of_something_else_is_a_value_error(
    export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("{").write_text("{", "utf-8")
    with pytest.raises(ValueError, match="experiment"):
        LocalUpgrade.from_export(export)
    with pytest.raises(ValueError, match="flag"):
        LocalUpgrade.from_export([], export)


def test_the_same_experiment_twice_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"experiment 'simple-banner': id: .* is taken"):
        LocalUpgrade.from_export([exported("simple-banner"), exported("simple-banner")])


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalUpgrade.from_export(tmp_path / "nothing.json")
