"""What OpenTelemetry's own SDK is told: spans, events of decisions, and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer
from upgrade_client_lib import UnreadableAnswerError, UpgradeApiError, UpgradeConnection
from upgrade_client_lib.hooks import Call
from upgrade_client_lib.integrations.opentelemetry import OpenTelemetryHook
from upgrade_client_lib.stores import MemoryStore, SQLiteStore
from upgrade_client_lib.testing import LocalUpgrade

SERVER = {"server.address": "upgrade.local", "server.port": 80}
ASSIGN = {"http.request.method": "POST", "url.template": "/api/v6/assign", **SERVER}


@attrs.frozen
class Told:
    """A hook, and what the SDK was told by it."""

    hook: OpenTelemetryHook
    provider: TracerProvider
    meters: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in the order in which they did."""
        return self.exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data: Any = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def told() -> Iterator[Told]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider, meters = TracerProvider(), MeterProvider([reader])
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetryHook(tracer_provider=provider, meter_provider=meters)
    yield Told(hook, provider, meters, exporter, reader)
    provider.shutdown()
    meters.shutdown()


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["treatment"])
    local.experiment("lesson", conditions=["hint"])
    local.flag("new-dashboard", include={"class": ["class-1"]})
    return local


def connected(told: Told, transport: Any, *, retries: int = 0, **options: Any) -> UpgradeConnection:
    return UpgradeConnection(
        "http://upgrade.local", transport=transport, hooks=[told.hook], retries=retries, **options
    )


def span_id(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


# ---- Spans ----


@both_forms
def test_a_call_is_a_span_named_by_its_endpoint(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    call(connected(told, local.transport).client("student-1", "my-app").init)
    (span,) = told.spans
    assert (span.name, span.kind) == ("POST /api/v6/init", SpanKind.CLIENT)
    assert span.status.status_code == StatusCode.UNSET
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": "http://upgrade.local/api/v6/init",
        "url.template": "/api/v6/init",
        **SERVER,
    }


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://upgrade.example.org", "upgrade.example.org", 443),
        ("http://[::1]:3030", "::1", 3030),
    ],
)
def test_a_span_names_the_server(
    told: Told, local: LocalUpgrade, url: str, address: str, port: int
) -> None:
    with UpgradeConnection(url, transport=local.transport, hooks=[told.hook]) as connection:
        connection.client("student-1", "my-app").init_sync()
    (span,) = told.spans
    assert attributes(span)["server.address"] == address
    assert attributes(span)["server.port"] == port


