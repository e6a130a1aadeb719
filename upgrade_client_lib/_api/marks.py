"""Marks of decision points."""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

from upgrade_openapi.api.client import mark as mark_endpoint
from upgrade_openapi.models import (
    MarkData,
    MarkedCondition,
    MarkedDecisionPoint as MarkModel,
    MarkRequest,
    MarkStatus,
)
from upgrade_openapi.types import UNSET

from .._http import Operation
from .._rules.queues import PointKey
from ..types import MarkedDecisionPoint, MarkedDecisionPointStatus
from .identity import Identity
from .operation import operation
from .values import as_object, as_str, optional_str


def mark(
    identity: Identity,
    point: PointKey,
    *,
    condition: str | None,
    experiment_id: str | None,
    condition_id: str | None,
    status: MarkedDecisionPointStatus,
    uniquifier: str,
    client_error: str,
) -> Operation[MarkedDecisionPoint]:
    site, target = point
    body = MarkRequest(
        data=MarkData(
            site=site,
            target=target,
            assigned_condition=MarkedCondition(
                condition_code=condition or None,
                experiment_id=experiment_id or UNSET,
                id=condition_id or UNSET,
            ),
        ),
        status=MarkStatus(status.value),
        context=identity.context,
        uniquifier=uniquifier or UNSET,
        client_error=client_error or UNSET,
    )
    return operation(mark_endpoint._get_kwargs, identity, body, _read_mark, idempotent=False)


def _read_mark(response: Any) -> MarkedDecisionPoint:
    mark = MarkModel.from_dict(as_object(response))
    return MarkedDecisionPoint(
        id=as_str(mark.id),
        userId=as_str(mark.user_id),
        site=as_str(mark.site),
        target=optional_str(mark.target),
        experimentId=optional_str(mark.experiment_id),
        condition=optional_str(mark.condition),
    )
