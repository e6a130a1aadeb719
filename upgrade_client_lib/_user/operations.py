"""What one user can do, each operation written once.

Every operation is a coroutine that awaits nothing but its backend, so that the async and the
``_sync`` method of the client are two ways to run the same lines. It validates its arguments, which
may be of any type, before it sends anything.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from typing import Callable, TypeVar

import attrs

from .. import _api
from .._http import CallOptions, Operation
from .._rules import arguments
from .._rules.log_entries import validate_entries
from .._rules.queues import PointKey, Rotation
from .._server import Server
from .._sync import Backend
from ..assignment import Assignment, attach_marker
from ..types import ExperimentUser, FeatureFlag, LogRecord, RewardResponse, UserAliases
from .cache import AssignmentCache
from .marks import UserMarker
from .record import Record
from .single_flight import SingleFlight

T = TypeVar("T")

Flags = Mapping[str, FeatureFlag]


class User:
    """One user in one context, on one server, and what this process knows of them."""

    __slots__ = (
        "_assignments",
        "closed",
        "flags",
        "group",
        "identity",
        "owns_server",
        "rotation",
        "server",
        "session_groups",
        "working_group",
    )

    def __init__(
        self,
        server: Server,
        identity: _api.Identity,
        assignments: AssignmentCache,
        rotation: Rotation,
        session_groups: tuple[dict[str, list[str]], bool] | None,
        owns_server: bool,
    ) -> None:
        self.server = server
        self.identity = identity
        self.rotation: Rotation = rotation
        self.session_groups = session_groups
        self.owns_server = owns_server
        # Cached assignments refer to their user; a weak reference avoids a cycle, so that all of
        # them are freed with the last client, without the garbage collector.
        self._assignments = weakref.ref(assignments)
        self.flags: SingleFlight[Flags] = SingleFlight()
        self.group: Mapping[str, Sequence[str]] | None = None
        self.working_group: Mapping[str, str] | None = None
        self.closed = False

    @property
    def assignments(self) -> AssignmentCache:
        """The cache that the user's clients hold; an empty one when only an assignment is left."""
        return self._assignments() or AssignmentCache()

    def close(self) -> None:
        self.closed = True
        self.clear()
        if self.owns_server:
            self.server.close()

    async def aclose(self) -> None:
        self.closed = True
        self.clear()
        if self.owns_server:
            await self.server.aclose()

    def clear(self) -> None:
        self.assignments.clear()
        self.flags.clear()

    async def init(
        self, backend: Backend, options: CallOptions, group: object, working_group: object
    ) -> ExperimentUser:
        operation = _api.init(
            self.identity,
            None if group is None else arguments.groups("group", group),
            None if working_group is None else _working_group(working_group),
        )
        user = await self.call(backend, options, operation)
        self.group, self.working_group = user.group, user.workingGroup
        self.clear()
        return self._as_stored(user.id)

    async def set_group_membership(
        self, backend: Backend, options: CallOptions, group: object
    ) -> ExperimentUser:
        checked = None if group is None else arguments.groups("group", group)
        operation = _api.set_group_membership(self.identity, checked)
        user = await self.call(backend, options, operation)
        self.group = user.group
        self.clear()
        return self._as_stored(user.id)

    async def set_working_group(
        self, backend: Backend, options: CallOptions, working_group: object
    ) -> ExperimentUser:
        checked = _working_group(working_group)
        operation = _api.set_working_group(self.identity, checked)
        user = await self.call(backend, options, operation)
        self.working_group = user.workingGroup
        self.clear()
        return self._as_stored(user.id)

    async def set_alt_user_ids(
        self, backend: Backend, options: CallOptions, aliases: object
    ) -> UserAliases:
        operation = _api.set_user_aliases(self.identity, arguments.aliases(aliases))
        linked = await self.call(backend, options, operation)
        self.clear()
        return linked

    async def all_assignments(
        self, backend: Backend, options: CallOptions, ignore_cache: bool
    ) -> list[Assignment]:
        record = await self.assignments.load_all(
            backend, self._record_loader(backend, options), options, force=ignore_cache
        )
        return [
            self._with_options(options, assignment)
            for assignment in record.all_current(self._default_marker)
        ]

    async def assignment(
        self, backend: Backend, options: CallOptions, site: object, target: object
    ) -> Assignment | None:
        point = arguments.point(site, target)
        record = self.assignments.get_valid(point)
        if record is None:
            record = await self.load_point(backend, options, point)
        assignment = record.current(point, self._default_marker)
        return None if assignment is None else self._with_options(options, assignment)

    def marker(self, options: CallOptions) -> UserMarker:
        """Return what marks decision points with these options."""
        return UserMarker(self, options)

    async def all_flags(
        self, backend: Backend, options: CallOptions, ignore_cache: bool
    ) -> list[FeatureFlag]:
        return list((await self._flags_by_key(backend, options, ignore_cache)).values())

    async def has_flag(self, backend: Backend, options: CallOptions, key: object) -> bool:
        checked = arguments.nonempty("key", key)
        return checked in await self._flags_by_key(backend, options, force=False)

    async def log(self, backend: Backend, options: CallOptions, metrics: object) -> list[LogRecord]:
        entries = validate_entries(metrics)
        if not entries:
            return []
        return await self.call(backend, options, _api.log(self.identity, entries))

    async def send_reward(
        self,
        backend: Backend,
        options: CallOptions,
        reward_value: object,
        experiment_id: object,
        context: object,
        decision_point: object,
    ) -> RewardResponse:
        value = arguments.reward_value(reward_value)
        if experiment_id is None and decision_point is None:
            raise ValueError("send_reward needs an experiment_id or a decision_point")
        point = None if decision_point is None else arguments.decision_point(decision_point)
        if context is None and point is not None:
            context = self.identity.context
        operation = _api.reward(
            self.identity,
            value,
            experiment_id=None
            if experiment_id is None
            else arguments.nonempty("experiment_id", experiment_id),
            context=None if context is None else arguments.nonempty("context", context),
            decision_point=point,
        )
        return await self.call(backend, options, operation)

    async def call(self, backend: Backend, options: CallOptions, operation: Operation[T]) -> T:
        """Send an operation's request and return its response; a ``RuntimeError`` once closed."""
        if self.closed:
            raise RuntimeError(f"this client of user {self.identity.user_id!r} is closed")
        return await self.server.call(backend, operation, options)

    async def load_point(self, backend: Backend, options: CallOptions, point: PointKey) -> Record:
        """Return a record in which this point is valid."""
        return await self.assignments.load_point(
            backend, self._record_loader(backend, options), options, point
        )

    def _record_loader(
        self, backend: Backend, options: CallOptions
    ) -> Callable[[float], Awaitable[Record]]:
        async def load(seconds: float) -> Record:
            operation = _api.assign(self.identity)
            items = await self.call(backend, options.within(seconds), operation)
            return Record(self.identity, items)

        return load

    async def _flags_by_key(self, backend: Backend, options: CallOptions, force: bool) -> Flags:
        return await self.flags.get_or_load(
            backend, self._flags_loader(backend, options), options, force=force
        )

    def _flags_loader(
        self, backend: Backend, options: CallOptions
    ) -> Callable[[float], Awaitable[Flags]]:
        async def load(seconds: float) -> Flags:
            groups, stored = self.session_groups or (None, None)
            operation = _api.feature_flags(self.identity, groups, stored)
            return await self.call(backend, options.within(seconds), operation)

        return load

    def _as_stored(self, root_id: str) -> ExperimentUser:
        """Describe the user with groups of the caller's own, who may change them."""
        return ExperimentUser(root_id, copy.deepcopy(self.group), copy.deepcopy(self.working_group))

    @property
    def _default_marker(self) -> UserMarker:
        return UserMarker(self, self.server.options)

    def _with_options(self, options: CallOptions, assignment: Assignment) -> Assignment:
        """Have an assignment that a view returns mark with the options of the view."""
        if options is self.server.options:
            return assignment
        return attach_marker(attrs.evolve(assignment), UserMarker(self, options))


def _working_group(value: object) -> dict[str, str]:
    return arguments.texts("working_group", value, '{"class": "class-1"}')
