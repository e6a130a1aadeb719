"""Sending what a user asks: after what waits for them, and after making them known if need be."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Callable, TypeVar

import attrs

from .. import _api
from .._fork import fork_waits
from .._http import CallOptions, Operation
from .._server import Server
from .._sync import Backend
from ..exceptions import UpgradeApiError, UserNotInitializedError
from .single_flight import SingleFlight

if TYPE_CHECKING:
    from .._rules.queues import Rotation
    from .._rules.sharing import Groups, GroupsChange
    from ..types import ExperimentUser
    from .sharing import SharedUser

T = TypeVar("T")


class Caller:
    """One user in one context, on one server: their groups, and requests in their name."""

    __slots__ = (
        "__weakref__",
        "_initialized",
        "closed",
        "group",
        "identity",
        "rotation",
        "server",
        "shared",
        "stated_groups",
        "working_group",
    )

    def __init__(
        self,
        server: Server,
        identity: _api.Identity,
        rotation: Rotation,
        stated_groups: Groups | None,
    ) -> None:
        self.server = server
        self.identity = identity
        self.rotation: Rotation = rotation
        self.stated_groups = stated_groups
        self._initialized: SingleFlight[object] | None = None  # another object each time
        if stated_groups is not None:
            self._initialized = SingleFlight()
        self.group: Mapping[str, Sequence[str]] | None = None
        self.working_group: Mapping[str, str] | None = None
        self.closed = False
        access = server.store_access
        self.shared = None if access is None else _shared_user()(self, access)

    def check_open(self) -> None:
        """Raise a ``RuntimeError`` once closed."""
        if self.closed:
            raise RuntimeError(f"this client of user {self.identity.user_id!r} is closed")

    async def write(self, backend: Backend, options: CallOptions, operation: Operation[T]) -> T:
        """Send what the server counts, after the user's events that wait in the outbox."""
        self.check_open()
        return await self.call(backend, await self._after_waiting(backend, options), operation)

    async def write_mark(self, backend: Backend, options: CallOptions, mark: Operation[T]) -> T:
        """Send a mark, after which no event that was set aside before is to be sent again."""
        self.check_open()
        outbox = self.server.outbox
        left = await self._after_waiting(backend, options)
        if outbox is None:
            return await self.call(backend, left, mark)
        overtaking = partial(outbox.overtake, backend, self.identity.user_id)
        try:
            marked = await self.call(backend, left, mark)
        except UpgradeApiError as error:
            if error.may_have_been_applied:
                await overtaking()
            raise
        except BaseException:  # cancelled or interrupted: it may have been applied
            backend.finish(overtaking())
            raise
        await overtaking()
        return marked

    async def _after_waiting(self, backend: Backend, options: CallOptions) -> CallOptions:
        """Have the user's waiting events delivered; return the options for what is left."""
        outbox = self.server.outbox
        if outbox is None:
            return options
        seconds = options.timeout.total
        return options.within(await outbox.deliver_first(backend, self.identity.user_id, seconds))

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
        before = self.last_init
        try:
            return await self.server.call(backend, operation, options, self.identity)
        except UserNotInitializedError:
            pass  # and no more in here, where each error would be chained to this one
        await self.initialize(backend, options.within(deadline - time.monotonic()), before)
        left = options.within(deadline - time.monotonic())
        return await self.server.call(backend, operation, left, self.identity)

    async def initialize(
        self, backend: Backend, options: CallOptions, before: object, *, for_read: bool = False
    ) -> None:
        """Make the user known with the stated groups; concurrent callers share one request.

        ``before`` is ``last_init`` as it was when the need for it was seen: what another
        call did meanwhile need not be done again. ``for_read`` has the circuit breaker treat it as
        the read that it comes before.
        """
        assert self._initialized is not None
        await self._initialized.get_or_load(
            backend,
            self._initializer(backend, options, for_read),
            options,
            is_usable=lambda initialized: initialized is not before,
        )

    @property
    def last_init(self) -> object:
        """What tells one time that the user was made known from the next."""
        return None if self._initialized is None else self._initialized.value

    def _initializer(
        self, backend: Backend, options: CallOptions, for_read: bool
    ) -> Callable[[float], Awaitable[object]]:
        async def load(seconds: float) -> object:
            group, working_group = self.stated_groups or (None, None)

            def init(identity: _api.Identity) -> Operation[ExperimentUser]:
                return attrs.evolve(_api.init(identity, group, working_group), is_read=for_read)

            try:
                user = await self.change(
                    backend, options.within(seconds), init, "stated", self.stated_groups
                )
            except UpgradeApiError as error:
                error.may_have_been_applied = False  # what the caller asked for was refused
                raise
            self.group, self.working_group = user.group, user.workingGroup
            return object()

        return load

    async def change(
        self,
        backend: Backend,
        options: CallOptions,
        operation_of: Callable[[_api.Identity], Operation[ExperimentUser]],
        change: GroupsChange,
        stated: Groups | None = None,
    ) -> ExperimentUser:
        """Send a change of the user, and end what is stored of them."""
        if change in ("group", "working group"):
            work = self._change_of_root(backend, options, operation_of)
        else:
            work = self.call(backend, options, operation_of(self.identity), initializes=False)
        if self.shared is None:
            return await work
        return await self.shared.changes.of_user(backend, work, change, stated)

    async def _change_of_root(
        self,
        backend: Backend,
        options: CallOptions,
        operation_of: Callable[[_api.Identity], Operation[ExperimentUser]],
    ) -> ExperimentUser:
        """Send a change that the server never reads where an alias sends it; then the root does."""
        deadline = time.monotonic() + options.timeout.total
        user = await self.call(backend, options, operation_of(self.identity))
        if user.id == self.identity.user_id:
            return user
        root = attrs.evolve(self.identity, user_id=user.id)
        left = options.within(deadline - time.monotonic())
        return await self.server.call(backend, operation_of(root), left, root)

    def restate(
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


@cache
def _shared_user() -> type[SharedUser]:
    with fork_waits():  # loaded with the first user of a store: most connections have none
        from .sharing import SharedUser
    return SharedUser
