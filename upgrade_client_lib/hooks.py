"""What an application may listen to: calls to the server, and decisions.

>>> class Slow(Hook):
...     def after(self, call):
...         if call.seconds > 1.0:
...             print(call.endpoint, call.seconds)
>>> connection = UpgradeConnection("https://upgrade.example.org", hooks=[Slow()])
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import attrs

from ._narrow import items_or_none

if TYPE_CHECKING:
    from .decision import Decision, FlagDecision
    from .exceptions import UpgradeApiError
    from .types import OutboxEvent

__all__ = ["Call", "Hook"]


@attrs.frozen(kw_only=True)
class Call:
    """One call to the server, all attempts included.

    ``endpoint`` is the operation, as in ``"POST /api/v6/mark"``. Before the call, ``attempts`` is 0
    and ``seconds`` 0.0. ``error`` is what the call ended with, ``None`` for success.
    ``host_url`` is the server's address.
    """

    endpoint: str
    user_id: str
    context: str
    host_url: str = ""
    attempts: int = 0
    seconds: float = 0.0
    error: UpgradeApiError | None = None


class Hook:
    """Base of hooks; override what you want to hear of.

    Methods are called in the thread or task of the call, so they should be fast, and cannot be
    async. An exception in a hook is logged, once for each hook and method, and never reaches the
    caller. After ``before``, each call has one of ``after``, ``failed`` and ``abandoned``.

    Hooks are called in the order in which the connection has them; in those three methods in the
    reverse order, so that what one hook began last is ended first.
    """

    def before(self, call: Call) -> None:
        """Note that a call begins."""

    def after(self, call: Call) -> None:
        """Note that a call succeeded."""

    def failed(self, call: Call) -> None:
        """Note that a call failed; ``call.error`` says how."""

    def abandoned(self, call: Call) -> None:
        """Note that a call was cancelled or interrupted, or the connection was closed."""

    def store_failed(self, error: Exception) -> None:
        """Note that the connection's store, or its outbox's, failed: with what it raised."""

    def decided(self, decision: Decision | FlagDecision) -> None:
        """Note what ``decide`` or ``decide_flag`` returned."""

    def handover_failed(self, error: Exception) -> None:
        """Note that ``decision.mark()`` could not hand a mark over to the outbox."""

    def event_delivered(self, event: OutboxEvent) -> None:
        """Note that the server accepted an event of the outbox; called in its own thread."""

    def event_set_aside(self, event: OutboxEvent) -> None:
        """Note that an event of the outbox waits for a person, or has expired; see its ``state``.

        Called in the outbox's own thread.
        """


_logger = logging.getLogger("upgrade_client_lib")

_ENDINGS = frozenset({"after", "failed", "abandoned"})
"""The methods that end what ``before`` began."""


class HookList:
    """The hooks of a connection, called one after the other; see :class:`Hook` for the order."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)
        self._reported: set[tuple[int, str]] = set()  # hooks may be unhashable

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def call(self, method: str, event: Any) -> None:
        """Call a method of each hook; what it raises is logged, once for each."""
        for hook in reversed(self._hooks) if method in _ENDINGS else self._hooks:
            try:
                getattr(hook, method)(event)
            except Exception:
                if (id(hook), method) not in self._reported:
                    self._reported.add((id(hook), method))
                    _logger.exception(
                        "the hook %s failed in %s; its further failures there are not logged",
                        type(hook).__name__,
                        method,
                    )


NO_HOOKS = HookList(())

_METHODS = [name for name in vars(Hook) if not name.startswith("_")]


def hooks_option(value: object) -> HookList:
    """Return the hooks of a sequence of them; a ``TypeError`` for anything else."""
    hooks = items_or_none(value)
    if hooks is None:
        raise TypeError(f"hooks must be a list of Hook, not {type(value).__name__}")
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"hooks must hold instances of Hook, not {hook!r}")
        for method in _METHODS:
            if iscoroutinefunction(getattr(hook, method)):
                raise TypeError(f"{type(hook).__name__}.{method} is async, which no hook can be")
    return HookList(hooks) if hooks else NO_HOOKS
