"""What one user can do, each thing written once.

Every operation is a coroutine that awaits nothing but its face, so that the async and the
``_sync`` method of the client are two ways to run the same lines. It takes what the caller gave
for anything, and checks it before it sends.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from typing import Callable, TypeVar

import attrs

from . import _endpoints, _validation
from ._answers import Point
from ._cache import AssignmentCache, Assignments, Fate, Flags, Mark, Rotation
from ._endpoints import Identity, Operation
from ._faces import Face
from ._metrics import ready_entries
from ._options import CallOptions
from ._server import Server
from ._shared_load import SharedLoad
from .assignment import Assignment
from .exceptions import UpgradeApiError
from .types import (
    ExperimentUser,
    FeatureFlag,
    LogRecord,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    RewardResponse,
    UserAliases,
)

T = TypeVar("T")


@attrs.frozen
class Report:
    """What a mark reports, beside the condition."""

    status: MarkedDecisionPointStatus
    uniquifier: str
    client_error: str

    @classmethod
    def checked(cls, status: object, uniquifier: object, client_error: object) -> Report:
        return cls(
            _validation.status(status),
            _validation.storable("uniquifier", uniquifier),
            _validation.storable("client_error", client_error),
        )


class User:
    """One user in one context, on one connection, and what this process knows of them."""

    __slots__ = (
        "_assignments",
        "closed",
        "flags",
        "group",
        "identity",
        "owns_connection",
        "rotation",
        "server",
        "session_groups",
        "working_group",
    )

    def __init__(
        self,
        server: Server,
        identity: Identity,
        assignments: AssignmentCache,
        rotation: Rotation,
        session_groups: tuple[dict[str, list[str]], bool] | None,
        owns_connection: bool,
    ) -> None:
        self.server = server
        self.identity = identity
        self.rotation: Rotation = rotation
        self.session_groups = session_groups
        self.owns_connection = owns_connection
        # Assignments hold their user. So that they all go when the last client goes, and need no
        # garbage collector for it, the user does not hold them.
        self._assignments = weakref.ref(assignments)
        self.flags: SharedLoad[Flags] = SharedLoad()
        self.group: Mapping[str, Sequence[str]] | None = None
        self.working_group: Mapping[str, str] | None = None
        self.closed = False

    @property
    def assignments(self) -> AssignmentCache:
        """What the user's clients hold; nothing is known when only an assignment is left."""
        return self._assignments() or AssignmentCache()

    def close(self) -> None:
        self.closed = True
        self.clear()
        if self.owns_connection:
            self.server.close()

    async def aclose(self) -> None:
        self.closed = True
        self.clear()
        if self.owns_connection:
            await self.server.aclose()

    def clear(self) -> None:
        self.assignments.clear()
        self.flags.clear()

    async def init(
        self, face: Face, options: CallOptions, group: object, working_group: object
    ) -> ExperimentUser:
        operation = _endpoints.init(
            self.identity,
            None if group is None else _validation.groups("group", group),
            None if working_group is None else _working_group(working_group),
        )
        user = await self._call(face, options, operation)
        self.group, self.working_group = user.group, user.workingGroup
        self.clear()
        return self._as_known(user.id)

    async def set_group_membership(
        self, face: Face, options: CallOptions, group: object
    ) -> ExperimentUser:
        checked = None if group is None else _validation.groups("group", group)
        operation = _endpoints.set_group_membership(self.identity, checked)
        user = await self._call(face, options, operation)
        self.group = user.group
        self.clear()
        return self._as_known(user.id)

    async def set_working_group(
        self, face: Face, options: CallOptions, working_group: object
    ) -> ExperimentUser:
        checked = _working_group(working_group)
        operation = _endpoints.set_working_group(self.identity, checked)
        user = await self._call(face, options, operation)
        self.working_group = user.workingGroup
        self.clear()
        return self._as_known(user.id)

    async def set_alt_user_ids(
        self, face: Face, options: CallOptions, aliases: object
    ) -> UserAliases:
        operation = _endpoints.set_user_aliases(self.identity, _validation.aliases(aliases))
        linked = await self._call(face, options, operation)
        self.clear()
        return linked

    async def all_assignments(
        self, face: Face, options: CallOptions, ignore_cache: bool
    ) -> list[Assignment]:
        known = await self.assignments.whole(
            face, self._assign(face, options), options, fresh=ignore_cache
        )
        heads = known.all_heads(self._marker)
        return [self._marking_with(options, head) for head in heads]

    async def assignment(
        self, face: Face, options: CallOptions, site: object, target: object
    ) -> Assignment | None:
        point = _validation.point(site, target)
        known = self.assignments.known_at(point)
        if known is None:
            known = await self._assignments_at(face, options, point)
        head = known.head(point, self._marker)
        return None if head is None else self._marking_with(options, head)

    async def mark(
        self,
        face: Face,
        options: CallOptions,
        site: object,
        target: object,
        condition: object,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        """Mark a point with the ids of what it assigns, as far as that can be learned."""
        _validation.order_of_mark(target, condition)
        point = _validation.point(site, target)
        code = _validation.condition(condition)
        report = Report.checked(status, uniquifier, client_error)

        experiment_id = condition_id = None
        known = self.assignments.known_at(point)
        if known is None:
            total = options.timeout.total
            deadline = time.monotonic() + total
            try:
                known = await self._assignments_at(face, options.within(total / 2), point)
            except UpgradeApiError:
                known = None  # The mark matters more than its ids.
            options = options.within(deadline - time.monotonic())
        if known is not None:
            experiment_id = known.experiment_at(point)
            assigned = known.head(point, self._marker)
            if assigned is not None:
                condition_id = assigned.condition_id
                if code and code != assigned.get_condition():
                    condition_id = known.id_of_condition(point, code) or condition_id
        return await self._mark(face, options, point, experiment_id, code, condition_id, report)

    async def mark_assignment(
        self, face: Face, options: CallOptions, assignment: Assignment, report: Report
    ) -> MarkedDecisionPoint:
        """Mark the point of a snapshot, with the snapshot's condition and ids."""
        return await self._mark(
            face,
            options,
            (assignment.site, assignment.target),
            assignment.experiment_id,
            assignment.get_condition(),
            assignment.condition_id,
            report,
        )

    async def all_flags(
        self, face: Face, options: CallOptions, ignore_cache: bool
    ) -> list[FeatureFlag]:
        return list((await self._flags_by_key(face, options, ignore_cache)).values())

    async def has_flag(self, face: Face, options: CallOptions, key: object) -> bool:
        checked = _validation.nonempty("key", key)
        return checked in await self._flags_by_key(face, options, fresh=False)

    async def log(self, face: Face, options: CallOptions, metrics: object) -> list[LogRecord]:
        entries = ready_entries(metrics)
        if not entries:
            return []
        return await self._call(face, options, _endpoints.log(self.identity, entries))

    async def send_reward(
        self,
        face: Face,
        options: CallOptions,
        reward_value: object,
        experiment_id: object,
        context: object,
        decision_point: object,
    ) -> RewardResponse:
        value = _validation.reward_value(reward_value)
        if experiment_id is None and decision_point is None:
            raise ValueError("send_reward needs an experiment_id or a decision_point")
        point = None if decision_point is None else _validation.decision_point(decision_point)
        if context is None and point is not None:
            context = self.identity.context
        operation = _endpoints.reward(
            self.identity,
            value,
            experiment_id=None
            if experiment_id is None
            else _validation.nonempty("experiment_id", experiment_id),
            context=None if context is None else _validation.nonempty("context", context),
            decision_point=point,
        )
        return await self._call(face, options, operation)

    async def _mark(
        self,
        face: Face,
        options: CallOptions,
        point: Point,
        experiment_id: str | None,
        condition: str | None,
        condition_id: str | None,
        report: Report,
    ) -> MarkedDecisionPoint:
        operation = _endpoints.mark(
            self.identity,
            point,
            condition=condition,
            experiment_id=experiment_id,
            condition_id=condition_id,
            status=report.status,
            uniquifier=report.uniquifier,
            client_error=report.client_error,
        )
        excludes = report.status is MarkedDecisionPointStatus.CONDITION_FAILED_TO_APPLY
        mark = Mark(point, experiment_id, condition, excludes)
        fate: Fate = "unknown"  # and so it stays when the call is cancelled
        stored: str | None = None
        assignments = self.assignments
        assignments.mark_begins(mark)
        try:
            marked = await self._call(face, options, operation)
            fate, stored = "counted", marked.experimentId
        except UpgradeApiError as error:
            if not error.may_have_been_applied:
                fate = "refused"
            raise
        finally:
            assignments.mark_ends(mark, fate, self.rotation, stored)
        return marked

    def _as_known(self, root_id: str) -> ExperimentUser:
        """Describe the user with groups of the caller's own, who may change them."""
        return ExperimentUser(root_id, copy.deepcopy(self.group), copy.deepcopy(self.working_group))

    @property
    def _marker(self) -> UserMarker:
        return UserMarker(self, self.server.options)

    def _marking_with(self, options: CallOptions, assignment: Assignment) -> Assignment:
        """Have what a view with other options gives out mark with those options too."""
        if options is self.server.options:
            return assignment
        return attrs.evolve(assignment, marker=UserMarker(self, options))

    async def _assignments_at(self, face: Face, options: CallOptions, point: Point) -> Assignments:
        return await self.assignments.at(face, self._assign(face, options), options, point)

    def _assign(
        self, face: Face, options: CallOptions
    ) -> Callable[[float], Awaitable[Assignments]]:
        async def load(seconds: float) -> Assignments:
            operation = _endpoints.assign(self.identity)
            return Assignments(await self._call(face, options.within(seconds), operation))

        return load

    async def _flags_by_key(self, face: Face, options: CallOptions, fresh: bool) -> Flags:
        return await self.flags.loaded(face, self._load_flags(face, options), options, fresh=fresh)

    def _load_flags(self, face: Face, options: CallOptions) -> Callable[[float], Awaitable[Flags]]:
        async def load(seconds: float) -> Flags:
            groups, stored = self.session_groups or (None, None)
            operation = _endpoints.feature_flags(self.identity, groups, stored)
            return await self._call(face, options.within(seconds), operation)

        return load

    async def _call(self, face: Face, options: CallOptions, operation: Operation[T]) -> T:
        if self.closed:
            raise RuntimeError(f"this client of user {self.identity.user_id!r} is closed")
        return await self.server.call(face, operation, options)


@attrs.frozen
class UserMarker:
    """What an assignment marks through: its user, with a client's or a view's options."""

    user: User
    options: CallOptions

    async def mark(
        self,
        face: Face,
        assignment: Assignment,
        status: object,
        uniquifier: object,
        client_error: object,
    ) -> MarkedDecisionPoint:
        report = Report.checked(status, uniquifier, client_error)
        return await self.user.mark_assignment(face, self.options, assignment, report)


def _working_group(value: object) -> dict[str, str]:
    return _validation.texts("working_group", value, '{"class": "class-1"}')
