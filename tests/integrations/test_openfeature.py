"""The provider for OpenFeature, through OpenFeature's own clients, async and blocking."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
import queue
import textwrap
import threading
from collections.abc import Iterator
from typing import Any, Callable, Protocol

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import ProviderStatus

from tests.support_assignments import condition, item
from tests.support_children import needs_fork
from tests.support_clock import Clock
from tests.support_programs import run_python
from tests.support_server import PATIENCE, SteeredServer
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.integrations.openfeature import UpgradeProvider
from upgrade_client_lib.stores import MemoryStore
from upgrade_client_lib.testing import LocalUpgrade, Payload

STUDENT = EvaluationContext("student-1", {"groups": {"class": ["class-1"]}})


class Evaluate(Protocol):
    """Evaluates a flag through a client of OpenFeature."""

    def __call__(
        self, kind: str, key: str, default: Any, context: EvaluationContext | None = STUDENT
    ) -> FlagEvaluationDetails[Any]: ...


def blocking(
    kind: str, key: str, default: Any, context: EvaluationContext | None = STUDENT
) -> FlagEvaluationDetails[Any]:
    method: Callable[..., FlagEvaluationDetails[Any]]
    method = getattr(api.get_client(), f"get_{kind}_details")
    return method(key, default, context)


def in_event_loop(
    kind: str, key: str, default: Any, context: EvaluationContext | None = STUDENT
) -> FlagEvaluationDetails[Any]:
    method: Callable[..., Any] = getattr(api.get_client(), f"get_{kind}_details_async")
    details: FlagEvaluationDetails[Any] = asyncio.run(method(key, default, context))
    return details


both_forms = pytest.mark.parametrize(
    "evaluate", [pytest.param(in_event_loop, id="async"), pytest.param(blocking, id="sync")]
)


def provide(connection: UpgradeConnection) -> OpenFeatureClient:
    """Have OpenFeature evaluate through the connection, and give a client of it."""
    # Before 0.9, it has but the one, which waits.
    set_provider: Callable[..., None] = getattr(api, "set_provider_and_wait", api.set_provider)
    set_provider(UpgradeProvider(connection, "my-app"))
    return api.get_client()


def connected(local: LocalUpgrade, **options: Any) -> UpgradeConnection:
    return UpgradeConnection(
        "http://upgrade.local", transport=local.transport, retries=0, **options
    )


@pytest.fixture
def local() -> LocalUpgrade:
    return LocalUpgrade()


@pytest.fixture(autouse=True)
def provided(local: LocalUpgrade) -> Iterator[None]:
    """Each test begins with a provider for its own server, and leaves none."""
    provide(connected(local))
    yield
    api.clear_providers()


def carry(local: LocalUpgrade, payload: Any) -> None:
    """Have the point home/banner assign a condition that carries this."""
    local.experiment("home", "banner", conditions=["on"], payloads={"on": payload})


# ---- Flags ----


@both_forms
def test_a_flag_that_is_on_is_true(evaluate: Evaluate, local: LocalUpgrade) -> None:
    local.flag("new-dashboard", include={"class": ["class-1"]})
    details = evaluate("boolean", "new-dashboard", False)
    assert (details.value, details.variant) == (True, "on")
    assert (details.reason, details.error_code) == (Reason.TARGETING_MATCH, None)
    assert details.flag_metadata == {"source": "server"}


@both_forms
def test_a_flag_that_is_off_is_false_whatever_the_default(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    details = evaluate("boolean", "new-dashboard", True)
    assert (details.value, details.reason) == (False, Reason.DEFAULT)
    assert (details.variant, details.error_code) == (None, None)


@both_forms
def test_during_an_outage_a_flag_is_the_default(evaluate: Evaluate, local: LocalUpgrade) -> None:
    local.down()
    details = evaluate("boolean", "new-dashboard", True)
    assert (details.value, details.reason) == (True, Reason.ERROR)
    assert details.error_code == ErrorCode.GENERAL
    assert "no connection" in (details.error_message or "")


# ---- Decision points ----


@both_forms
def test_a_string_is_the_assigned_condition(evaluate: Evaluate, local: LocalUpgrade) -> None:
    experiment = local.experiment("home", "banner", conditions=["treatment"])
    details = evaluate("string", "home/banner", "control")
    assert (details.value, details.variant) == ("treatment", "treatment")
    assert (details.reason, details.error_code) == (Reason.TARGETING_MATCH, None)
    assert details.flag_metadata == {"source": "server", "experiment_id": experiment.id}


@both_forms
def test_an_experiment_without_an_id_is_not_named(evaluate: Evaluate) -> None:
    server = SteeredServer()
    server.answer("assign", [item(assignedCondition=[condition(experimentId=None)])])
    provide(UpgradeConnection("http://upgrade.local", transport=server))
    details = evaluate("string", "home/banner", "treatment")
    assert (details.value, details.flag_metadata) == ("control", {"source": "server"})


@both_forms
@pytest.mark.parametrize(
    ("key", "site", "target"),
    [
        ("home", "home", ""),
        ("home/", "home", ""),
        ("home/banner/top", "home", "banner/top"),
        ("unit%2F1/page", "unit/1", "page"),
        ("home/a%2Fb%20", "home", "a/b%20"),
    ],
)
def test_the_first_slash_splits_a_key_and_its_code_stands_for_one(
    evaluate: Evaluate, local: LocalUpgrade, key: str, site: str, target: str
) -> None:
    local.experiment(site, target, conditions=["treatment"])
    assert evaluate("string", key, "control").value == "treatment"


@both_forms
@pytest.mark.parametrize(
    ("kind", "payload", "value"),
    [
        ("object", {"color": "red"}, {"color": "red"}),
        ("object", ["a", 1], ["a", 1]),
        ("object", '{"written": "as text"}', {"written": "as text"}),
        ("object", {}, {}),
        ("integer", "3", 3),
        ("integer", "-12", -12),
        ("float", "2.5", 2.5),
        ("float", "3", 3.0),
        ("string", {"color": "red"}, "on"),
    ],
)
def test_other_kinds_are_the_payload(
    evaluate: Evaluate, local: LocalUpgrade, kind: str, payload: Any, value: Any
) -> None:
    carry(local, payload)
    details = evaluate(kind, "home/banner", "the default")
    assert details.value == value
    assert type(details.value) is type(value)
    assert (details.variant, details.reason) == ("on", Reason.TARGETING_MATCH)


@both_forms
@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        ("object", "Welcome back!", ErrorCode.PARSE_ERROR),
        ("object", "3", ErrorCode.TYPE_MISMATCH),
        ("integer", "3.0", ErrorCode.TYPE_MISMATCH),
        ("integer", "true", ErrorCode.TYPE_MISMATCH),
        ("integer", "three", ErrorCode.PARSE_ERROR),
        ("float", "true", ErrorCode.TYPE_MISMATCH),
        ("float", "NaN", ErrorCode.PARSE_ERROR),
        ("float", "1e999", ErrorCode.TYPE_MISMATCH),
        ("float", "1" + "0" * 400, ErrorCode.TYPE_MISMATCH),
        ("float", ["3"], ErrorCode.TYPE_MISMATCH),
    ],
)
def test_a_payload_of_another_kind_is_an_error_and_the_default(
    evaluate: Evaluate, local: LocalUpgrade, kind: str, payload: Any, code: ErrorCode
) -> None:
    carry(local, payload)
    details = evaluate(kind, "home/banner", "the default")
    assert (details.value, details.reason) == ("the default", Reason.ERROR)
    assert details.error_code == code
    assert details.error_message


@both_forms
def test_a_condition_without_a_payload_is_no_object(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    local.experiment("home", "banner", conditions=["on"])
    details = evaluate("object", "home/banner", {})
    assert details.error_code == ErrorCode.TYPE_MISMATCH
    assert details.error_message == "the condition 'on' carries nothing, which is not a payload"


@both_forms
def test_a_row_of_cells_is_a_list(evaluate: Evaluate, local: LocalUpgrade) -> None:
    carry(local, Payload("csv", 'a,"b,c"'))
    assert evaluate("object", "home/banner", {}).value == ["a", "b,c"]


@both_forms
@pytest.mark.parametrize(
    ("kind", "default"),
    [("string", "control"), ("object", {"a": 1}), ("integer", 7), ("float", 0.5)],
)
def test_where_nothing_is_assigned_the_value_is_the_default(
    evaluate: Evaluate, local: LocalUpgrade, kind: str, default: Any
) -> None:
    details = evaluate(kind, "home/banner", default)
    assert (details.value, details.reason) == (default, Reason.DEFAULT)
    assert (details.variant, details.error_code) == (None, None)
    assert details.flag_metadata == {"source": "server"}


@both_forms
def test_an_evaluation_marks_nothing(evaluate: Evaluate, local: LocalUpgrade) -> None:
    carry(local, {"color": "red"})
    evaluate("string", "home/banner", "control")
    evaluate("object", "home/banner", {})
    assert local.marks == ()
    assert {request.endpoint for request in local.requests} == {"assign", "init"}


# ---- Whom it is for ----


@both_forms
@pytest.mark.parametrize("context", [None, EvaluationContext(), EvaluationContext("")])
def test_without_a_targeting_key_nothing_is_sent(
    evaluate: Evaluate, local: LocalUpgrade, context: EvaluationContext | None
) -> None:
    details = evaluate("string", "home/banner", "control", context)
    assert (details.value, details.error_code) == ("control", ErrorCode.TARGETING_KEY_MISSING)
    assert local.requests == ()


@both_forms
@pytest.mark.parametrize(
    ("user", "attributes", "message"),
    [
        ("student-1", {"groups": "class-1"}, "group must be a mapping"),
        ("student-1", {"groups": {"class": "class-1"}}, "must be a list of strings"),
        ("student-1", {"working_group": {"class": "class-1"}}, "working_group goes with group"),
        (" student-1", {}, "begins or ends with a blank"),
    ],
)
def test_a_context_that_describes_no_user_is_an_error_that_says_why(
    evaluate: Evaluate, local: LocalUpgrade, user: str, attributes: Any, message: str
) -> None:
    details = evaluate("boolean", "new-dashboard", False, EvaluationContext(user, attributes))
    assert details.error_code == ErrorCode.INVALID_CONTEXT
    assert message in (details.error_message or "")
    assert local.requests == ()


@both_forms
def test_groups_make_the_user_known_and_decide_group_experiments(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    local.experiment("home", "banner", conditions=["shown"], unit="group", group_type="class")
    context = EvaluationContext(
        "student-1",
        {"groups": {"class": ["class-1"]}, "working_group": {"class": "class-1"}, "grade": 7},
    )
    assert evaluate("string", "home/banner", "hidden", context).value == "shown"


@both_forms
def test_a_user_who_is_not_known_and_states_no_groups_is_an_error(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    details = evaluate("string", "home/banner", "control", EvaluationContext("student-1"))
    assert (details.value, details.error_code) == ("control", ErrorCode.INVALID_CONTEXT)
    assert details.reason == Reason.ERROR


@both_forms
@pytest.mark.parametrize(
    ("kind", "key", "default"), [("boolean", "", False), ("string", "", "x"), ("string", "/x", "x")]
)
def test_a_key_that_names_nothing_is_not_found(
    evaluate: Evaluate, local: LocalUpgrade, kind: str, key: str, default: Any
) -> None:
    details = evaluate(kind, key, default)
    assert (details.value, details.error_code) == (default, ErrorCode.FLAG_NOT_FOUND)
    assert local.requests == ()


# ---- Stores, outages and events ----


@both_forms
def test_with_a_store_the_next_evaluation_is_cached(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    local.experiment("home", "banner", conditions=["treatment"])
    local.flag("new-dashboard", include={"class": ["class-1"]})
    provide(connected(local, store=MemoryStore()))
    reasons = [
        evaluate(kind, key, default).reason
        for kind, key, default in [
            ("string", "home/banner", "control"),
            ("string", "home/banner", "control"),
            ("boolean", "new-dashboard", False),
            ("boolean", "new-dashboard", False),
        ]
    ]
    assert reasons == [Reason.TARGETING_MATCH, Reason.CACHED] * 2


@both_forms
def test_during_an_outage_a_store_gives_stale_values(
    evaluate: Evaluate, local: LocalUpgrade
) -> None:
    local.experiment("home", "banner", conditions=["treatment"])
    provide(connected(local, store=MemoryStore(), max_age=0))
    evaluate("string", "home/banner", "control")
    local.down()
    details = evaluate("string", "home/banner", "control")
    assert (details.value, details.reason) == ("treatment", Reason.STALE)
    assert details.flag_metadata["source"] == "stale"


@both_forms
@pytest.mark.parametrize(
    ("make_store", "event", "status"),
    [
        (lambda: None, ProviderEvent.PROVIDER_ERROR, ProviderStatus.ERROR),
        (MemoryStore, ProviderEvent.PROVIDER_STALE, ProviderStatus.STALE),
    ],
    ids=["without-store", "with-store"],
)
def test_the_breaker_tells_when_the_server_is_away_and_when_it_is_back(
    evaluate: Evaluate,
    local: LocalUpgrade,
    monkeypatch: pytest.MonkeyPatch,
    make_store: Callable[[], MemoryStore | None],
    event: ProviderEvent,
    status: ProviderStatus,
) -> None:
    clock = Clock.running(monkeypatch)
    client = provide(connected(local, store=make_store()))
    heard: queue.Queue[tuple[ProviderEvent, EventDetails]] = queue.Queue()
    client.add_handler(event, lambda details: heard.put((event, details)))
    local.down()
    for number in range(7):
        evaluate("boolean", "new-dashboard", False, EvaluationContext(f"student-{number}"))
    assert client.get_provider_status() == status
    told, details = heard.get(timeout=PATIENCE)
    assert told == event
    assert details.message == "http://upgrade.local did not answer lately"

    ready = ProviderEvent.PROVIDER_READY
    client.add_handler(ready, lambda details: heard.put((ready, details)))
    local.up()
    clock.let_pass(60.0)
    evaluate("boolean", "new-dashboard", False)
    assert client.get_provider_status() == ProviderStatus.READY
    told, details = heard.get(timeout=PATIENCE)
    assert (told, details.message) == (ready, "http://upgrade.local answers")
    assert heard.empty()


def test_who_hears_of_an_outage_holds_up_no_other_evaluation(local: LocalUpgrade) -> None:
    provider = UpgradeProvider(connected(local), "my-app")
    heard: list[ProviderEvent] = []

    def evaluate() -> None:
        provider.resolve_boolean_details("new-dashboard", False, STUDENT)

    def hear(_: Any, event: ProviderEvent, details: Any) -> None:
        heard.append(event)
        other = threading.Thread(target=evaluate, daemon=True)
        other.start()
        other.join(PATIENCE)
        assert not other.is_alive()

    provider.attach(hear)  # as OpenFeature does; its older versions call handlers in there
    local.down()
    for _ in range(7):
        evaluate()
    assert heard == [ProviderEvent.PROVIDER_ERROR]


def test_a_closed_connection_is_an_error_of_the_evaluation(local: LocalUpgrade) -> None:
    connection = connected(local)
    provide(connection)
    connection.close()
    details = blocking("string", "home/banner", "control")
    assert (details.value, details.error_code) == ("control", ErrorCode.GENERAL)


def test_a_provider_that_is_replaced_leaves_the_connection_open(local: LocalUpgrade) -> None:
    connection = connected(local)
    provide(connection)
    provide(connected(local))
    connection.client("student-1", "my-app").init_sync()


@needs_fork
def test_a_forked_process_evaluates_too() -> None:
    program = """
        import os
        from openfeature.evaluation_context import EvaluationContext
        from upgrade_client_lib import UpgradeConnection
        from upgrade_client_lib.integrations.openfeature import UpgradeProvider
        from upgrade_client_lib.testing import LocalUpgrade

        local = LocalUpgrade()
        local.experiment("home", "banner", conditions=["treatment"])
        connection = UpgradeConnection("http://upgrade.local", transport=local.transport)
        provider = UpgradeProvider(connection, "my-app")
        student = EvaluationContext("student-1", {"groups": {}})
        if os.fork() == 0:
            print(provider.resolve_string_details("home/banner", "", student).value, flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
    """
    done = run_python("-c", textwrap.dedent(program))
    assert (done.stdout, done.stderr) == ("treatment\n", "")


def test_a_provider_names_itself_and_wants_a_context(local: LocalUpgrade) -> None:
    assert api.get_provider_metadata().name == "UpGrade"
    with pytest.raises(ValueError, match="context must not be empty"):
        UpgradeProvider(connected(local), "")


# ---- Tracking ----


def track(name: str, value: float | None = None, **attributes: Any) -> None:
    tracking: Any = pytest.importorskip("openfeature.track", reason="openfeature-sdk 0.9 has it")
    client: Any = api.get_client()
    client.track(name, STUDENT, tracking.TrackingEventDetails(value, attributes))


def test_an_event_is_logged_with_its_value_and_its_attributes(local: LocalUpgrade) -> None:
    local.metric("seconds")
    local.metric("path", allowed=["short", "long"])
    connected(local).client("student-1", "my-app").init_sync()
    track("seconds", 95.5, path="short")
    local.assert_logged("seconds", value=95.5, user="student-1")
    local.assert_logged("path", value="short", user="student-1")
    assert (local.marks, local.rewards) == ((), ())


def test_an_event_may_have_attributes_alone(local: LocalUpgrade) -> None:
    local.metric("path", allowed=["short", "long"])
    connected(local).client("student-1", "my-app").init_sync()
    track("finished", path="short")
    local.assert_logged("path", value="short", user="student-1")


def test_with_an_outbox_an_event_is_handed_over(local: LocalUpgrade) -> None:
    local.metric("seconds")
    connection = connected(local, outbox=MemoryStore())
    provide(connection)
    connection.client("student-1", "my-app").init_sync()
    track("seconds", 95.5)
    connection.close()  # which delivers it
    local.assert_logged("seconds", value=95.5, user="student-1")


def test_an_event_without_values_is_no_metric(
    local: LocalUpgrade, caplog: pytest.LogCaptureFixture
) -> None:
    UpgradeProvider(connected(local), "my-app").track("clicked", STUDENT)
    assert caplog.messages == ["'clicked' is not logged: it has no value to log"]
    assert local.requests == ()


def test_an_outage_does_not_disturb_who_tracks(
    local: LocalUpgrade, caplog: pytest.LogCaptureFixture
) -> None:
    local.down()
    with caplog.at_level(logging.WARNING):
        track("seconds", 95.5)
    assert any("'seconds' is not logged: no connection" in line for line in caplog.messages)


def test_a_value_that_no_metric_holds_is_refused(local: LocalUpgrade) -> None:
    with pytest.raises(ValueError, match="premium"):
        track("seconds", 95.5, premium=True)
    assert local.requests == ()
