"""What several workers may do with one user, in any order: each of them must see the truth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Optional

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.stores.support_stores import memory
from tests.support_forms import Form, blocking, in_event_loop
from tests.support_sharing import Workers
from tests.test_rotation_state_machine import CLASSES, CODES, POINTS, STATUSES, upgrade_of
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient

Point = tuple[str, Optional[str]]


def of_machine(name: str) -> Any:
    """One of what the machine has by this name."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, name)))


forms = st.sampled_from([in_event_loop, blocking])
statuses = st.sampled_from([STATUSES[0], STATUSES[0], *STATUSES])
any_point = of_machine("points")
workers = st.integers(0, 4)
"""Three living clients, one of them of an alias, and with 3 or 4 a new one of either."""


class InStep(RuleBasedStateMachine):
    """Each read of each worker is compared with what a client is answered that shares nothing."""

    version = "6.5"
    rotation: Any = "auto"
    points: ClassVar[Sequence[Point]] = POINTS
    codes: ClassVar[Sequence[str]] = CODES
    lost_mark: ClassVar[tuple[str, str, str]] = ("twin", "one", "a")
    user_id = "user"
    alias = "alias"

    def start_workers(self) -> Workers:
        return Workers(memory(), upgrade_of(self.version))

    @initialize()
    def begin(self) -> None:
        self.workers = self.start_workers()
        truth = self._truth_client()
        truth.init_sync()
        truth.set_alt_user_ids_sync([self.alias])
        self._make_clients()
        for client in self.living:
            client.init_sync()

    @rule(call=forms, worker=workers, point=any_point)
    def read(self, call: Form, worker: int, point: Point) -> None:
        found = call(self._client(worker).get_decision_point_assignment, *point)
        assert self._said(found) == self._truth()[_key(point)]

    @rule(call=forms, worker=workers, point=any_point)
    def decide(self, call: Form, worker: int, point: Point) -> None:
        decision = call(self._client(worker).decide, *point)
        assert self._said(decision.assignment) == self._truth()[_key(point)]

    @rule(call=forms, worker=workers, fresh=st.booleans())
    def read_all(self, call: Form, worker: int, fresh: bool) -> None:
        found = call(self._client(worker).get_all_experiment_conditions, ignore_cache=fresh)
        assert self._by_point(found) == self._truth()

    @rule(call=forms, worker=workers)
    def read_flags(self, call: Form, worker: int) -> None:
        expected = self._truth_client().get_all_feature_flags_sync()
        assert set(call(self._client(worker).get_all_feature_flags)) == set(expected)

    @rule(
        call=forms,
        worker=workers,
        point=any_point,
        condition=st.none() | of_machine("codes") | st.just("no such condition"),
        status=statuses,
    )
    def mark(
        self, call: Form, worker: int, point: Point, condition: str | None, status: Any
    ) -> None:
        with suppress(UpgradeApiError):
            call(self._client(worker).mark_decision_point, *point, condition, status)

    @rule(call=forms, worker=workers, point=any_point, status=statuses)
    def mark_what_is_decided(self, call: Form, worker: int, point: Point, status: Any) -> None:
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
            self._client(worker).mark_decision_point_sync(*self.lost_mark, STATUSES[0])

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

    @rule(call=forms, of_alias=st.booleans())
    def forget(self, call: Form, of_alias: bool) -> None:
        call(self.workers.connection().forget, self.alias if of_alias else self.user_id)
        self._make_clients()
        self.living[2].init_sync()  # by which it is known again whose alias this is

    def teardown(self) -> None:
        expected = self._truth()
        for worker in range(5):
            for point in self.points:
                found = self._client(worker).get_decision_point_assignment_sync(*point)
                assert self._said(found) == expected[_key(point)]

    def _make_clients(self) -> None:
        self.living = [self._new(id) for id in (self.user_id, self.user_id, self.alias)]

    def _client(self, worker: int) -> UpgradeClient:
        if worker < 3:
            return self.living[worker]
        return self._new([self.user_id, self.alias][worker - 3])

    def _new(self, user_id: str) -> UpgradeClient:
        return self.workers.client(user_id, rotation=self.rotation)

    def _truth_client(self) -> UpgradeClient:
        return self.workers.truth(self.user_id)

    def _truth(self) -> dict[tuple[str, str], Any]:
        return self._by_point(self._truth_client().get_all_experiment_conditions_sync())

    def _by_point(self, assignments: list[Assignment]) -> dict[tuple[str, str], Any]:
        """What is assigned at each point of the machine, ``None`` for nothing."""
        found = {(one.site, one.target): self._said(one) for one in assignments}
        return {_key(point): found.get(_key(point)) for point in self.points}

    def _said(self, assignment: Assignment | None) -> Any:
        """What an assignment says, whether to the user or to the alias."""
        return None if assignment is None else {**assignment.as_dict(), "user_id": self.user_id}


def _key(point: Point) -> tuple[str, str]:
    return point[0], point[1] or ""
