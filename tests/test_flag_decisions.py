"""Decisions about feature flags: what they say in each case, and that they never raise."""

from __future__ import annotations

import copy
import json
import pickle
import time
from typing import Any

import attrs
import pytest

from tests.support_clients import client_at
from tests.support_clock import MARGIN, Clock
from tests.support_faults import FAULTS, within
from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, both_forms
from tests.support_server import SteeredServer, local_upgrade
from upgrade_client_lib import (
    FlagDecision,
    NoConnectionError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import DecisionReason, DecisionSource


def decided(call: Form, client: UpgradeClient, key: str, **options: bool) -> FlagDecision:
    decision = call(client.decide_flag, key, **options)
    assert isinstance(decision, FlagDecision)
    return decision


def unreachable() -> UpgradeClient:
    local = LocalUpgrade()
    local.down()
    return client_at(local).with_options(retries=0)


@both_forms
def test_a_flag_that_is_on_is_enabled(call: Form, client: UpgradeClient) -> None:
    decision = decided(call, client, "new-dashboard")

    assert decision.enabled
    assert decision
    assert decision.reason is DecisionReason.ASSIGNED
    assert decision.source is DecisionSource.SERVER
    assert (decision.user_id, decision.context) == ("user", "my-app")
    assert decision.key == "new-dashboard"
    assert decision.error is None


@both_forms
@pytest.mark.parametrize("default", [False, True])
def test_a_flag_that_is_off_or_does_not_exist_is_not_enabled(
    call: Form, client: UpgradeClient, default: bool
) -> None:
    decision = decided(call, client, "dark-mode", default=default)

    assert not decision.enabled
    assert not decision
    assert decision.reason is DecisionReason.NOT_ASSIGNED


@both_forms
@pytest.mark.parametrize("default", [False, True])
def test_the_default_is_for_errors(call: Form, default: bool) -> None:
    decision = decided(call, unreachable(), "new-dashboard", default=default)

    assert decision.enabled is default
    assert bool(decision) is default
    assert decision.reason is DecisionReason.ERROR
    assert decision.source is None
    assert decision.age is None
    assert isinstance(decision.error, NoConnectionError)
    assert decision.error.__traceback__ is None
    assert decision.error.__cause__ is None


@both_forms
@pytest.mark.parametrize("key", ["new-dashboard", "dark-mode"])
def test_later_decisions_come_from_the_cache(
    call: Form, client: UpgradeClient, server: SteeredServer, key: str
) -> None:
    first, *later = (decided(call, client, key) for _ in range(3))

    assert first.source is DecisionSource.SERVER
    assert [decision.source for decision in later] == [DecisionSource.CACHE] * 2
    assert later[0] is later[1]
    assert server.count("featureflag") == 1


@both_forms
def test_a_change_of_groups_makes_new_decisions(call: Form) -> None:
    local = LocalUpgrade()
    local.flag("for-class-1", include={"class": ["class-1"]})
    client = client_at(local, group={})
    for _ in range(3):
        assert not decided(call, client, "for-class-1")
    call(client.set_group_membership, {"class": ["class-1"]})
    assert decided(call, client, "for-class-1")
    client.set_feature_flag_user_groups_for_session({"class": ["class-2"]}, False)
    assert not decided(call, client, "for-class-1")


@both_forms
def test_more_keys_of_no_flag_than_are_kept_can_be_decided(
    call: Form, client: UpgradeClient, server: SteeredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upgrade_client_lib._user.record.MAX_EMPTY_POINTS", 2)
    for _ in range(3):
        for number in range(6):
            assert not decided(call, client, f"flag-{number}")
        assert decided(call, client, "new-dashboard")
    assert server.count("featureflag") == 1


@both_forms
def test_a_decision_grows_old(
    call: Form, client: UpgradeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.stopped(monkeypatch, "time")
    decision = decided(call, client, "new-dashboard")
    clock.let_pass(12.5)
    assert decision.age == pytest.approx(12.5)
    assert decided(call, client, "new-dashboard").age == pytest.approx(12.5)
    clock.let_pass(-60.0)
    assert decision.age == 0.0, "the clock was set back"


@pytest.mark.usefixtures("first_calls_made", "no_delay_between_attempts")
@both_forms
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_decision_in_time(call: Form, name: str) -> None:
    fault, kind, _ = FAULTS[name]
    with (
        FaultyServer(local_upgrade(), featureflag=fault) as server,
        UpgradeConnection(server.url, timeout=within(name), retries=1) as connection,
    ):
        client = connection.client("user", "my-app", group={})
        begun = time.monotonic()
        decision = decided(call, client, "new-dashboard", default=True)
        assert time.monotonic() - begun < 1.0 + MARGIN
        server.wait_for(1, "featureflag")

    assert (decision.enabled, decision.reason) == (True, DecisionReason.ERROR)
    assert type(decision.error) is kind


@both_forms
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("key", "options", "kind"),
    [
        ("", {}, ValueError),
        (7, {}, TypeError),
        ([], {}, TypeError),
        (None, {}, TypeError),
        ("new-dashboard", {"default": None}, TypeError),
        ("new-dashboard", {"default": 1}, TypeError),
        ("new-dashboard", {"default": "yes"}, TypeError),
    ],
)
def test_wrong_arguments_raise(
    call: Form,
    client: UpgradeClient,
    key: Any,
    options: dict[str, Any],
    kind: type[Exception],
    warm: bool,
) -> None:
    if warm:
        for _ in range(3):
            decided(call, client, "new-dashboard")
    with pytest.raises(kind):
        call(client.decide_flag, key, **options)


@both_forms
def test_a_closed_client_is_a_mistake(call: Form, client: UpgradeClient) -> None:
    decided(call, client, "new-dashboard")
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        call(client.decide_flag, "new-dashboard")


@both_forms
def test_a_decision_is_plain_data(call: Form, client: UpgradeClient) -> None:
    on = decided(call, client, "new-dashboard")
    failed = decided(call, unreachable(), "new-dashboard")

    for decision in (on, failed):
        assert copy.copy(decision) == copy.deepcopy(decision) == decision
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            unpickled = pickle.loads(pickle.dumps(decision, protocol))
            assert unpickled == decision
            assert (unpickled.error is None) is (decision.error is None)
        assert hash(attrs.evolve(decision)) == hash(decision)
        assert attrs.evolve(decision, enabled=not decision.enabled) != decision
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            decision.enabled = True  # type: ignore[misc]
        data = json.loads(json.dumps(decision.as_dict()))
        assert (data.pop("age") is None) is (decision.error is not None)
        assert data == {
            "user_id": decision.user_id,
            "context": "my-app",
            "key": "new-dashboard",
            "enabled": decision.enabled,
            "reason": str(decision.reason),
            "source": decision.source and str(decision.source),
            "error": decision.error and str(decision.error),
        }
    assert (str(on), str(failed)) == ("True", "False")
    assert repr(on) == (
        "FlagDecision(key='new-dashboard', enabled=True, reason='assigned', source='server')"
    )
    assert on._repr_html_() == (  # pyright: ignore[reportPrivateUsage]
        "<table><caption>FlagDecision</caption><tr><th>key</th><td>new-dashboard</td></tr>"
        "<tr><th>enabled</th><td>True</td></tr><tr><th>reason</th><td>assigned</td></tr>"
        "<tr><th>source</th><td>server</td></tr></table>"
    )
    assert "error='no connection" in repr(failed)
