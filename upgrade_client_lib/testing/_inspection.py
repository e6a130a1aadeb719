"""What a test sees of a LocalUpgrade: its definitions, what happened, and assertions on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._definitions import Experiment, FeatureFlag
from ._engine import LoggedMetric, Mark, Reward
from ._http import Api, Request

_ANY: Any = object()
"""The default of expected values: any value passes."""

_SHOWN = 10


class Inspection:
    """The half of a LocalUpgrade that changes nothing."""

    _api: Api

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Every experiment, in the order of their creation."""
        with self._api.lock:
            return tuple(self._api.state.catalogue.experiments.values())

    @property
    def flags(self) -> tuple[FeatureFlag, ...]:
        """Every feature flag, in the order of their creation."""
        with self._api.lock:
            return tuple(self._api.state.catalogue.flags.values())

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Every accepted mark, in order."""
        with self._api.lock:
            return tuple(self._api.state.store.marks)

    @property
    def logs(self) -> tuple[LoggedMetric, ...]:
        """Every metric value of every accepted log call, in order, dropped ones included."""
        with self._api.lock:
            return tuple(self._api.state.store.logs)

    @property
    def rewards(self) -> tuple[Reward, ...]:
        """Every accepted reward, in order."""
        with self._api.lock:
            return tuple(self._api.state.store.rewards)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The last 10,000 requests of the nine endpoints, in order, failed ones included.

        Fewer where their bodies exceed 64 MB in all.
        """
        with self._api.lock:
            return tuple(self._api.requests)

    def assert_marked(
        self,
        site: str,
        target: str | None = "",
        *,
        user: str = _ANY,
        condition: str | None = _ANY,
        status: str | None = _ANY,
        uniquifier: str | None = _ANY,
    ) -> None:
        """Pass when this decision point was marked so; else show what was marked instead.

        No target and an empty one are the same.
        """
        _assert_recorded(
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
        value: str | float = _ANY,
        user: str = _ANY,
        group_class: str | None = _ANY,
        group_key: str | None = _ANY,
    ) -> None:
        """Pass when a value of this metric was logged and stored; else show what was.

        A metric that no experiment queries is not stored: declare it with ``metric``.
        """
        _assert_recorded(
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
        self,
        value: str = _ANY,
        *,
        user: str = _ANY,
        experiment_id: str = _ANY,
        condition: str = _ANY,
    ) -> None:
        """Pass when such a reward, "SUCCESS" or "FAILURE", was accepted; else show which."""
        _assert_recorded(
            "reward",
            self.rewards,
            value=value,
            user=user,
            experiment_id=experiment_id,
            condition=condition,
        )


def _assert_recorded(what: str, records: Sequence[object], **expected: Any) -> None:
    """Pass if a record has all the expected values; else show the records there are."""
    expected_values = {field: value for field, value in expected.items() if value is not _ANY}
    if any(not _differences(record, expected_values) for record in records):
        return
    described = ", ".join(f"{field}={value!r}" for field, value in expected_values.items())
    raise AssertionError(
        "\n".join([f"no {what} with {described}", *_instead(what, records, expected_values)])
    )


def _differences(record: object, expected_values: dict[str, Any]) -> list[str]:
    return [field for field, value in expected_values.items() if getattr(record, field) != value]


def _instead(what: str, records: Sequence[object], expected_values: dict[str, Any]) -> list[str]:
    if not records:
        return [f"There was no {what} at all."]
    nearest = sorted(records, key=lambda record: len(_differences(record, expected_values)))
    lines = [f"There was instead, nearest first ({len(records)} in all):"]
    for record in nearest[:_SHOWN]:
        differing = ", ".join(_differences(record, expected_values))
        lines.append(f"  {record!r}  (other {differing})")
    return lines
