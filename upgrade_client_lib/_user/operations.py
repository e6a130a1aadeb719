"""What one user can do, each operation written once.

Every operation is a coroutine that awaits nothing but its backend, so that the async and the
``_sync`` method of the client are two ways to run the same lines. It validates its arguments, which
may be of any type, before it sends anything.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Callable, TypeVar

import attrs

from .. import _api, _rules, types
from .._fork import fork_waits
from .._http import CallOptions, Operation
from .._rules import arguments
from .._rules.queues import PointKey, Rotation
from .._rules.sharing import Groups, GroupsChange
from .._server import Server
from .._sync import Backend
from ..assignment import Assignment, attach_marker
from ..exceptions import UpgradeApiError, UserNotInitializedError
from ..types import BinaryRewardValue
from .cache import AssignmentCache
from .marks import UserMarker
from .record import ExpiringFlags, Flags, Record
from .single_flight import SingleFlight, without_traceback
from .turns import in_turn

if TYPE_CHECKING:
    from ..types import (
        DecisionPoint,
        ExperimentUser,
        FeatureFlag,
        LogRecord,
        OutboxEvent,
        RewardResponse,
        UserAliases,
    )
    from .sharing import SharedUser

T = TypeVar("T")


class User:
    """One user in one context, on one server, and what this process knows of them."""

    __slots__ = (
        "__weakref__",
        "_assignments",
        "_initialized",
        "closed",
        "flags",
        "group",
        "identity",
        "owns_server",
        "rotation",
        "server",
        "session_groups",
        "shared",
        "stated_groups",
        "working_group",
    )

    def __init__(
        self,
        server: Server,
        identity: _api.Identity,
        assignments: AssignmentCache,
        rotation: Rotation,
        session_groups: tuple[dict[str, list[str]], bool] | None,
        stated_groups: Groups | None,
        owns_server: bool,
    ) -> None:
        self.server = server
        self.identity = identity
        self.rotation: Rotation = rotation
        self.session_groups = session_groups
        self.stated_groups = stated_groups
        self.owns_server = owns_server
        # Cached assignments refer to their user; a weak reference avoids a cycle, so that all of
        # them are freed with the last client, without the garbage collector.
        self._assignments = weakref.ref(assignments)
        self._initialized: SingleFlight[object] = SingleFlight()  # another object each time
        self.group: Mapping[str, Sequence[str]] | None = None
        self.working_group: Mapping[str, str] | None = None
        self.closed = False
        access = server.store_access
        self.shared = None if access is None else _shared_user()(self, access)
        self.flags: SingleFlight[Flags] = SingleFlight() if access is None else ExpiringFlags()

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

    def check_open(self) -> None:
        """Raise a ``RuntimeError`` once closed."""
        if self.closed:
            raise RuntimeError(f"this client of user {self.identity.user_id!r} is closed")

    def clear(self) -> None:
        self.assignments.clear()
        self.flags.clear()

    async def init(
        self, backend: Backend, options: CallOptions, group: object, working_group: object
    ) -> ExperimentUser:
        groups = None if group is None else arguments.groups("group", group)
        working = None if working_group is None else _working_group(working_group)
        self._restate(groups, working)
        operation = _api.init(self.identity, groups, working)
        is_plain = groups is None and working is None
        change: GroupsChange = "plain init" if is_plain else "init"
        user = await self._change(backend, options, operation, change)
        self.group, self.working_group = user.group, user.workingGroup
        self.clear()
        return self._as_stored(user.id)

    async def set_group_membership(
        self, backend: Backend, options: CallOptions, group: object
    ) -> ExperimentUser:
        checked = None if group is None else arguments.groups("group", group)
        self._restate(checked or {}, None)
        operation = _api.set_group_membership(self.identity, checked)
        user = await self._change(backend, options, operation, "group")
        self.group = user.group
        self.clear()
        return self._as_stored(user.id)

    async def set_working_group(
        self, backend: Backend, options: CallOptions, working_group: object
    ) -> ExperimentUser:
        checked = _working_group(working_group)
        self._restate(None, checked)
        operation = _api.set_working_group(self.identity, checked)
        user = await self._change(backend, options, operation, "working group")
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
            linked = await self.shared.changing_aliases(
                backend, self.call(backend, options, operation)
            )
        self.clear()
        return linked

    async def _change(
        self,
        backend: Backend,
        options: CallOptions,
        operation: Operation[ExperimentUser],
        change: GroupsChange,
        stated: Groups | None = None,
    ) -> ExperimentUser:
        """Send a change of the user, and end what is stored of them."""
        initializes = change in ("group", "working group")
        work = self.call(backend, options, operation, initializes=initializes)
        if self.shared is None:
            return await work
        return await self.shared.changing_user(backend, work, change, stated)

    async def all_assignments(
        self, backend: Backend, options: CallOptions, ignore_cache: bool
    ) -> list[Assignment]:
        load = self._record_loader(
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
        load = self._record_loader(
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

    async def write(self, backend: Backend, options: CallOptions, operation: Operation[T]) -> T:
        """Send what the server counts, after the user's events that wait in the outbox."""
        self.check_open()
        outbox = self.server.outbox
        if outbox is not None:
            user_id, seconds = self.identity.user_id, options.timeout.total
            options = options.within(await outbox.deliver_first(backend, user_id, seconds))
        return await self.call(backend, options, operation)

    @property
    def hands_over(self) -> bool:
        """Whether marks of decisions go to the outbox, which has the connection's token alone."""
        return self.server.outbox is not None and self.identity.token == self.server.token

    async def call(
        self,
        backend: Backend,
        options: CallOptions,
        operation: Operation[T],
        *,
        initializes: bool = True,
    ) -> T:
        """Send an operation's request and return its response; a ``RuntimeError`` once closed.

        Where the server does not know the user, and their groups were stated, they are initialised
        first. The server applied nothing then, so the request may be sent again, whichever it is.
        """
        self.check_open()
        if self.stated_groups is None or not initializes:
            return await self.server.call(backend, operation, options, self.identity)
        deadline = time.monotonic() + options.timeout.total
        if self.shared is not None:
            await self.shared.settle(backend, options)
            options = options.within(deadline - time.monotonic())
        before = self._initialized.value
        try:
            return await self.server.call(backend, operation, options, self.identity)
        except UserNotInitializedError:
            pass  # and no more in here, where each error would be chained to this one
        await self.initialize(backend, options.within(deadline - time.monotonic()), before)
        left = options.within(deadline - time.monotonic())
        return await self.server.call(backend, operation, left, self.identity)

    async def initialize(self, backend: Backend, options: CallOptions, before: object) -> None:
        """Make the user known with the stated groups; concurrent callers share one request.

        ``before`` is ``last_init`` as it was when the need for it was seen: what another
        call did meanwhile need not be done again.
        """
        await self._initialized.get_or_load(
            backend,
            self._initializer(backend, options),
            options,
            is_usable=lambda initialized: initialized is not before,
        )

    @property
    def last_init(self) -> object:
        """What tells one time that the user was made known from the next."""
        return self._initialized.value

    def _initializer(
        self, backend: Backend, options: CallOptions
    ) -> Callable[[float], Awaitable[object]]:
        async def load(seconds: float) -> object:
            group, working_group = self.stated_groups or (None, None)
            operation = _api.init(self.identity, group, working_group)
            try:
                user = await self._change(
                    backend, options.within(seconds), operation, "stated", self.stated_groups
                )
            except UpgradeApiError as error:
                error.may_have_been_applied = False  # what the caller asked for was refused
                raise
            self.group, self.working_group = user.group, user.workingGroup
            return object()

        return load

    def circuit_error(self) -> UpgradeApiError | None:
        """Return what a read would raise at once without being sent, if it would."""
        if self.closed or self.shared is not None:  # a store may have an answer
            return None
        return self.server.circuit_error()

    async def load_point(self, backend: Backend, options: CallOptions, point: PointKey) -> Record:
        """Return a record in which this point is valid, or one of a store that is stale."""

        def is_current(record: Record) -> bool:
            return point not in record.invalidated

        if self.shared is not None:
            total = options.timeout.total
            deadline = time.monotonic() + total
            changes = self.assignments.changes
            found = await self.shared.find_record(backend, is_current)
            if found is not None:
                self.assignments.keep(found, changes)
                return found
            options = options.within(max(deadline - time.monotonic(), total / 2))
        load = self._record_loader(backend, options, is_current)
        return await self.assignments.load_point(backend, load, options, point)

    def _record_loader(
        self,
        backend: Backend,
        options: CallOptions,
        is_current: Callable[[Record], bool],
        *,
        force: bool = False,
    ) -> Callable[[float], Awaitable[Record]]:
        async def ask(left: CallOptions) -> Record:
            def assign() -> Awaitable[Mapping[PointKey, _api.Item]]:
                return self.call(backend, left, _api.assign(self.identity))

            if self.server.outbox is None:
                return Record(self.identity, await assign(), is_shared=self.shared is not None)
            from .waiting_marks import ask_beside_marks

            return await ask_beside_marks(self, self.server.outbox, backend, assign)

        async def load(seconds: float) -> Record:
            left = options.within(seconds)
            if self.shared is None:
                record = await ask(left)
                record.is_from_server = True
                return record
            return await self.shared.load_record(backend, left, ask, is_current, force=force)

        return load

    async def load_flags(
        self, backend: Backend, options: CallOptions, *, force: bool = False
    ) -> Flags:
        """Return the flags that are on for the user."""
        return await self.flags.get_or_load(
            backend,
            self._flags_loader(backend, options, force=force),
            options,
            force=force,
        )

    def _flags_loader(
        self, backend: Backend, options: CallOptions, *, force: bool
    ) -> Callable[[float], Awaitable[Flags]]:
        # Read once: what is answered under session groups must not be stored.
        session_groups = self.session_groups

        async def ask(left: CallOptions) -> Mapping[str, FeatureFlag]:
            groups, stored = session_groups or (None, None)
            operation = _api.feature_flags(self.identity, groups, stored)

            async def send(options_left: CallOptions) -> Mapping[str, FeatureFlag]:
                return await self.call(backend, options_left, operation, initializes=groups is None)

            return await in_turn(backend, self.server.host_url, self.identity.user_id, left, send)

        async def load(seconds: float) -> Flags:
            left = options.within(seconds)
            if self.shared is None or session_groups is not None:
                flags = Flags(await ask(left))
                flags.is_from_server = True
                return flags
            return await self.shared.load_flags(backend, left, ask, force=force)

        return load

    def _restate(
        self,
        group: Mapping[str, Sequence[str]] | None,
        working_group: Mapping[str, str] | None,
    ) -> None:
        """Replace what was stated of the user's groups, if anything was."""
        if self.stated_groups is not None:
            stated_group, stated_working_group = self.stated_groups
            self.stated_groups = (
                stated_group if group is None else group,
                stated_working_group if working_group is None else working_group,
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


@cache
def _shared_user() -> type[SharedUser]:
    with fork_waits():  # loaded with the first user of a store: most connections have none
        from .sharing import SharedUser
    return SharedUser


def _raise_if_stale(answer: Record | Flags) -> None:
    """Raise why the server could not be asked again; decisions alone are served what is stale."""
    error = answer.stale_because
    if error is not None:
        raise without_traceback(error) from error.__cause__


def _working_group(value: object) -> dict[str, str]:
    return arguments.texts("working_group", value, '{"class": "class-1"}')
