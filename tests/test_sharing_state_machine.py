"""Whatever several workers do with one user, in whatever order, all of them see the truth."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.stores.support_stores import memory
from tests.support_forms import Form, blocking, in_event_loop
from tests.support_sharing import Workers
from tests.test_rotation_state_machine import CLASSES, CODES, POINTS, STATUSES, upgrade_of
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient
from upgrade_client_lib._user import sharing

forms = st.sampled_from([in_event_loop, blocking])
points = st.sampled_from(POINTS)
statuses = st.sampled_from([STATUSES[0], STATUSES[0], *STATUSES])
workers = st.integers(0, 4)
"""Three living clients, one of them of an alias, and with 3 or 4 a new one of either."""


class InStep(RuleBasedStateMachine):
    """Each read of each worker is compared with what a client is answered that shares nothing."""

    version = "6.5"
    rotation = "auto"

    @initialize()
    def begin(self) -> None:
        self.workers = Workers(memory(), upgrade_of(self.version))
        truth = self.workers.truth()
        truth.init_sync()
        truth.set_alt_user_ids_sync(["alias"])
        self.living = [self._new("user"), self._new("user"), self._new("alias")]
        for client in self.living:
            client.init_sync()

    @rule(call=forms, worker=workers, point=points)
    def read(self, call: Form, worker: int, point: tuple[str, str | None]) -> None:
        found = call(self._client(worker).get_decision_point_assignment, *point)
        assert _said(found) == self._truth(*point)

    @rule(call=forms, worker=workers, point=points)
    def decide(self, call: Form, worker: int, point: tuple[str, str | None]) -> None:
        decision = call(self._client(worker).decide, *point)
        assert _said(decision.assignment) == self._truth(*point)

    @rule(call=forms, worker=workers, fresh=st.booleans())
    def read_all(self, call: Form, worker: int, fresh: bool) -> None:
        found = call(self._client(worker).get_all_experiment_conditions, ignore_cache=fresh)
        expected = self.workers.truth().get_all_experiment_conditions_sync()
        assert list(map(_said, found)) == list(map(_said, expected))

    @rule(call=forms, worker=workers)
    def read_flags(self, call: Form, worker: int) -> None:
        expected = self.workers.truth().get_all_feature_flags_sync()
        assert call(self._client(worker).get_all_feature_flags) == expected

    @rule(
        call=forms,
        worker=workers,
        point=points,
        condition=st.none() | st.sampled_from([*CODES, "no such condition"]),
        status=statuses,
    )
    def mark(
        self,
        call: Form,
        worker: int,
        point: tuple[str, str | None],
        condition: str | None,
        status: Any,
    ) -> None:
        with suppress(UpgradeApiError):
            call(self._client(worker).mark_decision_point, *point, condition, status)

    @rule(call=forms, worker=workers, point=points, status=statuses)
    def mark_what_is_decided(
        self, call: Form, worker: int, point: tuple[str, str | None], status: Any
    ) -> None:
        call(call(self._client(worker).decide, *point).mark, status)

    @rule(
        worker=workers,
        when=st.sampled_from(["before", "after"]),
        error=st.sampled_from([httpx.ReadTimeout, httpx.ConnectError]),
    )
    def lose_a_mark(self, worker: int, when: Any, error: type[httpx.TransportError]) -> None:
        if error is httpx.ConnectError:
            when = "before"
        self.workers.server.lose_next("mark", when, error)
        with suppress(UpgradeApiError):
            self._client(worker).mark_decision_point_sync("twin", "one", "a", STATUSES[0])

    @rule(call=forms, worker=workers, group=st.none() | st.sampled_from(CLASSES))
    def init(self, call: Form, worker: int, group: str | None) -> None:
        if group is None:
            call(self._client(worker).init)
        else:
            call(self._client(worker).init, {"class": [group]}, {"class": group})

    @rule(call=forms, worker=workers, groups=st.lists(st.sampled_from(CLASSES), unique=True))
    def change_groups(self, call: Form, worker: int, groups: list[str]) -> None:
        call(self._client(worker).set_group_membership, {"class": groups})

    @rule(call=forms, worker=workers, group=st.sampled_from(CLASSES))
    def change_working_group(self, call: Form, worker: int, group: str) -> None:
        call(self._client(worker).set_working_group, {"class": group})

    @rule(call=forms, user_id=st.sampled_from(["user", "alias"]))
    def forget(self, call: Form, user_id: str) -> None:
        call(self.workers.connection().forget, user_id)
        self.living = [self._new("user"), self._new("user"), self._new("alias")]
        self.living[2].init_sync()  # by which it is known again whose alias this is

    def teardown(self) -> None:
        for worker in range(5):
            for point in POINTS:
                found = self._client(worker).get_decision_point_assignment_sync(*point)
                assert _said(found) == self._truth(*point)

    def _client(self, worker: int) -> UpgradeClient:
        return self.living[worker] if worker < 3 else self._new(["user", "alias"][worker - 3])

    def _new(self, user_id: str) -> UpgradeClient:
        rotation: Any = self.rotation
        return self.workers.client(user_id, rotation=rotation)

    def _truth(self, site: str, target: str | None) -> Any:
        return _said(self.workers.truth().get_decision_point_assignment_sync(site, target))


def _said(assignment: Assignment | None) -> Any:
    """What an assignment says, whether to the user or to the alias."""
    return None if assignment is None else {**assignment.as_dict(), "user_id": "user"}


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
def test_workers_and_server_stay_in_step(
    machine: type[InStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "RECHECK_SECONDS", 0.0)
    run_state_machine_as_test(machine, settings=lean)
