"""Whatever a program does with its client, in whatever order, client and server stay in step."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.support_forms import Form, blocking, in_event_loop
from tests.support_server import HOST, SteeredServer, client_of
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

POINTS = [
    ("home", "banner"),
    ("room", "seat"),
    ("single", "queue"),
    ("twin", "one"),
    ("twin", "two"),
    ("bare", None),
    ("bare", "target"),
    ("pool", "shared"),
    ("nowhere", "nothing"),
]
CLASSES = ["class-1", "class-2"]
CODES = ["a", "b", "c"]
STATUSES = list(UpgradeClient.MARKED_DECISION_POINT_STATUS)

forms = st.sampled_from([in_event_loop, blocking])
points = st.sampled_from(POINTS)
statuses = st.sampled_from([STATUSES[0], STATUSES[0], *STATUSES])
classes = st.none() | st.sampled_from(CLASSES)


def upgrade_of(version: str) -> LocalUpgrade:
    upgrade = LocalUpgrade(server=version)
    within: dict[str, Any] = {
        "conditions": CODES,
        "unit": "within-subjects",
        "order": "ordered round robin",
    }
    upgrade.experiment("home", "banner", conditions=CODES)
    upgrade.experiment("room", "seat", conditions=CODES, unit="group", group_type="class")
    shuffled: dict[str, Any] = {**within, "order": "random round robin"}
    upgrade.experiment("single", "queue", **shuffled)
    upgrade.experiment("twin", "one", points=[("twin", "two")], **within)
    upgrade.experiment("bare", None, points=[("bare", "target")], **within)
    left, right = ({"class": [one, "class-3"]} for one in CLASSES)
    upgrade.experiment("pool", "shared", name="left", include=left, **within)
    upgrade.experiment("pool", "shared", name="right", include=right, conditions=CODES)
    upgrade.flag("restricted", include={"class": [CLASSES[0]]})
    return upgrade


class InStep(RuleBasedStateMachine):
    """One user's client through all that can happen to it; each read is compared with the truth."""

    version = "6.5"
    rotation = "auto"
    snapshots = Bundle[Assignment]("snapshots")

    @initialize()
    def begin(self) -> None:
        self.upgrade = upgrade_of(self.version)
        self.server = SteeredServer(self.upgrade.transport)
        connection = UpgradeConnection(HOST, transport=self.server, retries=0)
        rotation: Any = self.rotation
        self.client = connection.client("user", "my-app", rotation=rotation)
        self.client.init_sync()
        self.view = self.client.with_options(timeout=5.0)

    @rule(target=snapshots, call=forms, point=points, view=st.booleans())
    def read(self, call: Form, point: tuple[str, str | None], view: bool) -> Any:
        client = self.view if view else self.client
        found = call(client.get_decision_point_assignment, *point)
        assert found == self._truth(*point)
        nothing: MultipleResults[Assignment] = multiple()
        return nothing if found is None else found

    @rule(call=forms, fresh=st.booleans())
    def read_all(self, call: Form, fresh: bool) -> None:
        found = call(self.client.get_all_experiment_conditions, ignore_cache=fresh)
        assert found == client_of(self.upgrade.transport).get_all_experiment_conditions_sync()

    @rule(call=forms)
    def read_flags(self, call: Form) -> None:
        expected = client_of(self.upgrade.transport).get_all_feature_flags_sync()
        assert call(self.client.get_all_feature_flags) == expected

    @rule(
        call=forms,
        point=points,
        condition=st.none() | st.sampled_from([*CODES, "no such condition"]),
        status=statuses,
        view=st.booleans(),
    )
    def mark_through_client(
        self,
        call: Form,
        point: tuple[str, str | None],
        condition: str | None,
        status: Any,
        view: bool,
    ) -> None:
        client = self.view if view else self.client
        with suppress(UpgradeApiError):
            call(client.mark_decision_point, *point, condition, status)

    @rule(call=forms, snapshot=snapshots, status=statuses)
    def mark_through_snapshot(self, call: Form, snapshot: Assignment, status: Any) -> None:
        with suppress(UpgradeApiError):
            call(snapshot.mark_decision_point, status)

    @rule(endpoint=st.sampled_from(["mark", "assign"]), status=st.sampled_from([400, 500, 503]))
    def refuse_next(self, endpoint: str, status: int) -> None:
        self.upgrade.fail_next(endpoint, status=status)
        self._spend(endpoint)

    @rule(
        endpoint=st.sampled_from(["mark", "assign"]),
        when=st.sampled_from(["before", "after"]),
        error=st.sampled_from([httpx.ReadTimeout, httpx.ConnectError]),
    )
    def lose_next(self, endpoint: str, when: Any, error: type[httpx.TransportError]) -> None:
        if error is httpx.ConnectError:
            when = "before"
        self.server.lose_next(endpoint, when, error)
        self._spend(endpoint)

    def _spend(self, endpoint: str) -> None:
        """Have the fault strike a mark: reads are to be compared, and have none to compare."""
        if endpoint == "assign":
            self.client.init_sync()
        with suppress(UpgradeApiError):
            self.client.mark_decision_point_sync("twin", "one", "a", STATUSES[0])

    @rule(call=forms, group=classes)
    def init(self, call: Form, group: str | None) -> None:
        if group is None:
            call(self.client.init)
        else:
            call(self.client.init, {"class": [group]}, {"class": group})

    @rule(call=forms, groups=st.lists(st.sampled_from([*CLASSES, "class-3"]), unique=True))
    def change_groups(self, call: Form, groups: list[str]) -> None:
        call(self.client.set_group_membership, {"class": groups})

    @rule(call=forms, group=st.sampled_from(CLASSES))
    def change_working_group(self, call: Form, group: str) -> None:
        call(self.client.set_working_group, {"class": group})

    def teardown(self) -> None:
        for point in POINTS:
            assert self.client.get_decision_point_assignment_sync(*point) == self._truth(*point)
        self.client.close()

    def _truth(self, site: str, target: str | None) -> Assignment | None:
        """What the server assigns, asked by somebody else."""
        return client_of(self.upgrade.transport).get_decision_point_assignment_sync(site, target)


class NewerServer(InStep):
    version = "6.7"


class OlderServerThatIsKnown(InStep):
    rotation = "decision_point"


class NewerServerThatIsKnown(InStep):
    version = "6.7"
    rotation = "experiment"


lean = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize(
    "machine", [InStep, NewerServer, OlderServerThatIsKnown, NewerServerThatIsKnown]
)
def test_client_and_server_stay_in_step(machine: type[InStep]) -> None:
    run_state_machine_as_test(machine, settings=lean)
