"""The operations of the API, from public types to requests.

Paths, headers, keys and values of the wire come from the generated package alone. Each function
returns an :class:`Operation`: the request, and how its response is read.
"""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar
from urllib.parse import quote

import attrs

from upgrade_openapi import models
from upgrade_openapi.api.client import (
    assign as assign_operation,
    feature_flags as feature_flags_operation,
    init as init_operation,
    log as log_operation,
    mark as mark_operation,
    reward as reward_operation,
    set_group_membership as set_group_membership_operation,
    set_user_aliases as set_user_aliases_operation,
    set_working_group as set_working_group_operation,
)
from upgrade_openapi.types import UNSET

from .._http import Operation, Request
from .._rules.arguments import header_problem
from .._rules.queues import PointKey
from .._version import __version__
from ..types import (
    BinaryRewardValue,
    DecisionPoint,
    ExperimentUser,
    FeatureFlag,
    LogInput,
    LogRecord,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    RewardResponse,
    UserAliases,
)
from . import responses
from .assignments import index_items
from .errors import read_error

T = TypeVar("T")
Groups = Mapping[str, Sequence[str]]


@attrs.frozen
class Identity:
    """Who sends a request: what the headers of each carry.

    ``session`` is the session's id, or the 16 random bytes of one.
    """

    user_id: str
    session: str | bytes
    context: str
    token: str = attrs.field(repr=False)

    @property
    def session_id(self) -> str:
        """The session's id; made of its bytes when it is needed, since few clients send anything.

        The same bytes make the same id, in any thread and in a child process.
        """
        session = self.session
        return session if isinstance(session, str) else str(uuid.UUID(bytes=session, version=4))


def init(
    identity: Identity, group: Groups | None, working_group: Mapping[str, str] | None
) -> Operation[ExperimentUser]:
    body = models.InitRequest(
        group=UNSET if group is None else _group_membership(group),
        working_group=UNSET if working_group is None else _working_group(working_group),
    )
    return _operation(
        init_operation._get_kwargs, identity, body, responses.read_user, idempotent=True
    )


def set_group_membership(identity: Identity, group: Groups | None) -> Operation[ExperimentUser]:
    body = models.GroupMembershipRequest(None if group is None else _group_membership(group))
    return _operation(
        set_group_membership_operation._get_kwargs,
        identity,
        body,
        responses.read_user,
        idempotent=True,
    )


def set_working_group(
    identity: Identity, working_group: Mapping[str, str]
) -> Operation[ExperimentUser]:
    body = models.WorkingGroupRequest(_working_group(working_group))
    return _operation(
        set_working_group_operation._get_kwargs,
        identity,
        body,
        responses.read_user,
        idempotent=True,
    )


def set_user_aliases(identity: Identity, aliases: Sequence[str]) -> Operation[UserAliases]:
    body = models.UserAliasesRequest(list(aliases))
    return _operation(
        set_user_aliases_operation._get_kwargs,
        identity,
        body,
        responses.read_aliases,
        idempotent=True,
    )


def assign(identity: Identity) -> Operation[dict[PointKey, Any]]:
    body = models.AssignRequest(identity.context)
    return _read(assign_operation._get_kwargs, identity, body, index_items)


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
    body = models.MarkRequest(
        data=models.MarkData(
            site=site,
            target=target,
            assigned_condition=models.MarkedCondition(
                condition_code=condition or None,
                experiment_id=experiment_id or UNSET,
                id=condition_id or UNSET,
            ),
        ),
        status=models.MarkStatus(status.value),
        context=identity.context,
        uniquifier=uniquifier or UNSET,
        client_error=client_error or UNSET,
    )
    return _operation(
        mark_operation._get_kwargs, identity, body, responses.read_mark, idempotent=False
    )