@both_forms
def test_an_error_response_is_an_error_of_the_span(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    with pytest.raises(UpgradeApiError):
        call(
            connected(told, local.transport)
            .client("student-1", "my-app")
            .get_all_experiment_conditions
        )
    (span,) = told.spans
    assert span.status.status_code == StatusCode.ERROR
    assert span.status.description is None, "the status code says it"
    assert attributes(span)["http.response.status_code"] == 404
    assert attributes(span)["error.type"] == "404"


@both_forms
@pytest.mark.parametrize("status", [200, 302])
def test_an_unreadable_response_is_an_error_of_its_class_not_of_its_status(
    call: Form, told: Told, local: LocalUpgrade, status: int
) -> None:
    local.fail_next("init", status=status, body="<html>")
    with pytest.raises(UnreadableAnswerError):
        call(connected(told, local.transport).client("student-1", "my-app").init)
    (span,) = told.spans
    assert span.status.status_code == StatusCode.ERROR
    assert span.status.description == "UnreadableAnswerError"
    assert attributes(span)["http.response.status_code"] == status
    assert attributes(span)["error.type"] == "UnreadableAnswerError"
    (point,) = told.points("upgrade.client.call.duration")
    assert point.attributes["error.type"] == "UnreadableAnswerError"


@both_forms
def test_an_outage_is_an_error_of_the_span(call: Form, told: Told, local: LocalUpgrade) -> None:
    local.down()
    call(connected(told, local.transport).client("student-1", "my-app").decide, "home", "banner")
    (span,) = told.spans
    assert span.status.description == "NoConnectionError"
    assert attributes(span)["error.type"] == "NoConnectionError"
    assert "http.response.status_code" not in attributes(span)


@pytest.mark.usefixtures("no_delay_between_attempts")
@both_forms
def test_attempts_are_one_span_that_counts_them(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    server = SteeredServer(local.transport)
    server.lose_next("init", "before")
    server.lose_next("init", "before")
    call(connected(told, server, retries=2).client("student-1", "my-app").init)
    (span,) = told.spans
    assert attributes(span)["http.request.resend_count"] == 2


@both_forms
def test_spans_of_calls_are_children_of_the_applications(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    connection = connected(told, local.transport)
    with told.provider.get_tracer("app").start_as_current_span("page") as page:
        client = connection.client("student-1", "my-app", group={})
        call(client.decide, "home", "banner")
        assert trace.get_current_span() is page
    *calls, last = told.spans
    assert [span.name for span in calls] == [
        "POST /api/v6/assign",
        "POST /api/v6/init",
        "POST /api/v6/assign",
    ]
    assert {span.parent and span.parent.span_id for span in calls} == {span_id(last)}


def test_a_cancelled_call_ends_its_span_and_leaves_the_applications_current(
    told: Told, local: LocalUpgrade
) -> None:
    server = SteeredServer(local.transport)
    client = connected(told, server).client("student-1", "my-app")
    tracer = told.provider.get_tracer("app")

    async def page() -> None:
        hold = server.hold_next("init")
        with tracer.start_as_current_span("page") as span:
            task = asyncio.current_task()
            assert task is not None
            hold.arrived.add_done_callback(
                lambda _: asyncio.get_running_loop().call_soon(task.cancel)
            )
            with pytest.raises(asyncio.CancelledError):
                await client.init()
            assert trace.get_current_span() is span

    asyncio.run(page())
    cancelled, _ = told.spans
    assert (cancelled.name, attributes(cancelled)["error.type"]) == (
        "POST /api/v6/init",
        "abandoned",
    )


def test_calls_at_the_same_time_have_their_own_spans(told: Told, local: LocalUpgrade) -> None:
    connection = connected(told, local.transport)

    async def page() -> None:
        students = [connection.client(f"student-{number}", "my-app") for number in range(10)]
        await asyncio.gather(*(student.init() for student in students))

    asyncio.run(page())
    assert len({span_id(span) for span in told.spans}) == 10
    assert all(span.parent is None for span in told.spans)


@both_forms
def test_two_hooks_of_one_connection_leave_the_applications_span_current(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    inner = OpenTelemetryHook(tracer_provider=told.provider)
    connection = UpgradeConnection(
        "http://upgrade.local", transport=local.transport, hooks=[told.hook, inner]
    )
    with told.provider.get_tracer("app").start_as_current_span("page") as page:
        call(connection.client("student-1", "my-app").init)
        assert trace.get_current_span() is page
    first, second, last = told.spans
    assert [span.parent and span.parent.span_id for span in (first, second)] == [
        span_id(second),
        span_id(last),
    ]


@both_forms
def test_spans_of_the_httpx_instrumentation_are_children(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=told.provider)
    try:
        with local.serve() as url, UpgradeConnection(url, hooks=[told.hook]) as connection:
            call(connection.client("student-1", "my-app").init)
    finally:
        instrumentor.uninstrument()
    inner, outer = told.spans
    assert (inner.name, outer.name) == ("POST", "POST /api/v6/init")
    assert inner.parent is not None
    assert inner.parent.span_id == span_id(outer)


# ---- Decisions ----


def decisions(told: Told, local: LocalUpgrade, call: Form, **options: Any) -> list[dict[str, Any]]:
    """The events of a page that decides at three points and about two flags."""
    client = connected(told, local.transport, **options).client(
        "student-1", "my-app", group={"class": ["class-1"]}
    )
    with told.provider.get_tracer("app").start_as_current_span("page"):
        call(client.decide, "home", "banner", default="control")
        call(client.decide, "lesson", default="none")
        call(client.decide, "home", "footer", default="plain")
        call(client.decide_flag, "new-dashboard")
        call(client.decide_flag, "dark-mode")
    events = told.spans[-1].events
    assert {event.name for event in events} == {"feature_flag.evaluation"}
    return [dict(event.attributes or {}) for event in events]


@both_forms
def test_decisions_are_events_of_the_applications_span(
    call: Form, told: Told, local: LocalUpgrade
) -> None:
    events = decisions(told, local, call)
    assert {event.pop("feature_flag.provider.name") for event in events} == {"UpGrade"}
    assert {event.pop("feature_flag.set.id") for event in events} == {"my-app"}
    assert [
        {key.removeprefix("feature_flag."): value for key, value in event.items()}
        for event in events
    ] == [
        {"key": "home/banner", "result.reason": "targeting_match", "result.variant": "treatment"},
        {"key": "lesson", "result.reason": "cached", "result.variant": "hint"},
        {"key": "home/footer", "result.reason": "default", "result.value": "plain"},
        {"key": "new-dashboard", "result.reason": "targeting_match", "result.variant": "on"},
        {"key": "dark-mode", "result.reason": "default", "result.value": False},
    ]


@both_forms
def test_after_an_error_the_event_says_which(call: Form, told: Told, local: LocalUpgrade) -> None:
    local.down()
    first = decisions(told, local, call)[0]
    assert first["feature_flag.result.reason"] == "error"
    assert first["feature_flag.result.value"] == "control"
    assert first["error.type"] == "NoConnectionError"


def test_nothing_tells_who_the_user_is(told: Told, local: LocalUpgrade) -> None:
    connection = connected(told, local.transport, token="secret-token")
    client = connection.client("student-of-renown", "my-app", group={"class": ["class-1"]})
    with told.provider.get_tracer("app").start_as_current_span("page"):
        client.decide_sync("home", "banner").mark_sync()
    exported = " ".join(span.to_json() for span in told.spans)
    metrics: Any = told.reader.get_metrics_data()
    for private in ("student-of-renown", "secret-token", "class-1"):
        assert private not in exported
        assert private not in metrics.to_json()


# ---- Metrics ----


@both_forms
def test_calls_are_counted_and_timed(call: Form, told: Told, local: LocalUpgrade) -> None:
    client = connected(told, local.transport).client("student-1", "my-app", group={})
    call(client.decide, "home", "banner")
    points = {
        (point.attributes["url.template"], point.attributes.get("error.type")): point
        for point in told.points("upgrade.client.call.duration")
    }
    assert {key: point.count for key, point in points.items()} == {
        ("/api/v6/assign", "404"): 1,
        ("/api/v6/init", None): 1,
        ("/api/v6/assign", None): 1,
    }
    done = points["/api/v6/assign", None]
    assert dict(done.attributes) == {**ASSIGN, "http.response.status_code": 200}
    assert 0.0 < done.sum < 10.0
    assert done.explicit_bounds[0] == 0.005


@both_forms
def test_decisions_are_counted_by_reason(call: Form, told: Told, local: LocalUpgrade) -> None:
    decisions(told, local, call)
    local.down()
    decisions(told, local, call)
    counts: Mapping[Any, int] = {
        tuple(point.attributes.values()): point.value
        for point in told.points("upgrade.client.decisions")
    }
    assert counts == {
        ("targeting_match",): 2,
        ("cached",): 1,
        ("default",): 2,
        ("error", "NoConnectionError"): 5,
    }


def test_a_stale_decision_is_told_as_stale(told: Told, local: LocalUpgrade) -> None:
    connection = connected(told, local.transport, store=MemoryStore(), max_age=0)
    for _ in range(2):
        connection.client("student-1", "my-app", group={}).decide_sync("home", "banner")
        local.down()
    reasons = [
        point.attributes["feature_flag.result.reason"]
        for point in told.points("upgrade.client.decisions")
    ]
    assert reasons == ["targeting_match", "stale"]


def circuits(told: Told) -> list[tuple[int, dict[str, Any]]]:
    points = told.points("upgrade.client.circuit.open")
    return [(point.value, dict(point.attributes)) for point in points]


def open_circuit(connection: UpgradeConnection) -> None:
    """Have five reads find no server."""
    for number in range(5):
        connection.client(f"student-{number}", "my-app").decide_sync("home", "banner")


def test_an_observed_connection_tells_of_its_circuit_breaker(
    told: Told, local: LocalUpgrade
) -> None:
    connection = connected(told, local.transport)
    assert circuits(told) == []
    told.hook.observe(connection)
    assert circuits(told) == [(0, SERVER)]
    assert told.points("upgrade.client.outbox.events") == []

    local.down()
    open_circuit(connection)
    assert circuits(told) == [(1, SERVER)]


NO_EVENTS = {"waiting": 0, "sending": 0, "refused": 0, "undecided": 0, "expired": 0}


def events_by_state(told: Told) -> dict[str, int]:
    """The events of the outboxes for the server."""
    points = told.points("upgrade.client.outbox.events")
    counts = {point.attributes["state"]: point.value for point in points}
    assert [dict(point.attributes) for point in points] == [
        {"state": state, **SERVER} for state in counts
    ]
    return counts


def have_an_event_refused(connection: UpgradeConnection) -> str:
    """Hand a reward over that the server refuses; return its id."""
    client = connection.client("student-1", "my-app")
    event = client.enqueue_reward_sync("SUCCESS", "no-such-experiment")
    assert connection.outbox.flush_sync(10) == 0
    return event.id


def test_an_observed_connection_tells_of_its_outbox_also_when_it_is_empty(
    told: Told, local: LocalUpgrade
) -> None:
    with connected(told, local.transport, outbox=MemoryStore()) as connection:
        told.hook.observe(connection)
        assert events_by_state(told) == NO_EVENTS
        event_id = have_an_event_refused(connection)
        assert events_by_state(told) == {**NO_EVENTS, "refused": 1}
        connection.outbox.discard_sync(event_id)
        assert events_by_state(told) == NO_EVENTS


def test_observed_connections_to_one_server_are_told_of_as_one(
    told: Told, local: LocalUpgrade
) -> None:
    shared = MemoryStore()
    broken, sharing, other, without = (
        connected(told, local.transport, outbox=store)
        for store in (shared, shared, MemoryStore(), None)
    )
    for connection in (broken, sharing, other, without):
        told.hook.observe(connection)
    have_an_event_refused(broken)
    have_an_event_refused(sharing)
    have_an_event_refused(other)
    assert events_by_state(told) == {**NO_EVENTS, "refused": 3}

    assert circuits(told) == [(0, SERVER)]
    local.down()
    open_circuit(broken)
    assert (broken.circuit_open, other.circuit_open) == (True, False)
    assert circuits(told) == [(1, SERVER)]
    for connection in (broken, sharing, other):
        connection.close()


def test_observed_connections_to_other_servers_are_told_of_apart(
    told: Told, local: LocalUpgrade
) -> None:
    one = connected(told, local.transport)
    other = UpgradeConnection("http://other.local", transport=local.transport)
    told.hook.observe(one)
    told.hook.observe(other)
    local.down()
    open_circuit(other)
    observed = {attributes["server.address"]: value for value, attributes in circuits(told)}
    assert observed == {"upgrade.local": 0, "other.local": 1}


def test_an_outbox_that_cannot_be_read_leaves_the_others_told_of(
    told: Told, local: LocalUpgrade, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = SQLiteStore(str(tmp_path / "events.db"))
    unreadable = [
        UpgradeConnection(f"http://{host}.local", transport=local.transport, outbox=closed)
        for host in ("first", "last")
    ]
    with connected(told, local.transport, outbox=MemoryStore()) as readable:
        for connection in (unreadable[0], readable, unreadable[1]):
            told.hook.observe(connection)
            connection.close()
        closed.close()
        assert events_by_state(told) == NO_EVENTS
    assert caplog.messages == []


def test_the_connections_of_several_hooks_of_a_provider_are_all_told_of(
    told: Told, local: LocalUpgrade
) -> None:
    second = OpenTelemetryHook(meter_provider=told.meters)
    one = connected(told, local.transport)
    other = UpgradeConnection("http://other.local", transport=local.transport, hooks=[second])
    told.hook.observe(one)
    second.observe(other)
    servers = [attributes["server.address"] for _, attributes in circuits(told)]
    assert sorted(servers) == ["other.local", "upgrade.local"]


def test_an_abandoned_call_is_timed(told: Told, local: LocalUpgrade) -> None:
    connection = connected(told, local.transport)
    connection.close()
    with pytest.raises(RuntimeError):
        connection.client("student-1", "my-app").init_sync()
    (point,) = told.points("upgrade.client.call.duration")
    assert point.attributes["error.type"] == "abandoned"
    (span,) = told.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert attributes(span)["error.type"] == "abandoned"


def test_a_call_whose_beginning_was_not_heard_of_is_timed_all_the_same(told: Told) -> None:
    told.hook.after(
        Call(
            endpoint="POST /api/v6/init",
            user_id="student-1",
            context="my-app",
            host_url="http://upgrade.local",
            attempts=1,
            seconds=0.5,
        )
    )
    (point,) = told.points("upgrade.client.call.duration")
    assert (point.count, point.sum) == (1, 0.5)
    assert told.spans == ()


def test_the_global_providers_are_the_default(local: LocalUpgrade) -> None:
    # Without an SDK these do nothing, and cost next to nothing.
    hook = OpenTelemetryHook()
    transport: httpx.BaseTransport = local.transport
    with UpgradeConnection("http://upgrade.local", transport=transport, hooks=[hook]) as connection:
        connection.client("student-1", "my-app", group={}).decide_sync("home", "banner")
