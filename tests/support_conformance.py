"""Holds every answer that a LocalUpgrade gives in a test to the spec.

``tests/conftest.py`` imports the fixture, so it watches over all tests. Answers that a test made
up itself with ``fail_next`` are not LocalUpgrade's and are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.support_spec import OPERATIONS, SPEC, resolve, schema_of
from upgrade_client_lib.testing._http import Api, Response


def _validators() -> dict[tuple[str, int], Any]:
    found: dict[tuple[str, int], Any] = {}
    for (_, path), operation in OPERATIONS.items():
        for status, node in operation["responses"].items():
            answer = resolve(node)
            if "content" in answer:
                schema = {**schema_of(answer), "components": SPEC["components"]}
                found[path, int(status)] = jsonschema_rs.Draft202012Validator(schema)
    return found


VALIDATORS = _validators()


def complaints_of(path: str, answer: Response) -> list[str]:
    """Say what the spec has against an answer."""
    validator = VALIDATORS.get((path, answer.status))
    if validator is None:
        return [f"{path} answers {answer.status}, which the spec does not name for it"]
    errors = validator.iter_errors(json.loads(answer.body))
    return [f"{path} answers {answer.status}: {error}" for error in errors]


@pytest.fixture(autouse=True)
def local_upgrade_keeps_to_the_spec(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test in whose course a LocalUpgrade answered what the spec does not allow."""
    complaints: list[str] = []
    answered: Any = Api.__dict__["_respond"]

    def watched(self: Api, endpoint: Any, exact: bool, *rest: Any) -> Response:
        answer: Response = answered(self, endpoint, exact, *rest)
        if exact:  # another spelling of the path is routed too, but is no path of the spec
            complaints.extend(complaints_of(f"/api/v6/{endpoint.name}", answer))
        return answer

    monkeypatch.setattr(Api, "_respond", watched)
    yield
    assert not complaints, "\n".join(complaints)
