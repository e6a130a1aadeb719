"""A user's entry in the connection's store: when it answers, and what is written to it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

import attrs

from .. import _api
from .._http import CallOptions
from .._rules import arguments
from .._rules.freshness import is_fresh, is_servable
from .._rules.queues import Mark, MarkEffect, MarkOutcome, PointKey, effect_of_mark
from .._rules.sharing import (
    Groups,
    StoredGroups,
    action_for,
    after_initializing,
    is_same_user,
)
from .._store_access import StoreAccess, StoreUnavailableError
from .._sync import Backend
from ..exceptions import UpgradeApiError
from ..types import ExperimentUser, UserAliases
from .entry import EMPTY, Entry, StoredFlags, StoredRecord, decode, encode
from .record import Flags, Record

if TYPE_CHECKING:
    from .._server import Server
    from .operations import User

_logger = logging.getLogger("upgrade_client_lib")

RECHECK_SECONDS = 1.0
"""For how long what was read of an entry is used without looking at the entry again."""

MAX_ATTEMPTS = 64
"""How often a change of an entry is tried that others change at the same time."""

Change = Callable[[Entry], Optional[Entry]]


@attrs.frozen
class _Found:
    """An entry as it was read; ``version`` is ``None`` where there is none."""

    entry: Entry
    version: int | None


class SharedUser:
    """The entry of one user."""

    __slots__ = ("_access", "_key", "_user", "_warned")

    def __init__(self, user: User, access: StoreAccess) -> None:
        self._user = user
        self._access = access
        self._key = access.key(user.identity.user_id)
        self._warned = False

    # ---- Reading ----

    async def load_record(
        self,
        backend: Backend,
        options: CallOptions,
        ask: Callable[[CallOptions], Awaitable[Mapping[PointKey, _api.Item]]],
        is_current: Callable[[Record], bool],
        *,
        force: bool,
    ) -> Record:
        """Return the stored record if it may be used, else what the server answers, and store it.

        Where the server cannot be asked, a stored record that is too old is returned, with the
        error in its ``stale_because``.
        """
        deadline = time.monotonic() + options.timeout.total
        found = await self._read_or_none(backend)
        if found is None:
            return self._unshared(await ask(options))
        is_as_stated = self._is_as_stated(found.entry)
        stored = found.entry.context(self._context).record
        if stored is not None and is_as_stated and not force:
            record = self._stored_record(stored, found.entry)
            if self._is_fresh(stored.answered_at) and is_current(record):
                return record
        try:
            if not is_as_stated:
                left = options.within(deadline - time.monotonic())
                found = await self._initialized(backend, left)
            items = await ask(options.within(deadline - time.monotonic()))
        except UpgradeApiError as error:
            if stored is not None and is_as_stated and not force and self._may_serve(stored, error):
                record = self._stored_record(stored, found.entry)
                if not record.invalidated:
                    record.stale_because = error
                    return record
            raise
        return await self._keep_record(backend, found.entry, items)

    async def load_flags(
        self,
        backend: Backend,
        options: CallOptions,
        ask: Callable[[CallOptions], Awaitable[Mapping[str, Any]]],
        *,
        force: bool,
    ) -> Flags:
        """Return the stored flags if they may be used, else what the server answers."""
        deadline = time.monotonic() + options.timeout.total
        found = await self._read_or_none(backend)
        if found is None:
            return _valid_for_now(Flags(await ask(options)))
        is_as_stated = self._is_as_stated(found.entry)
        stored = found.entry.context(self._context).flags
        if stored is not None and is_as_stated and not force and self._is_fresh(stored.answered_at):
            return _stored_flags(stored)
        try:
            if not is_as_stated:
                left = options.within(deadline - time.monotonic())
                found = await self._initialized(backend, left)
            flags = Flags(await ask(options.within(deadline - time.monotonic())))
        except UpgradeApiError as error:
            if stored is not None and is_as_stated and not force and self._may_serve(stored, error):
                flags = _stored_flags(stored)
                flags.stale_because = error
                flags.valid_until = 0.0
                return flags
            raise
        before = found.entry
        kept = StoredFlags(flags.answered_at, tuple(flags))

        def keep(entry: Entry) -> Entry | None:
            if entry.generation != before.generation:
                return None
            context = attrs.evolve(entry.context(self._context), flags=kept)
            return entry.with_context(self._context, context)

        await self._update(backend, keep)
        flags.is_from_server = True
        return _valid_for_now(flags)

    # ---- What changes the user ----

    async def changing_user(
        self, backend: Backend, work: Coroutine[Any, Any, ExperimentUser], *, is_init: bool
    ) -> ExperimentUser:
        """Await a change of the user, and end what is stored of them unless it was rejected."""
        try:
            user = await work
        except UpgradeApiError as error:
            if error.may_have_been_applied:
                await self.user_changed(backend, None)
            raise
        except BaseException:
            backend.finish(self.user_changed(backend, None))
            raise
        await self.user_changed(backend, user, is_init=is_init)
        return user

    async def changing_aliases(
        self, backend: Backend, work: Coroutine[Any, Any, UserAliases]
    ) -> UserAliases:
        """Await a change of the user's aliases, and have these share the user's entry."""
        try:
            linked = await work
        except UpgradeApiError as error:
            if error.may_have_been_applied:
                await self.user_changed(backend, None)
            raise
        except BaseException:
            backend.finish(self.user_changed(backend, None))
            raise
        await self.learn_root(backend, linked.userId)
        await self.user_changed(backend, None)
        for alias in linked.aliases:
            await self._link(backend, alias)
        return linked

    async def user_changed(
        self,
        backend: Backend,
        user: ExperimentUser | None,
        *,
        is_init: bool = False,
    ) -> None:
        """End the records of all contexts, unless an ``init`` found the groups stored already.

        ``user`` is what the server answered; ``None`` where it may have applied the change.
        """
        if user is not None:
            await self.learn_root(backend, user.id)

        def change(entry: Entry) -> Entry | None:
            if user is None:
                return Entry(generation=entry.generation + 1)
            group, working_group = user.group, user.workingGroup
            stored = entry.groups
            if is_init and is_same_user(stored, group, working_group):
                assert stored is not None
                if stored.is_explicit:
                    return None
                return attrs.evolve(entry, groups=attrs.evolve(stored, is_explicit=True))
            groups = StoredGroups(group, working_group, is_explicit=True)
            return Entry(generation=entry.generation + 1, groups=groups)

        await self._update(backend, change)

    async def initialized(self, backend: Backend, stated: Groups, user: ExperimentUser) -> None:
        """Note that the user was initialised with stated groups; other groups end the records."""
        await self.learn_root(backend, user.id)
        group, working_group = user.group, user.workingGroup

        def change(entry: Entry) -> Entry | None:
            groups = after_initializing(entry.groups, stated, group, working_group)
            if is_same_user(entry.groups, group, working_group):
                return attrs.evolve(entry, groups=groups)
            return Entry(generation=entry.generation + 1, groups=groups)

        await self._update(backend, change)

    async def learn_root(self, backend: Backend, root_id: str) -> None:
        """Share the entry of the root user, if this user's id is an alias."""
        root_key = self._access.key(root_id)
        if root_key != self._key:
            alias = self._user.identity.user_id
            self._key = root_key
            if root_key != self._access.key(alias):
                await self._link(backend, alias)

    # ---- Marks ----

    async def load_id(self, backend: Backend) -> str | None:
        """Return which response the stored record is, before a mark is sent."""
        found = await self._read_or_none(backend)
        record = None if found is None else found.entry.context(self._context).record
        return None if record is None else record.load_id

    async def marked(
        self,
        backend: Backend,
        mark: Mark,
        outcome: MarkOutcome,
        load_id: str | None,
        stored_experiment_id: str | None,
        repeats_last: bool,
    ) -> None:
        """Do to the stored record what a mark did on the server.

        ``load_id`` is the record that was stored when the mark was sent. If it is another by now,
        the mark may or may not be in it.
        """

        def change(entry: Entry) -> Entry | None:
            context = entry.context(self._context)
            if context.record is None:
                return None
            record = self._stored_record(context.record, entry)
            effect = effect_of_mark(
                mark,
                outcome,
                self._user.rotation,
                record.state_at(mark.point),
                stored_experiment_id=stored_experiment_id,
                repeats_last=repeats_last,
            )
            if effect.discard:
                changed: StoredRecord | None = None
            elif effect.advance == effect.invalidate == "none":
                return None
            else:
                if context.record.load_id != load_id:
                    effect = MarkEffect(invalidate="experiment")
                record.apply(effect, mark.point)
                changed = record.as_stored(context.record.items)
            marks = context.marks + 1
            return entry.with_context(
                self._context, attrs.evolve(context, marks=marks, record=changed)
            )

        await self._update(backend, change)

    # ---- The entry ----

    @property
    def _context(self) -> str:
        return self._user.identity.context

    def _is_as_stated(self, entry: Entry) -> bool:
        """Whether the entry serves this client's groups; warn, once, where others were set."""
        action = action_for(self._user.stated_groups, entry.groups)
        if action == "ignore" and not self._warned:
            self._warned = True
            _logger.warning(
                "other groups were set for user %r than those stated for this client, which go"
                " along with them: state the same groups everywhere, or call init()",
                self._user.identity.user_id,
            )
        return action != "initialize"

    def _is_fresh(self, answered_at: float) -> bool:
        return is_fresh(answered_at, time.time(), self._user.server.max_age)

    def _may_serve(self, stored: StoredRecord | StoredFlags, error: UpgradeApiError) -> bool:
        server = self._user.server
        is_outage = error.status_code is None or error.status_code >= 500
        return is_outage and is_servable(
            stored.answered_at, time.time(), server.max_age, server.stale_if_error
        )

    async def _initialized(self, backend: Backend, options: CallOptions) -> _Found:
        """Initialise the user with the stated groups, and return the entry after that."""
        await self._user.initialize(backend, options, self._user.last_init)
        return await self._read_or_none(backend) or _Found(EMPTY, None)

    def _stored_record(self, stored: StoredRecord, entry: Entry) -> Record:
        record = Record(self._user.identity, stored.items, is_shared=True)
        record.load_id = stored.load_id
        record.marks = entry.context(self._context).marks
        record.answered_at = stored.answered_at
        record.advanced_by.update(stored.advanced_by)
        record.invalidated.update(stored.invalidated)
        record.use_until(time.monotonic() + self._seconds_of_use(stored.answered_at))
        return record

    def _seconds_of_use(self, answered_at: float) -> float:
        left = answered_at + self._user.server.max_age - time.time()
        return max(min(RECHECK_SECONDS, left), 0.0)

    def _unshared(self, items: Mapping[PointKey, _api.Item]) -> Record:
        """Return a record that no store keeps, for now."""
        record = Record(self._user.identity, items, is_shared=True)
        record.is_from_server = True
        record.use_until(time.monotonic() + RECHECK_SECONDS)
        return record

    async def _keep_record(
        self, backend: Backend, before: Entry, items: Mapping[PointKey, _api.Item]
    ) -> Record:
        record = self._unshared(items)
        record.load_id = uuid.uuid4().hex
        record.marks = before.context(self._context).marks
        stored = record.as_stored(items)

        def keep(entry: Entry) -> Entry | None:
            context = entry.context(self._context)
            if entry.generation != before.generation or context.marks != record.marks:
                return None  # the user changed, or a mark may or may not be in the answer
            return entry.with_context(self._context, attrs.evolve(context, record=stored))

        if await self._update(backend, keep) is False:
            record.use_until(0.0)
        return record

    async def _link(self, backend: Backend, alias: str) -> None:
        """Have the key of an alias lead to this entry."""
        key = self._access.key(alias)
        if key == self._key:
            return
        try:
            found = await self._access.get(backend, key)
            link = encode(Entry(root_key=self._key))
            await self._access.replace(backend, key, link, None if found is None else found[1])
        except StoreUnavailableError:
            pass

    async def _read(self, backend: Backend) -> _Found:
        entry, version = EMPTY, None
        for _ in range(2):  # an alias leads to its root user
            found = await self._access.get(backend, self._key)
            if found is None:
                return _Found(EMPTY, None)
            version = found[1]
            entry = decode(found[0]) or EMPTY
            if entry.root_key is None or entry.root_key == self._key:
                break
            self._key = entry.root_key
        return _Found(entry, version)

    async def _read_or_none(self, backend: Backend) -> _Found | None:
        try:
            return await self._read(backend)
        except StoreUnavailableError:
            return None

    async def _update(self, backend: Backend, change: Change) -> bool | None:
        """Change the entry; ``False`` where ``change`` wants none, ``None`` where the store fails.

        An entry that others change all the time is removed, which costs a request and is safe.
        """
        try:
            for _ in range(MAX_ATTEMPTS):
                found = await self._read(backend)
                changed = change(found.entry)
                if changed is None:
                    return False
                if await self._access.replace(backend, self._key, encode(changed), found.version):
                    return True
            await self._access.delete(backend, self._key)
        except StoreUnavailableError:
            return None
        return False


async def forget(server: Server, backend: Backend, user_id: object) -> None:
    """Remove the entry of a user, and where the id is an alias, what leads to it."""
    access = server.store_access
    key = arguments.nonempty("user_id", user_id)
    if access is None:
        return
    try:
        found = await access.get(backend, access.key(key))
        entry = None if found is None else decode(found[0])
        if entry is not None and entry.root_key is not None:
            await access.delete(backend, entry.root_key)
        await access.delete(backend, access.key(key))
    except StoreUnavailableError as unavailable:
        raise RuntimeError(
            "the store failed, so it may still know this user: try again"
        ) from unavailable.__cause__


def _stored_flags(stored: StoredFlags) -> Flags:
    flags = Flags(_api.read_flags(list(stored.keys)))
    flags.answered_at = stored.answered_at
    return _valid_for_now(flags)


def _valid_for_now(flags: Flags) -> Flags:
    flags.valid_until = time.monotonic() + RECHECK_SECONDS
    return flags
