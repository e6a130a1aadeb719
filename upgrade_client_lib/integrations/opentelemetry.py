"""Traces and metrics for OpenTelemetry: what was called, decided, and how it went.

>>> from upgrade_client_lib.integrations.opentelemetry import OpenTelemetryHook
>>> telemetry = OpenTelemetryHook()
>>> connection = UpgradeConnection("https://upgrade.example.org", hooks=[telemetry])
>>> telemetry.observe(connection)
"""

from __future__ import annotations

import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._version import __version__
from ..connection import UpgradeConnection
from ..decision import Decision, FlagDecision
from ..hooks import Call, Hook
from ..types import OutboxEventState
from ._decisions import reason_of, variant_of

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Span, SpanKind, StatusCode
except ImportError as error:
    raise ImportError(
        "this module needs the package opentelemetry-api:"
        ' pip install "upgrade-client-lib[opentelemetry]"'
    ) from error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetryHook"]

_SCOPE = "upgrade_client_lib"
_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
"""The buckets that the conventions have for the duration of requests."""

_NO_EVENTS = {str(state): 0 for state in OutboxEventState}
"""States are told without events too: a series that ends would keep its last value."""


class OpenTelemetryHook(Hook):
    """Reports calls as spans, decisions as events, and both as metrics.

    A call is a span of kind ``CLIENT``, named by its endpoint, with all its attempts; it has the
    attributes of OpenTelemetry's conventions for HTTP clients. A decision is an event of the span
    that is current, named ``feature_flag.evaluation``, with those of the conventions for feature
    flags. No user id and no token is in either.

    Metrics are ``upgrade.client.call.duration`` (a histogram, in seconds; its count is that of the
    calls), ``upgrade.client.decisions`` by reason, and for connections that :meth:`observe` is told
    of, ``upgrade.client.circuit.open`` and ``upgrade.client.outbox.events``.

    Args:
        tracer_provider: what makes spans; the global one by default.
        meter_provider: what keeps metrics; the global one by default.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider=tracer_provider)
        # Hooks run in the thread or task of the call, and a call makes no other one.
        self._running: ContextVar[tuple[Span, Any] | None] = ContextVar("running", default=None)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider=meter_provider)
        self._durations = meter.create_histogram(
            "upgrade.client.call.duration",
            unit="s",
            description="How long calls to UpGrade took, all attempts included.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._decisions = meter.create_counter(
            "upgrade.client.decisions", unit="{decision}", description="Decisions, by reason."
        )
        self._observed = _observed(meter_provider)

    def observe(self, connection: UpgradeConnection) -> None:
        """Have the metrics tell of a connection's circuit breaker and outbox, while it lives.

        Of several connections to one server, the circuit is open where that of one is, and the
        events of their outboxes are added up. Those that share a store object are counted once.
        """
        self._observed.add(connection)

    # ---- Calls ----

    def before(self, call: Call) -> None:
        """Begin a span, and make it the current one."""
        method, _, path = call.endpoint.partition(" ")
        span = self._tracer.start_span(
            call.endpoint,
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": method,
                "url.full": call.host_url + path,
                "url.template": path,
                **_server(call.host_url),
            },
        )
        self._running.set((span, context.attach(trace.set_span_in_context(span))))

    def after(self, call: Call) -> None:
        """End the span."""
        self._end(call, {"http.response.status_code": 200})

    def failed(self, call: Call) -> None:
        """End the span, with the error."""
        assert call.error is not None
        status = call.error.status_code
        kind = type(call.error).__name__  # the message may name the user
        outcome: dict[str, str | int] = {}
        if status is not None:
            outcome["http.response.status_code"] = status
        if status is not None and status >= 400:
            self._end(call, {**outcome, "error.type": str(status)})
        else:
            self._end(call, {**outcome, "error.type": kind}, kind)

    def abandoned(self, call: Call) -> None:
        """End the span of a call that was cancelled, which is an error by the conventions."""
        self._end(call, {"error.type": "abandoned"})

    def _end(
        self, call: Call, outcome: dict[str, str | int], description: str | None = None
    ) -> None:
        method, _, path = call.endpoint.partition(" ")
        about = {"http.request.method": method, "url.template": path, **_server(call.host_url)}
        self._durations.record(call.seconds, {**about, **outcome})
        running = self._running.get()
        if running is None:
            return
        self._running.set(None)
        span, token = running
        context.detach(token)
        span.set_attributes(outcome)
        if call.attempts > 1:
            span.set_attribute("http.request.resend_count", call.attempts - 1)
        if "error.type" in outcome:
            span.set_status(StatusCode.ERROR, description)
        span.end()

    # ---- Decisions ----

    def decided(self, decision: Decision | FlagDecision) -> None:
        """Add an event to the current span, and count."""
        reason = reason_of(decision).lower()
        counted = {"feature_flag.result.reason": reason}
        event: dict[str, str | bool] = {
            "feature_flag.key": _key(decision),
            "feature_flag.provider.name": "UpGrade",
            "feature_flag.set.id": decision.context,
            "feature_flag.result.reason": reason,
        }
        variant = variant_of(decision)
        if variant is not None:
            event["feature_flag.result.variant"] = variant
        else:
            event["feature_flag.result.value"] = (
                decision.condition if isinstance(decision, Decision) else decision.enabled
            )
        if decision.error is not None:
            event["error.type"] = counted["error.type"] = type(decision.error).__name__
        self._decisions.add(1, counted)
        trace.get_current_span().add_event("feature_flag.evaluation", event)


# ---- Connections ----


@cache
def _observed(meter_provider: MeterProvider | None) -> weakref.WeakSet[UpgradeConnection]:
    """Return the connections that the gauges of a provider tell of.

    All hooks of a provider have them in common: it keeps the gauges that it is told of first, and
    not those of a second hook.
    """
    connections: weakref.WeakSet[UpgradeConnection] = weakref.WeakSet()
    meter = metrics.get_meter(_SCOPE, __version__, meter_provider=meter_provider)
    meter.create_observable_gauge(
        "upgrade.client.circuit.open",
        callbacks=[partial(_circuits, connections)],
        unit="1",
        description="1 while reads fail at once, since the server could not be reached.",
    )
    meter.create_observable_gauge(
        "upgrade.client.outbox.events",
        callbacks=[partial(_outboxes, connections)],
        unit="{event}",
        description="Events in the outbox, by state.",
    )
    return connections


def _circuits(
    observed: Iterable[UpgradeConnection], options: CallbackOptions
) -> Iterator[Observation]:
    for server, connections in _by_server(observed):
        yield Observation(int(any(one.circuit_open for one in connections)), server)


def _outboxes(
    observed: Iterable[UpgradeConnection], options: CallbackOptions
) -> Iterator[Observation]:
    for server, connections in _by_server(observed):
        # Outboxes of the same events are equal, and counted once.
        outboxes = {one.outbox for one in connections if one.has_outbox}
        counts = Counter(_NO_EVENTS if outboxes else {})
        try:
            for outbox in outboxes:
                counts.update(outbox.counts_sync())
        except Exception:  # a store raises what it likes; those of other servers are told of
            continue
        for state, count in counts.items():
            yield Observation(count, {"state": state, **server})


def _by_server(
    observed: Iterable[UpgradeConnection],
) -> Iterator[tuple[dict[str, str | int], list[UpgradeConnection]]]:
    """Yield servers as attributes, of which one observation is kept, with their connections."""
    servers: defaultdict[Any, list[UpgradeConnection]] = defaultdict(list)
    for connection in list(observed):
        servers[tuple(_server(connection.host_url).items())].append(connection)
    for server, connections in servers.items():
        yield dict(server), connections


def _key(decision: Decision | FlagDecision) -> str:
    if isinstance(decision, FlagDecision):
        return decision.key
    return f"{decision.site}/{decision.target}" if decision.target else decision.site


def _server(host_url: str) -> dict[str, str | int]:
    address = urlsplit(host_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    return {"server.address": address.hostname or "", "server.port": port}
