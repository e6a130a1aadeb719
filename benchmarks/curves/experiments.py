"""Reads over the experiments in a context: again, a page's, and those of a client that is new."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

import httpx

from upgrade_client_lib import UpgradeConnection

from ..charts import Chart, Lines, chart
from ..contestants.fixed_response import BODY, HEADERS, HOST, PATH, FixedResponse
from .measuring import Curves, best, growing, sizes

EXPERIMENTS = "experiments in the context"
OTHERS = {"LaunchDarkly": "launchdarkly", "GrowthBook": "growthbook", "PostHog": "posthog"}


def charts(most: int) -> Mapping[str, Chart]:
    cold: Lines = {"this library": [], "httpx + json.loads": []}
    for count in sizes(1, most):
        ours, plain = _cold(count)
        cold["this library"].append([count, ours])
        cold["httpx + json.loads"].append([count, plain])
    return {
        "growth-experiments-read": _compared("A read after the first", "read", most),
        "growth-experiments-page": _compared("Ten reads for a user who is known", "page", most),
        "growth-experiments-cold": chart("A new client's first ten reads", EXPERIMENTS, "µs", cold),
    }


def _compared(title: str, what: str, most: int) -> Chart:
    ours = {"this library": growing(f"ours_{what}")}
    if what == "read":
        ours["this library, a decision"] = growing("ours_decision")
    curves = Curves({**ours, **{name: growing(f"{sdk}_{what}") for name, sdk in OTHERS.items()}})
    for count in sizes(1, most):
        curves.in_turn(count, 1e-6)
    return chart(title, EXPERIMENTS, "µs of a processor", curves.lines, curves.missing)


def _cold(count: int) -> tuple[float, float]:
    """Measure a new client's first ten reads, and httpx; the server is in the process."""
    server = FixedResponse(count)
    connection = UpgradeConnection(HOST, transport=server)
    targets = [f"t{number * 7 % count}" for number in range(10)]

    def ten_reads() -> None:
        client = connection.client("u", "my-app")
        for target in targets:
            assert client.get_decision_point_assignment_sync("home", target) is not None

    times = max(20, 500 // count)
    ours = best(ten_reads, times)
    with httpx.Client(transport=server) as client:
        post = functools.partial(client.post, HOST + PATH, headers=HEADERS, json=BODY)
        return ours, best(lambda: json.loads(post().content), times)
