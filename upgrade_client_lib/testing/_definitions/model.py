"""What a server is set up with: experiments, feature flags, metrics. All frozen."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

INDIVIDUAL = "individual"
GROUP = "group"
WITHIN_SUBJECTS = "within-subjects"
UNITS = (INDIVIDUAL, GROUP, WITHIN_SUBJECTS)
RANDOM = "random"
ORDERED_ROUND_ROBIN = "ordered round robin"
RANDOM_ROUND_ROBIN = "random round robin"
ORDERS = (RANDOM, ORDERED_ROUND_ROBIN, RANDOM_ROUND_ROBIN)
EXPERIMENT = "experiment"
CONSISTENCY_RULES = (INDIVIDUAL, GROUP, EXPERIMENT)

ENROLLING = "enrolling"
ENROLLMENT_COMPLETE = "enrollmentComplete"
STATES = (
    "inactive",
    "draft",
    "scheduled",
    "preview",
    ENROLLING,
    "running",
    "paused",
    ENROLLMENT_COMPLETE,
    "completed",
    "cancelled",
    "archived",
)
POST_EXPERIMENT_RULES = ("continue", "assign")
PAYLOAD_TYPES = ("string", "json", "csv")
METRIC_SEPARATOR = "@__@"


@attrs.frozen
class Payload:
    """A payload as the server stores it: its type is ``string``, ``json`` or ``csv``.

    It is what an experiment is given here, not ``types.Payload``, which a client reads.
    """

    type: str
    value: str


@attrs.frozen
class Level:
    """The level that a condition of a factorial experiment has for one factor."""

    factor: str
    name: str
    payload: Payload | None = None


@attrs.frozen
class Condition:
    """A condition, its weight in percent, and for factorial experiments its levels."""

    id: str
    code: str
    weight: float
    levels: tuple[Level, ...] = ()


@attrs.frozen
class DecisionPoint:
    """A site and target of an experiment, and the payload of each condition code there."""

    site: str
    target: str | None
    payloads: Mapping[str, Payload] = attrs.field(factory=dict[str, Payload])


@attrs.frozen
class Segment:
    """A list of users, and of groups as pairs of group type and group id."""

    users: frozenset[str] = frozenset()
    groups: frozenset[tuple[str, str]] = frozenset()

    def contains(self, user_id: str, groups: frozenset[tuple[str, str]]) -> bool:
        """Return whether this user is listed, or one of these groups."""
        return user_id in self.users or not self.groups.isdisjoint(groups)


@attrs.frozen
class Filter:
    """Who may enter: everybody or nobody, but for those who are listed.

    A list of users decides before a list of groups, and exclusion before inclusion.
    """

    include_all: bool = True
    include: Segment = Segment()
    exclude: Segment = Segment()

    def excluded_group_types(self, user_id: str, groups: frozenset[tuple[str, str]]) -> set[str]:
        """Return the types of the listed groups that alone keep this user out; often empty."""
        listed = user_id in self.exclude.users or user_id in self.include.users
        if listed or not self.include_all:
            return set()
        return {group_type for group_type, _ in self.exclude.groups & groups}

    def admits(self, user_id: str, groups: frozenset[tuple[str, str]]) -> bool:
        if user_id in self.exclude.users:
            return False
        if user_id in self.include.users:
            return True
        if not self.exclude.groups.isdisjoint(groups):
            return False
        return self.include_all or not self.include.groups.isdisjoint(groups)


@attrs.frozen
class Metric:
    """A metric that experiments query: its key, its type, and for categories the allowed ones."""

    key: str
    type: str = "continuous"
    allowed: tuple[str, ...] | None = None
    contexts: tuple[str, ...] = ()


@attrs.frozen
class FeatureFlag:
    """A feature flag, on or off, and for whom.

    It is what the server is set up with, not ``types.FeatureFlag``, one that is on for a user.
    """

    id: str
    key: str
    context: str
    enabled: bool = True
    filter: Filter = Filter()


@attrs.frozen
class Experiment:
    """An experiment as it was defined. ``id`` is what the server draws with."""

    id: str
    name: str
    context: str
    conditions: tuple[Condition, ...]
    points: tuple[DecisionPoint, ...]
    state: str = ENROLLING
    unit: str = INDIVIDUAL
    group_type: str | None = None
    order: str | None = None
    consistency: str = INDIVIDUAL
    factorial: bool = False
    adaptive: bool = False
    reward_variable: str = ""
    filter: Filter = Filter()
    post_experiment_rule: str = "continue"
    revert_to: str | None = None

    @property
    def within_subjects(self) -> bool:
        """Return whether each user gets one condition after the other."""
        return self.unit == WITHIN_SUBJECTS

    def index_of(self, code: str) -> int | None:
        """Return the position in ``conditions`` of the condition with this code."""
        for index, condition in enumerate(self.conditions):
            if condition.code == code:
                return index
        return None


def payload_for_code(experiment: Experiment, condition: Condition) -> str | None:
    """Return what responses hold in place of a condition's code; None where it is the code.

    Where one factor decides between subjects, it is the payload of its level.
    """
    if not experiment.factorial or experiment.within_subjects or len(condition.levels) != 1:
        return None
    payload = condition.levels[0].payload
    return payload.value if payload else ""
