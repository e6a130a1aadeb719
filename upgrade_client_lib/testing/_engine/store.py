"""What the server stores of users: all of it is forgotten by a reset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from uuid import uuid4

import attrs

from .._definitions import PointKey
from .records import LoggedMetric, Mark, Reward

Groups = dict[str, list[str]]
WorkingGroup = dict[str, str]


def now() -> str:
    """Return the current time as the server writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


def sorted_groups(groups: Groups | None) -> Groups | None:
    """Return the groups with the ids of each type sorted."""
    if groups is None:
        return None
    return {
        group_type: sorted(names, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        for group_type, names in groups.items()
    }


@attrs.define
class User:
    """A root user."""

    id: str
    group: Groups | None = None
    working_group: WorkingGroup | None = None
    created: str = attrs.field(factory=now)
    updated: str = attrs.field(default=attrs.Factory(lambda user: user.created, takes_self=True))
    version: int = 1

    @property
    def groups(self) -> frozenset[tuple[str, str]]:
        """Return every group the user is in, as pairs of group type and group id."""
        return frozenset(
            (kind, name) for kind, names in (self.group or {}).items() for name in names
        )

    def changed(self) -> None:
        self.updated = now()
        self.version += 1


@attrs.frozen
class Enrolment:
    """The condition in which a user entered an experiment, in which working group, and where."""

    condition: str
    group: str | None = None
    points: frozenset[PointKey] = frozenset()


@attrs.define
class Visit:
    """What is stored of a user's first mark of a decision point."""

    condition: str | None
    experiment_id: str | None
    id: str = attrs.field(factory=lambda: str(uuid4()))


@attrs.define
class LogRow:
    """A stored row of metrics: the values of these keys, last written at ``timestamp``."""

    id: int
    uniquifier: str
    timestamp: datetime
    keys: tuple[str, ...]
    data: dict[str, object]


class Store:
    """The tables of the server's database that users fill.

    ``roots`` lead from aliases to root users. Enrolments and exclusions are kept by experiment id
    and user id (or working group); ``forced`` are indices of conditions by experiment id, for each
    user, the latest last.
    """

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.roots: dict[str, str] = {}
        self.enrolments: dict[tuple[str, str], Enrolment] = {}
        self.group_enrolments: dict[tuple[str, str], str] = {}
        self.exclusions: set[tuple[str, str]] = set()
        self.group_exclusions: set[tuple[str, str]] = set()
        self.forced: dict[str, dict[str, int]] = {}
        self.visits: dict[tuple[str, str, str | None], Visit] = {}
        self.turns: Counter[tuple[str, str, str, str | None]] = Counter()
        self.log_rows: dict[str, list[LogRow]] = {}
        self.last_log_id = 0
        self.marks: list[Mark] = []
        self.logs: list[LoggedMetric] = []
        self.rewards: list[Reward] = []

    def user(self, user_id: str) -> User | None:
        """Return the root user of this id or alias."""
        return self.users.get(self.roots.get(user_id, user_id))

    def link(self, aliases: Iterable[str], root: str) -> None:
        """Make these the root user's aliases. What is forced for them is forced for the root."""
        for alias in aliases:
            self.roots[alias] = root
            if alias in self.forced:
                self.forced[root] = {**self.forced.pop(alias), **self.forced.get(root, {})}

    def exclude_group(self, experiment_id: str, group: str) -> None:
        """Exclude a working group from an experiment."""
        self.group_exclusions.add((experiment_id, group))

    def forced_for(self, user_id: str) -> dict[str, int]:
        """Return the conditions forced for this root user, by experiment, the latest last."""
        return self.forced.get(user_id, {})

    def force(self, user_id: str, experiment_id: str, condition: int) -> None:
        """Force this condition for a user, who need not exist yet."""
        forced = self.forced.setdefault(self.roots.get(user_id, user_id), {})
        forced.pop(experiment_id, None)
        forced[experiment_id] = condition
