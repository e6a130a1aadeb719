"""What the client gives back. Field names are the wire's, as users' code has them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import attrs

from .enums import PayloadType

__all__ = [
    "ExperimentUser",
    "FeatureFlag",
    "LogRecord",
    "MarkedDecisionPoint",
    "Payload",
    "Reward",
    "RewardResponse",
    "UserAliases",
]


@attrs.frozen
class Payload:
    """The content that a condition carries, as text, and how it is meant to be read.

    ``type`` is a :class:`PayloadType`, or a plain string where the server names one that this
    version does not know.
    """

    type: PayloadType | str
    value: str

    def parse(self) -> Any:
        """Return the payload as a Python value.

        Text for ``string`` (and for unknown types), the value for ``json``, the list of the
        row's cells for ``csv``. Raises ``ValueError``, which shows the text, where the text is
        not what its type says.

        >>> Payload(PayloadType.CSV, 'a,"b,c"').parse()
        ['a', 'b,c']
        """
        if self.type == PayloadType.JSON:
            return self._parsed_json()
        if self.type == PayloadType.CSV:
            return self._parsed_csv()
        return self.value

    def _parsed_json(self) -> Any:
        try:
            return json.loads(self.value, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this json payload is not JSON ({error}): {self.value!r}") from error

    def _parsed_csv(self) -> list[str]:
        try:
            lines = csv.reader(io.StringIO(self.value, newline=""), strict=True)
            rows = [row for row in lines if row]
        except csv.Error as error:
            raise ValueError(f"this csv payload is not CSV ({error}): {self.value!r}") from error
        if len(rows) > 1:
            raise ValueError(f"this csv payload has {len(rows)} rows, not one: {self.value!r}")
        return rows[0] if rows else []


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


@attrs.frozen
class FeatureFlag:
    """A feature flag that is on for this user."""

    key: str


@attrs.frozen
class ExperimentUser:
    """The user as far as server and client know them.

    ``group`` maps a group type to the groups the user belongs to, ``workingGroup`` to the one
    they work in now. ``None`` means none is stored, or none is known to this client. ``id`` is
    the root user's where the client's user id is an alias.
    """

    id: str
    group: Mapping[str, Sequence[str]] | None = None
    workingGroup: Mapping[str, str] | None = None


@attrs.frozen
class UserAliases:
    """The root user, and which of the sent aliases are linked to them."""

    userId: str
    aliases: Sequence[str]


@attrs.frozen
class MarkedDecisionPoint:
    """What the server stored for a decision point that was marked.

    ``experimentId`` and, outside within-subjects experiments, ``condition`` are those of the
    user's *first* mark of this point.
    """

    id: str
    userId: str
    site: str
    target: str | None
    experimentId: str | None
    condition: str | None


@attrs.frozen
class LogRecord:
    """One row of metrics that the server wrote or updated.

    ``id`` is a number or text, as the server has it, and ``None`` where it gave neither.
    ``timeStamp`` is an aware ``datetime``, or ``None`` where the server's text cannot be read as
    one. ``metrics`` are the server's definitions of the metrics, given for new rows alone.
    """

    id: int | str | None
    userId: str | None
    uniquifier: str | None
    timeStamp: datetime | None
    data: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]] | None = None


@attrs.frozen
class Reward:
    """The reward as the engine of adaptive experiments was told it."""

    variable: str | None
    value: int | float | None
    mooclet: int | None
    version: int | None
    learner: str | None


@attrs.frozen
class RewardResponse:
    """The server's word that a reward was accepted (which is not yet delivered).

    ``request`` is what the server says it was asked. ``reward`` is ``None`` on servers from 6.6
    on, which no longer give it.
    """

    message: str
    request: Mapping[str, Any] | None = None
    reward: Reward | None = None
