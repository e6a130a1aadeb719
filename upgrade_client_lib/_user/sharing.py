"""A user's entry in the connection's store: when it answers, and what is written to it."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

import attrs

from .. import _api
from .._http import CallOptions
from .._rules.freshness import is_fresh, is_servable
from .._rules.queues import Mark, MarkEffect, MarkOutcome, Rotation, effect_of_mark
from .._rules.sharing import action_for
from .._store_access import StoreAccess
from .._sync import Backend
from ..exceptions import (
    BadRequestError,
    NotAuthorizedError,
    UpgradeApiError,
    UserNotInitializedError,
)
from .entry import MAX_LAST_MARKED, Entry, StoredContext, StoredFlags, StoredRecord, new_token
from .record import Flags, Record
from .shared_changes import SharedChanges
from .shared_entry import SharedEntry

if TYPE_CHECKING:
    from .caller import Caller

_logger = logging.getLogger("upgrade_client_lib")

RECHECK_SECONDS = 1.0
"""For how long what was read of an entry is used without looking at the entry again."""

REFUSALS = (BadRequestError, NotAuthorizedError, UserNotInitializedError)
"""What the server says of the request or the user; after it, no older answer is served."""

Answer = TypeVar("Answer", Record, Flags)
Context = Optional[StoredContext]


@attrs.frozen
class _Kind(Generic[Answer]):
    """Assignments or flags: how they are found in an entry, asked for, and kept."""

    find: Callable[[StoredContext], Answer | None]
    ask: Callable[[CallOptions], Awaitable[Answer]]
    keep: Callable[[Answer, StoredContext, StoredContext], Context]
    """What a context becomes, given the answer, the context, and what it was before asking."""


class SharedUser:
    """The entry of one user."""

    __slots__ = (
        "_access",
        "_entry",
        "_identity",
        "_is_settled",
        "_rotation",
        "_server",
        "_user_reference",
        "changes",
    )

    def __init__(self, user: Caller, access: StoreAccess) -> None:
        # The user refers to this; a weak reference avoids a cycle.
        self._user_reference = weakref.ref(user)
        self._identity = user.identity
        self._rotation: Rotation = user.rotation
        self._server = user.server
        self._access = access
        self._entry = SharedEntry(access, user.identity.user_id)
        self.changes = SharedChanges(self._entry)
        self._is_settled = False

    @property
    def _user(self) -> Caller:
        """The user, while one of their calls is in progress; not in work that outlasts it."""
        user = self._user_reference()
        assert user is not None
        return user

    # ---- Reading ----

    async def load_record(
        self,
        backend: Backend,
        options: CallOptions,
        ask: Callable[[CallOptions], Awaitable[Record]],
        is_current: Callable[[Record], bool],
        *,
        force: bool,
    ) -> Record:
        """Return the stored record if it may be used, else what the server answers, and store it.

        Where the server cannot be asked, a stored record that is too old is returned, with the
        error in its ``stale_because``.
        """

        def find(context: StoredContext) -> Record | None:
            return self._current_record(context, is_current)

        async def ask_for_record(left: CallOptions) -> Record:
            record = await ask(left)
            record.load_id = new_token()
            return record

        def keep(record: Record, context: StoredContext, before: StoredContext) -> Context:
            if context.marks != before.marks:
                return None  # a mark may or may not be in the answer
            return attrs.evolve(context, record=_stored(record))

        kind = _Kind(find, ask_for_record, keep)
        return await self._load(backend, options, kind, force=force)

    async def find_record(
        self, backend: Backend, is_current: Callable[[Record], bool]
    ) -> Record | None:
        """Return the stored record if it may be used without asking the server."""
        self._user.check_open()
        entry = await self._entry.read(backend)
        if entry is None or not self._is_as_stated(entry):
            return None
        record = self._current_record(entry.context(self._context), is_current)
        if record is None or not self._is_fresh(record.answered_at):
            return None
        record.use_until(self._moment_to_recheck(record.answered_at))
        return record

    async def load_flags(
        self,
        backend: Backend,
        options: CallOptions,
        ask: Callable[[CallOptions], Awaitable[Mapping[str, Any]]],
        *,
        force: bool,
    ) -> Flags:
        """Return the stored flags if they may be used, else what the server answers."""

        def find(context: StoredContext) -> Flags | None:
            return None if context.flags is None else _stored_flags(context.flags)

        async def ask_for_flags(left: CallOptions) -> Flags:
            return Flags(await ask(left))

        def keep(flags: Flags, context: StoredContext, _: StoredContext) -> Context:
            return attrs.evolve(context, flags=StoredFlags(flags.answered_at, tuple(flags)))

        kind = _Kind(find, ask_for_flags, keep)
        return await self._load(backend, options, kind, force=force)

    async def _load(
        self, backend: Backend, options: CallOptions, kind: _Kind[Answer], *, force: bool
    ) -> Answer:
        self._user.check_open()
        total = options.timeout.total
        deadline = time.monotonic() + total
        initialized = self._user.last_init
        entry = await self._entry.read(backend)
        # A store that takes long must not cost the answer.
        deadline = max(deadline, time.monotonic() + total / 2)
        is_as_stated = entry is not None and self._is_as_stated(entry)
        known = None
        if entry is not None and is_as_stated and not force:
            known = kind.find(entry.context(self._context))
            if known is not None and self._is_fresh(known.answered_at):
                known.use_until(self._moment_to_recheck(known.answered_at))
                return known
        try:
            if entry is not None and not is_as_stated:
                left = options.within(deadline - time.monotonic())
                await self._user.initialize(backend, left, initialized, for_read=True)
            if entry is not None and (not is_as_stated or not entry.generation):
                entry = await self._entry.read_or_begin(backend)
                deadline = max(deadline, time.monotonic() + total / 2)
            answer = await kind.ask(options.within(deadline - time.monotonic()))
        except UpgradeApiError as error:
            if known is not None and self._may_serve(known.answered_at, error):
                known.stale_because = error
                known.use_until(0.0)
                return known
            raise
        answer.is_from_server = True
        answer.use_until(self._moment_to_recheck(answer.answered_at))
        if entry is not None:
            await self._keep(backend, kind, answer, entry)
        return answer

    async def _keep(
        self, backend: Backend, kind: _Kind[Answer], answer: Answer, before: Entry
    ) -> None:
        """Store what the server answered, unless what came between may have changed it."""
        context_before = before.context(self._context)

        def change(entry: Entry) -> Entry | None:
            changed = None
            if entry.generation == before.generation:
                changed = kind.keep(answer, entry.context(self._context), context_before)
            if changed is None:
                answer.use_until(0.0)
                return None
            return entry.with_context(self._context, changed)

        await self._entry.keep(backend, change)

    # ---- Groups that were stated ----

    async def settle(self, backend: Backend, options: CallOptions) -> None:
        """Before this client's first call: have the server know the groups that were stated."""
        if self._is_settled:
            return
        initialized = self._user.last_init
        entry = await self._entry.read(backend)
        if entry is None:
            return
        if entry.groups is None:
            self._is_settled = True
        elif not self._is_as_stated(entry):
            await self._user.initialize(backend, options, initialized)

    # ---- Marks ----

    async def load_id(self, backend: Backend) -> str | None:
        """Return which response the stored record is, before a mark is sent."""
        entry = await self._entry.read(backend)
        record = None if entry is None else entry.context(self._context).record
        return None if record is None else record.load_id

    async def marked(
        self,
        backend: Backend,
        mark: Mark,
        outcome: MarkOutcome,
        load_id: str | None,
        root_id: str,
        stored_experiment_id: str | None,
        repeats_last: bool,
    ) -> None:
        """Do to the stored record what a mark did on the server.

        ``load_id`` is the record that was stored when the mark was sent. If it is another by now,
        the mark may or may not be in it. ``root_id`` is the user whom the response names, if any.
        """
        if outcome == "rejected":
            return
        await self._entry.learn_root(backend, root_id)

        def change(entry: Entry) -> Entry | None:
            context = entry.context(self._context)
            if not entry.generation:
                return None
            if context.record is None:  # but a response may be on its way
                marked = attrs.evolve(context, marks=context.marks + 1)
                return entry.with_context(self._context, marked)
            record = self._stored_record(context.record)
            key = (*mark.point, mark.experiment_id)
            last_marked = context.last_marked
            effect = effect_of_mark(
                mark,
                outcome,
                self._rotation,
                record.state_at(mark.point),
                stored_experiment_id=stored_experiment_id,
                repeats_last=repeats_last
                or (key in last_marked and last_marked[key] == mark.condition),
            )
            if effect.is_news:
                kept = {other: code for other, code in last_marked.items() if other != key}
                latest = [*kept.items(), (key, mark.condition)][-MAX_LAST_MARKED:]
                context = attrs.evolve(context, last_marked=dict(latest))
            changed: StoredRecord | None = None
            if not effect.discard:
                if effect.advance == effect.invalidate == "none":
                    return None
                if context.record is not None and context.record.load_id != load_id:
                    effect = MarkEffect(invalidate="experiment")
                record.apply(effect, mark.point)
                changed = _stored(record)
            marked = attrs.evolve(context, marks=context.marks + 1, record=changed)
            return entry.with_context(self._context, marked)

        await self._entry.update(backend, change)

    # ---- What the entry says ----

    @property
    def _context(self) -> str:
        return self._identity.context

    def _is_as_stated(self, entry: Entry) -> bool:
        """Whether the entry serves this client's groups; warn, once, where others were set."""
        action = action_for(self._user.stated_groups, entry.groups)
        if action == "ignore" and not self._access.has_warned_of_groups:
            self._access.has_warned_of_groups = True
            _logger.warning(
                "other groups were set for user %r than those stated for a client, which goes along"
                " with them: state the same groups everywhere, or call init() to change them;"
                " further users are not logged",
                self._identity.user_id,
            )
        self._is_settled = action != "initialize"
        return self._is_settled

    def _is_fresh(self, answered_at: float) -> bool:
        return is_fresh(answered_at, time.time(), self._server.max_age)

    def _may_serve(self, answered_at: float, error: UpgradeApiError) -> bool:
        server = self._server
        return not isinstance(error, REFUSALS) and is_servable(
            answered_at, time.time(), server.max_age, server.stale_if_error
        )

    def _current_record(
        self, context: StoredContext, is_current: Callable[[Record], bool]
    ) -> Record | None:
        if context.record is None:
            return None
        record = self._stored_record(context.record)
        return record if is_current(record) else None

    def _stored_record(self, stored: StoredRecord) -> Record:
        record = Record(self._identity, stored.items, is_shared=True)
        record.load_id = stored.load_id
        record.answered_at = stored.answered_at
        record.advanced_by.update(stored.advanced_by)
        record.invalidated.update(stored.invalidated)
        return record

    def _moment_to_recheck(self, answered_at: float) -> float:
        left = answered_at + self._server.max_age - time.time()
        return time.monotonic() + min(RECHECK_SECONDS, left)


def _stored(record: Record) -> StoredRecord:
    """Return what a store keeps of a record."""
    return StoredRecord(
        record.load_id or "",
        record.answered_at,
        record.items,
        dict(record.advanced_by),
        frozenset(record.invalidated),
    )


def _stored_flags(stored: StoredFlags) -> Flags:
    flags = Flags(_api.read_flags(list(stored.keys)))
    flags.answered_at = stored.answered_at
    return flags
