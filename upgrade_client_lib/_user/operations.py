"""What one user can do, each operation written once.

Every operation is a coroutine that awaits nothing but its backend, so that the async and the
``_sync`` method of the client are two ways to run the same lines. It validates its arguments, which
may be of any type, before it sends anything.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import attrs

from .. import _api, _rules, types
from .._http import CallOptions
from .._rules import arguments
from .._rules.queues import PointKey
from .._sync import Backend
from ..assignment import Assignment, attach_marker
from ..types import BinaryRewardValue
from .loader import Loader
from .marks import UserMarker
from .record import Flags, Record
from .single_flight import without_traceback

if TYPE_CHECKING:
    from .._rules.sharing import GroupsChange
    from ..types import (
        DecisionPoint,
        ExperimentUser,
        FeatureFlag,
        LogRecord,
        OutboxEvent,
        RewardResponse,
        UserAliases,
    )

T = TypeVar("T")


class User(Loader):
    """What the client of one user does; see there."""

    __slots__ = ()

    async def init(
        self, backend: Backend, options: CallOptions, group: object, working_group: object
    ) -> ExperimentUser:
        groups = None if group is None else arguments.groups("group", group)
        working = None if working_group is None else _working_group(working_group)
        self.restate(groups, working)
        is_plain = groups is None and working is None
        change: GroupsChange = "plain init" if is_plain else "init"
        user = await self.change(
            backend, options, lambda identity: _api.init(identity, groups, working), change
        )
        self.group, self.working_group = user.group, user.workingGroup
        self.clear()
        return self._as_stored(user.id)

    async def set_group_membership(
        self, backend: Backend, options: CallOptions, group: object
    ) -> ExperimentUser:
        checked = None if group is None else arguments.groups("group", group)
        self.restate(checked or {}, None)
        user = await self.change(
            backend, options, lambda identity: _api.set_group_membership(identity, checked), "group"
        )
        self.group = user.group
        self.clear()
        return self._as_stored(user.id)

    async def set_working_group(
        self, backend: Backend, options: CallOptions, working_group: object
    ) -> ExperimentUser:
        checked = _working_group(working_group)
        self.restate(None, checked)
        user = await self.change(
            backend,
            options,
            lambda identity: _api.set_working_group(identity, checked),
            "working group",
        )
        self.working_group = user.workingGroup
        self.clear()
        return self._as_stored(user.id)

    async def set_alt_user_ids(
        self, backend: Backend, options: CallOptions, aliases: object
    ) -> UserAliases:
        operation = _api.set_user_aliases(self.identity, arguments.aliases(aliases))
        if self.shared is None:
            linked = await self.call(backend, options, operation)
        else:
            linked = await self.shared.changes.of_aliases(
                backend, self.call(backend, options, operation)
            )
        self.clear()
        return linked

    async def all_assignments(
        self, backend: Backend, options: CallOptions, ignore_cache: bool
    ) -> list[Assignment]:
        load = self.record_loader(
            backend, options, lambda record: not record.invalidated, force=ignore_cache
        )
        record = await self.assignments.load_all(backend, load, options, force=ignore_cache)
        _raise_if_stale(record)
        return [
            self.with_options(options, assignment)
            for assignment in record.all_current(self.default_marker)
        ]

    async def assignment(
        self, backend: Backend, options: CallOptions, site: object, target: object
    ) -> Assignment | None:
        point = arguments.point(site, target)
        record = self.assignments.get_valid(point)
        if record is None:
            record = await self.load_point(backend, options, point)
            _raise_if_stale(record)
        assignment = record.current(point, self.default_marker)
        return None if assignment is None else self.with_options(options, assignment)

    async def current(
        self, backend: Backend, options: CallOptions, point: PointKey
    ) -> Assignment | None:
        """Ask the server what a point assigns now."""
        load = self.record_loader(
            backend, options, lambda record: point not in record.invalidated, force=True
        )
        record = await self.assignments.load_all(backend, load, options, force=True)
        return record.current(point, self.default_marker)

    def marker(self, options: CallOptions) -> UserMarker:
        """Return what marks decision points with these options."""
        return UserMarker(self, options)

    async def all_flags(
        self, backend: Backend, options: CallOptions, ignore_cache: bool
    ) -> list[FeatureFlag]:
        flags = await self.load_flags(backend, options, force=ignore_cache)
        _raise_if_stale(flags)
        return list(flags.values())

    async def has_flag(self, backend: Backend, options: CallOptions, key: object) -> bool:
        checked = arguments.nonempty("key", key)
        flags = await self.load_flags(backend, options)
        _raise_if_stale(flags)
        return checked in flags

    async def log(self, backend: Backend, options: CallOptions, metrics: object) -> list[LogRecord]:
        entries = _rules.validate_entries(metrics)
        if not entries:
            return []
        return await self.write(backend, options, _api.log(self.identity, entries))

    async def enqueue_log(self, backend: Backend, metrics: object) -> OutboxEvent:
        entries = _rules.validate_entries(metrics)
        if not entries:
            raise ValueError("metrics must hold an entry to log")
        from .handing_over import hand_over, log_of  # late: most have no outbox

        return await hand_over(self, backend, log_of(entries))

    async def send_reward(
        self,
        backend: Backend,
        options: CallOptions,
        reward_value: object,
        experiment_id: object,
        context: object,
        decision_point: object,
    ) -> RewardResponse:
        value, experiment, where, point = self._reward(
            reward_value, experiment_id, context, decision_point
        )
        operation = _api.reward(
            self.identity, value, experiment_id=experiment, context=where, decision_point=point
        )
        return await self.write(backend, options, operation)

    async def enqueue_reward(
        self,
        backend: Backend,
        reward_value: object,
        experiment_id: object,
        context: object,
        decision_point: object,
    ) -> OutboxEvent:
        reward = self._reward(reward_value, experiment_id, context, decision_point)
        from .handing_over import hand_over, reward_of

        return await hand_over(self, backend, reward_of(*reward))

    def _reward(
        self, reward_value: object, experiment_id: object, context: object, decision_point: object
    ) -> tuple[BinaryRewardValue, str | None, str | None, DecisionPoint | None]:
        """Return the arguments of a reward, checked."""
        value = arguments.reward_value(reward_value)
        if experiment_id is None and decision_point is None:
            raise ValueError("send_reward needs an experiment_id or a decision_point")
        point = None if decision_point is None else arguments.decision_point(decision_point)
        if context is None and point is not None:
            context = self.identity.context
        return (
            value,
            None if experiment_id is None else arguments.nonempty("experiment_id", experiment_id),
            None if context is None else arguments.nonempty("context", context),
            point,
        )

    def _as_stored(self, root_id: str) -> ExperimentUser:
        """Describe the user with groups of the caller's own, who may change them."""
        return types.ExperimentUser(
            root_id, copy.deepcopy(self.group), copy.deepcopy(self.working_group)
        )

    @property
    def default_marker(self) -> UserMarker:
        return UserMarker(self, self.server.options)

    def with_options(self, options: CallOptions, assignment: Assignment) -> Assignment:
        """Have an assignment that a view returns mark with the options of the view."""
        if options is self.server.options:
            return assignment
        return attach_marker(attrs.evolve(assignment), UserMarker(self, options))


def _raise_if_stale(answer: Record | Flags) -> None:
    """Raise why the server could not be asked again; decisions alone are served what is stale."""
    error = answer.stale_because
    if error is not None:
        raise without_traceback(error) from error.__cause__


def _working_group(value: object) -> dict[str, str]:
    return arguments.texts("working_group", value, '{"class": "class-1"}')
