"""What a test sees of a LocalUpgrade: its definitions, what happened, and assertions on it."""

from __future__ import annotations

from ._api import Api
from ._assertions import ANY, assert_recorded
from ._definitions import Experiment, FeatureFlag
from ._records import LoggedMetric, Mark, Request, Reward


class Observed:
    """The half of a LocalUpgrade that changes nothing."""

    _api: Api

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Every experiment, in the order of their creation."""
        with self._api.lock:
            return tuple(self._api.world.catalogue.experiments.values())

    @property
    def flags(self) -> tuple[FeatureFlag, ...]:
        """Every feature flag, in the order of their creation."""
        with self._api.lock:
            return tuple(self._api.world.catalogue.flags.values())

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Every accepted mark, in order."""
        with self._api.lock:
            return tuple(self._api.world.store.marks)

    @property
    def logs(self) -> tuple[LoggedMetric, ...]:
        """Every metric value of every accepted log call, in order, dropped ones included."""
        with self._api.lock:
            return tuple(self._api.world.store.logs)

    @property
    def rewards(self) -> tuple[Reward, ...]:
        """Every accepted reward, in order."""
        with self._api.lock:
            return tuple(self._api.world.store.rewards)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The last 10,000 requests of the nine endpoints, in order, failed ones included."""
        with self._api.lock:
            return tuple(self._api.requests)

    def assert_marked(
        self,
        site: str,
        target: str | None = "",
        *,
        user: str = ANY,
        condition: str | None = ANY,
        status: str | None = ANY,
        uniquifier: str | None = ANY,
    ) -> None:
        """Pass when this decision point was marked so; else show what was marked instead.

        No target and an empty one are the same.
        """
        assert_recorded(
            "mark",
            self.marks,
            site=site,
            target=target or "",
            user=user,
            condition=condition,
            status=status,
            uniquifier=uniquifier,
        )

    def assert_logged(
        self,
        metric: str,
        *,
        value: str | float = ANY,
        user: str = ANY,
        group_class: str | None = ANY,
        group_key: str | None = ANY,
    ) -> None:
        """Pass when a value of this metric was logged and stored; else show what was.

        A metric that no experiment queries is not stored: declare it with ``metric``.
        """
        assert_recorded(
            "logged metric",
            self.logs,
            metric=metric,
            value=value,
            user=user,
            group_class=group_class,
            group_key=group_key,
            stored=True,
        )

    def assert_rewarded(
        self, value: str = ANY, *, user: str = ANY, experiment_id: str = ANY, condition: str = ANY
    ) -> None:
        """Pass when such a reward, "SUCCESS" or "FAILURE", was accepted; else show which."""
        assert_recorded(
            "reward",
            self.rewards,
            value=value,
            user=user,
            experiment_id=experiment_id,
            condition=condition,
        )
