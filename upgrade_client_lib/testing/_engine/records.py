"""What a test sees of what happened: one frozen record for each mark, metric and reward."""

from __future__ import annotations

import attrs


@attrs.frozen
class Mark:
    """An accepted mark. ``user`` is the root user, ``condition`` the code that was sent.

    ``target`` is "" where none was sent, for both are the same.
    """

    user: str
    site: str
    target: str
    condition: str | None
    experiment_id: str | None = None
    status: str | None = None
    uniquifier: str | None = None
    client_error: str | None = None


@attrs.frozen
class LoggedMetric:
    """One value of one metric that was logged.

    ``stored`` is False where the server accepted the request and dropped this value silently:
    because no experiment queries the metric, or a later timestamp was there already.
    """

    user: str
    metric: str
    value: str | int | float
    timestamp: str
    uniquifier: str
    group_class: str | None = None
    group_key: str | None = None
    stored: bool = True


@attrs.frozen
class Reward:
    """An accepted reward, and the condition that the user was enrolled in.

    It is what a test sees of it, not ``types.Reward``, what a client is answered.
    """

    user: str
    value: str
    experiment_id: str
    condition: str
