"""What users may rely on: every public name and signature, held against a snapshot.

After a deliberate change, `python -m nox -s accept` renews the snapshot,
`tests/public_surface.txt`, where the change can be reviewed.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import attrs
import pytest

import upgrade_client_lib
from upgrade_client_lib import (
    Assignment,
    Decision,
    FlagDecision,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
    types,
)

SNAPSHOT = Path(__file__).with_name("public_surface.txt")
ACCEPT = "python -m nox -s accept"
REQUIRED = inspect.Parameter.empty
MODULES = [
    "upgrade_client_lib.exceptions",
    "upgrade_client_lib.types.enums",
    "upgrade_client_lib.types.requests",
    "upgrade_client_lib.types.responses",
    "upgrade_client_lib.types",
    "upgrade_client_lib",
    "upgrade_client_lib.batch",
    "upgrade_client_lib.stores",
    "upgrade_client_lib.testing",
    "upgrade_client_lib.integrations.celery",
    "upgrade_client_lib.integrations.fastapi",
    "upgrade_client_lib.integrations.flask",
    "upgrade_client_lib.integrations.openfeature",
    "upgrade_client_lib.integrations.opentelemetry",
]


# ---- The snapshot ----


def test_the_public_surface_is_the_one_that_was_accepted() -> None:
    accepted = SNAPSHOT.read_text("utf-8").splitlines()

    assert surface() == accepted, f"to accept a deliberate change, run {ACCEPT}"


def test_the_command_writes_the_snapshot_and_wants_to_be_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "surface.txt"
    monkeypatch.setattr(sys.modules[__name__], "SNAPSHOT", written)

    with pytest.raises(SystemExit, match=f"usage: {ACCEPT}"):
        main([])
    assert not written.exists()

    main(["--accept"])
    test_the_public_surface_is_the_one_that_was_accepted()


def main(arguments: list[str]) -> None:
    if arguments != ["--accept"]:
        sys.exit(f"usage: {ACCEPT}")
    SNAPSHOT.write_text("\n".join(surface()) + "\n", "utf-8")


def surface() -> list[str]:
    """One line for each public thing; a class is described where it first occurs."""
    lines: list[str] = []
    described: list[object] = []
    for name in MODULES:
        module = importlib.import_module(name)
        lines += [f"# {name}", ""]
        for public in sorted(exported(module), key=str.lower):
            value = getattr(module, public)
            if inspect.isclass(value) and value not in described:
                described.append(value)
                lines += class_lines(value)
            elif inspect.isclass(value):
                lines.append(f"class {public}, as above")
            elif inspect.isfunction(value):
                lines.append(f"{public}{shown_signature(value)}")
            else:
                lines.append(f"{public}: {shown(value)}")
        lines.append("")
    return lines


def class_lines(kind: Any) -> Iterator[str]:
    bases = [base.__name__ for base in kind.__mro__[1:] if is_named_base(base)]
    yield f"class {kind.__name__}({', '.join(bases)})" if bases else f"class {kind.__name__}"
    if issubclass(kind, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in kind)
        return
    if not is_named_base(kind.__base__):  # whose constructor it would be
        yield f"    {kind.__name__}{shown_signature(kind)}"
    elif "__init__" in vars(kind):
        yield f"    {kind.__name__}{shown_signature(kind)}"
        made: UpgradeApiError = kind("message")
        yield f"    attributes: {', '.join(sorted(vars(made)))}"
    if attrs.has(kind):
        fields = [field for field in attrs.fields(kind) if is_public(field.name)]
        yield from (f"    {field.name}: {field.type}" for field in fields)
    for name in member_names(kind):
        value = inspect.getattr_static(kind, name)
        if isinstance(value, property):
            yield f"    property {name}{shown_signature(value.fget)}"
        elif isinstance(value, classmethod):
            yield f"    classmethod {name}{shown_signature(getattr(kind, name))}"
        elif inspect.isfunction(value):
            prefix = "async " if inspect.iscoroutinefunction(value) else ""
            yield f"    {prefix}{name}{shown_signature(value)}"
        else:
            yield f"    {name} = {shown(value)}"


def member_names(kind: Any) -> list[str]:
    """What a class and its bases in the package define, fields apart."""
    fields: set[str] = {field.name for field in attrs.fields(kind)} if attrs.has(kind) else set()
    bases = [base for base in kind.__mro__ if base.__module__.startswith("upgrade_client_lib")]
    names = {name for base in bases for name in vars(base) if is_public(name)}
    return sorted(names - fields)


def is_public(name: str) -> bool:
    managing = {"__enter__", "__exit__", "__aenter__", "__aexit__"}
    return not name.startswith("_") or name in managing


def is_named_base(kind: type) -> bool:
    return kind in (str, enum.Enum, Exception, UpgradeApiError)


def shown_signature(function: Any) -> str:
    signature = inspect.signature(function)
    parts: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        typed = "" if parameter.annotation is REQUIRED else f": {parameter.annotation}"
        default = "" if parameter.default is REQUIRED else f" = {shown(parameter.default)}"
        parts.append(f"{name}{typed}{default}")
    returned = signature.return_annotation
    answer = "" if returned in (REQUIRED, None, "None") else f" -> {returned}"
    return f"({', '.join(parts)}){answer}"


def shown(value: Any) -> str:
    """A value in a way that does not change from run to run, or from Python to Python."""
    if isinstance(value, ModuleType):
        return "module"
    if inspect.isclass(value):
        return value.__name__
    if value is upgrade_client_lib.__version__:
        return "str"
    if alternatives := get_args(value):
        return " | ".join(getattr(one, "__name__", repr(one)) for one in alternatives)
    return "..." if " at 0x" in repr(value) else repr(value)


def exported(module: ModuleType) -> list[str]:
    names: list[str] = module.__all__
    return names


# ---- What is exported ----


@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_is_there_once(name: str) -> None:
    module = importlib.import_module(name)

    assert len(exported(module)) == len(set(exported(module)))
    assert set(exported(module)) <= set(dir(module))
    assert all(is_public(public) or public == "__version__" for public in exported(module))
    imported: dict[str, object] = {}
    exec(f"from {name} import *", imported)
    assert set(exported(module)) <= set(imported)


@pytest.mark.parametrize("name", ["upgrade_client_lib", "upgrade_client_lib.testing"])
def test_a_name_that_is_not_there_is_an_attribute_error(name: str) -> None:
    module = importlib.import_module(name)

    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'UpgradeClinet'"):
        _ = module.UpgradeClinet
    with pytest.raises(ImportError, match="cannot import name 'UpgradeClinet'"):
        exec(f"from {name} import UpgradeClinet")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="X | Y in annotations")
@pytest.mark.parametrize("owner", [UpgradeClient, Assignment, Decision, FlagDecision])
def test_the_annotations_of_what_users_call_can_be_evaluated(owner: type) -> None:
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if not name.startswith("_"):
            typing.get_type_hints(method)


def test_types_exports_all_that_its_submodules_do() -> None:
    below = [types.enums, types.outbox, types.requests, types.responses]

    assert [name for module in below for name in exported(module)] == types.__all__


def test_the_version_is_that_of_the_distribution() -> None:
    assert upgrade_client_lib.__version__ == version("upgrade-client-lib")


@pytest.mark.parametrize("name", MODULES)
def test_every_public_thing_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in exported(module):
        value = getattr(module, public)
        if not inspect.isclass(value):
            continue
        assert value.__doc__, public
        for member in member_names(value):
            documented = inspect.getdoc(getattr(value, member))
            assert documented or member.startswith("__"), f"{public}.{member}"


# ---- Async and sync ----

TWINS = [
    (kind, name)
    for kind in (UpgradeClient, Assignment, UpgradeConnection)
    for name in member_names(kind)
    if inspect.iscoroutinefunction(getattr(kind, name))
    and name not in ("aclose", "__aenter__", "__aexit__")
]


def test_there_are_twins_of_every_documented_call() -> None:
    named = {f"{kind.__name__}.{name}" for kind, name in TWINS}

    assert named >= {
        *(f"UpgradeClient.{name}" for name in DOCUMENTED if name != "UpgradeClient"),
        "Assignment.mark_decision_point",
    }


@pytest.mark.parametrize(("kind", "name"), TWINS)
def test_every_async_method_has_a_sync_twin_that_takes_and_says_the_same(
    kind: type, name: str
) -> None:
    method, twin = getattr(kind, name), getattr(kind, f"{name}_sync")

    assert not inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(method)
    told, told_of_twin = inspect.getdoc(method), inspect.getdoc(twin)
    assert told
    assert told_of_twin
    assert "blocking" in told_of_twin
    assert re.search(rf":meth:`(UpgradeClient\.)?{name}(_sync)?`", told_of_twin)


@pytest.mark.parametrize("kind", [UpgradeClient, Assignment, UpgradeConnection])
def test_every_sync_method_has_an_async_twin(kind: type) -> None:
    for name in member_names(kind):
        if name.endswith("_sync"):
            assert inspect.iscoroutinefunction(getattr(kind, name.removesuffix("_sync"))), name


# ---- The documented interface: names, positions and defaults ----

DOCUMENTED: dict[str, dict[str, object]] = {
    "UpgradeClient": {
        "user_id": REQUIRED,
        "host_url": REQUIRED,
        "context": REQUIRED,
        "token": "",
        "client_session_id": None,
    },
    "init": {"group": None, "working_group": None},
    "set_group_membership": {"group": REQUIRED},
    "set_working_group": {"working_group": REQUIRED},
    "set_alt_user_ids": {"aliases": REQUIRED},
    "get_all_experiment_conditions": {"ignore_cache": False},
    "get_decision_point_assignment": {"site": REQUIRED, "target": ""},
    "mark_decision_point": {
        "site": REQUIRED,
        "target": REQUIRED,
        "condition": REQUIRED,
        "status": REQUIRED,
        "uniquifier": "",
        "client_error": "",
    },
    "get_all_feature_flags": {"ignore_cache": False},
    "has_feature_flag": {"key": REQUIRED},
    "log": {"metrics": REQUIRED},
    "send_reward": {
        "reward_value": REQUIRED,
        "experiment_id": None,
        "context": None,
        "decision_point": None,
    },
}
DOCUMENTED_ASSIGNMENT: dict[str, dict[str, object]] = {
    "get_condition": {},
    "get_payload": {},
    "get_experiment_type": {},
    "get_factor_level": {"factor": REQUIRED},
    "get_factor_payload": {"factor": REQUIRED},
    "mark_decision_point": {"status": REQUIRED, "uniquifier": "", "client_error": ""},
    "mark_decision_point_sync": {"status": REQUIRED, "uniquifier": "", "client_error": ""},
}
DOCUMENTED_TYPES = {
    "LogInput": ["timestamp", "metrics"],
    "LogMetrics": ["attributes", "groupedMetrics"],
    "LogGroupMetrics": ["groupClass", "groupKey", "groupUniquifier", "attributes"],
    "Payload": ["type", "value"],
    "FeatureFlag": ["key"],
    "ExperimentUser": ["id", "group", "workingGroup"],
    "UserAliases": ["userId", "aliases"],
    "MarkedDecisionPoint": ["id", "userId", "site", "target", "experimentId", "condition"],
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_calls_have_their_positions_and_defaults(name: str) -> None:
    if name == "UpgradeClient":
        assert positions(UpgradeClient) == DOCUMENTED[name]
    else:
        assert positions(getattr(UpgradeClient, name)) == DOCUMENTED[name]
        assert positions(getattr(UpgradeClient, f"{name}_sync")) == DOCUMENTED[name]


@pytest.mark.parametrize("name", DOCUMENTED_ASSIGNMENT)
def test_an_assignment_has_what_is_documented(name: str) -> None:
    assert positions(getattr(Assignment, name)) == DOCUMENTED_ASSIGNMENT[name]


def test_the_names_of_an_assignments_factors_are_a_property() -> None:
    assert isinstance(inspect.getattr_static(Assignment, "factors"), property)


@pytest.mark.parametrize("name", DOCUMENTED_TYPES)
def test_the_documented_types_keep_the_names_of_the_wire(name: str) -> None:
    kind = getattr(types, name)

    assert list(inspect.signature(kind).parameters) == DOCUMENTED_TYPES[name]
    assert [field.name for field in attrs.fields(kind)] == DOCUMENTED_TYPES[name]


def test_the_documented_enums_are_on_the_client() -> None:
    status = UpgradeClient.MARKED_DECISION_POINT_STATUS
    assert {member.name: member.value for member in status} == {
        "CONDITION_APPLIED": "condition applied",
        "CONDITION_FAILED_TO_APPLY": "condition not applied",
        "NO_CONDITION_ASSIGNED": "no condition assigned",
    }
    reward = UpgradeClient.BINARY_REWARD_VALUE
    assert [member.name for member in reward] == ["SUCCESS", "FAILURE"]
    assert [member.name for member in types.ExperimentType] == ["SIMPLE", "FACTORIAL"]


@pytest.mark.parametrize("kind", [UpgradeClient, UpgradeConnection])
def test_clients_and_connections_are_context_managers_both_ways(kind: type) -> None:
    methods = ["close", "aclose", "__enter__", "__exit__", "__aenter__", "__aexit__"]
    assert all(callable(getattr(kind, name)) for name in methods)


def positions(function: Callable[..., Any]) -> dict[str, object]:
    """What may be given by position, in order, with its default."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name != "self"
    }


if __name__ == "__main__":  # pragma: no cover
    main(sys.argv[1:])
