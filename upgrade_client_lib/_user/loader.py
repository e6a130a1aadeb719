"""What is known of a user's assignments and flags: from the cache, a store, or the server."""

from __future__ import annotations

import time
import weakref
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Callable

from .. import _api
from .._http import CallOptions
from .._rules.queues import PointKey, Rotation
from .._server import Server
from .._sync import Backend
from ..exceptions import UpgradeApiError
from .cache import AssignmentCache
from .caller import Caller
from .record import ExpiringFlags, Flags, Record
from .single_flight import SingleFlight
from .turns import in_turn

if TYPE_CHECKING:
    from .._rules.sharing import Groups
    from ..types import FeatureFlag


class Loader(Caller):
    """A user, and what this process knows of them."""

    __slots__ = ("_assignments", "flags", "owns_server", "session_groups")

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
        super().__init__(server, identity, rotation, stated_groups)
        self.session_groups = session_groups
        self.owns_server = owns_server
        # Cached assignments refer to their user; a weak reference avoids a cycle, so that all of
        # them are freed with the last client, without the garbage collector.
        self._assignments = weakref.ref(assignments)
        self.flags: SingleFlight[Flags] = SingleFlight() if self.shared is None else ExpiringFlags()

    @property
    def assignments(self) -> AssignmentCache:
        """The cache that the user's clients hold; an empty one when only an assignment is left."""
        return self._assignments() or AssignmentCache()

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
        load = self.record_loader(backend, options, is_current)
        return await self.assignments.load_point(backend, load, options, point)

    def record_loader(
        self,
        backend: Backend,
        options: CallOptions,
        is_current: Callable[[Record], bool],
        *,
        force: bool = False,
    ) -> Callable[[float], Awaitable[Record]]:
        async def ask(left: CallOptions) -> Record:
            def assign(left: CallOptions) -> Awaitable[Mapping[PointKey, _api.Item]]:
                return self.call(backend, left, _api.assign(self.identity))

            if self.server.outbox is None:
                return Record(self.identity, await assign(left), is_shared=self.shared is not None)
            from .waiting_marks import ask_beside_marks

            return await ask_beside_marks(
                self, self.server.outbox, backend, left, assign, is_current
            )

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

    def clear(self) -> None:
        self.assignments.clear()
        self.flags.clear()

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
