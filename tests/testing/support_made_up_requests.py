"""Schemathesis makes up requests from the spec; LocalUpgrade's answers keep to it.

``test_conformance`` runs this in a process of its own: schemathesis makes up requests as soon as
tests are collected, which each process that runs tests would do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings

from examples.school import school
from tests.support_spec import SPEC

pytest_plugins = ["schemathesis.pytest.plugin"]  # pyproject.toml keeps it from loading everywhere
CHECKS: Any = importlib.import_module("schemathesis.specs.openapi.checks")
LOCAL = school()


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Serve LocalUpgrade as a WSGI application, which is what schemathesis calls in process."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = LOCAL._api.handle(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body)  # pyright: ignore[reportPrivateUsage]
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
    return [answer.body]


def is_served(path: str) -> bool:
    """Whether LocalUpgrade has the path yet: a new endpoint is in the spec first."""
    methods = [method.upper() for method in SPEC["paths"][path]]
    return not any(
        LOCAL._api.handle(method, path, {}, b"").body.startswith(b"<")  # pyright: ignore[reportPrivateUsage]
        for method in methods
    )


PATHS = {path: item for path, item in SPEC["paths"].items() if is_served(path)}
schema: Any = schemathesis.openapi.from_dict({**SPEC, "paths": PATHS})
schema.app = application


@schema.parametrize()  # type: ignore[untyped-decorator]  # its type is Any for 3.9's sake
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_answers_to_made_up_requests_keep_to_the_spec(case: Any) -> None:
    case.call_and_validate(
        checks=[
            CHECKS.content_type_conformance,
            CHECKS.response_headers_conformance,
            CHECKS.response_schema_conformance,
            CHECKS.status_code_conformance,
        ]
    )