def feature_flags(
    identity: Identity, groups_for_session: Groups | None, include_stored_user_groups: bool | None
) -> Operation[dict[str, FeatureFlag]]:
    if groups_for_session is None or include_stored_user_groups is None:
        body = models.FeatureFlagsRequest(identity.context)
    else:
        body = models.FeatureFlagsRequest(
            identity.context,
            groups_for_session=_group_membership(groups_for_session),
            include_stored_user_groups=include_stored_user_groups,
        )
    operation = _read(feature_flags_operation._get_kwargs, identity, body, responses.read_flags)
    # Overlapping first requests of a user end the process of a 6.5.0 server.
    return attrs.evolve(operation, request=attrs.evolve(operation.request, may_overlap=False))


def log(identity: Identity, entries: Sequence[LogInput]) -> Operation[list[LogRecord]]:
    body = models.LogRequest([_log_entry(entry) for entry in entries])
    return _operation(
        log_operation._get_kwargs, identity, body, responses.read_log, idempotent=True
    )


def reward(
    identity: Identity,
    value: BinaryRewardValue,
    *,
    experiment_id: str | None,
    context: str | None,
    decision_point: DecisionPoint | None,
) -> Operation[RewardResponse]:
    body = models.RewardRequest(
        reward_value=models.RewardValue(value.value),
        experiment_id=experiment_id or UNSET,
        context=context or UNSET,
        decision_point=UNSET
        if decision_point is None
        else models.RewardDecisionPoint(decision_point.site, decision_point.target),
    )
    return _operation(
        reward_operation._get_kwargs, identity, body, responses.read_reward, idempotent=False
    )


def version() -> Request:
    """Return the request for the server's version, the one that needs no user."""
    return Request("GET", "/api/version", {}, b"", idempotent=True, token="")


def _read(
    get_kwargs: Callable[..., dict[str, Any]],
    identity: Identity,
    body: Any,
    read: Callable[[Any], T],
) -> Operation[T]:
    """Return an operation that changes nothing on the server."""
    operation = _operation(get_kwargs, identity, body, read, idempotent=True)
    return attrs.evolve(operation, is_read=True)


def _operation(
    get_kwargs: Callable[..., dict[str, Any]],
    identity: Identity,
    body: Any,
    read: Callable[[Any], T],
    *,
    idempotent: bool,
) -> Operation[T]:
    """Take the request from a generated operation; ``idempotent`` if sending it twice is safe."""
    parts = get_kwargs(
        body=body,
        user_id=identity.user_id,
        session_id=identity.session_id,
        client_context=_context_header(identity.context),
        client_version=__version__,
    )
    headers: dict[str, str] = parts["headers"]
    if identity.token:
        headers["Authorization"] = f"Bearer {identity.token}"
    request = Request(
        parts["method"].upper(),
        parts["url"],
        headers,
        _compact_json(parts["json"]).encode(),
        idempotent,
        identity.token,
    )
    return Operation(request, read, read_error)


_compact_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _context_header(context: str) -> str:
    """Headers carry latin-1: other contexts are percent-encoded there (not in the body)."""
    return context if header_problem(context) is None else quote(context)


def _group_membership(group: Groups) -> models.GroupMembership:
    return models.GroupMembership.from_dict(
        {group_type: list(ids) for group_type, ids in group.items()}
    )


def _working_group(working_group: Mapping[str, str]) -> models.WorkingGroup:
    return models.WorkingGroup.from_dict(working_group)


def _log_entry(entry: LogInput) -> models.LogEntry:
    timestamp = entry.timestamp
    assert isinstance(timestamp, str)
    return models.LogEntry(
        timestamp=timestamp,
        metrics=models.LogMetrics(
            attributes=models.LogAttributes.from_dict(entry.metrics.attributes),
            grouped_metrics=[
                models.LogGroupMetrics(
                    group_class=group.groupClass,
                    group_key=group.groupKey,
                    group_uniquifier=group.groupUniquifier,
                    attributes=models.LogAttributes.from_dict(group.attributes),
                )
                for group in entry.metrics.groupedMetrics
            ],
        ),
    )
