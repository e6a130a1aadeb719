"""The operations: public types in, wire out; wire in, public types out.

Paths, headers, keys and values of the wire come from the generated package alone. Each function
gives an :class:`Operation`: the request, and how to read its answer. An answer is read with
distrust: what cannot be read is left out with a warning, one item at a time.
"""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Generic, TypeVar
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

from . import _answers
from ._answers import Point
from ._validation import why_harmed
from ._version import __version__
from ._wire import WireRequest
from .types import (
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

T = TypeVar("T")
Groups = Mapping[str, Sequence[str]]


@attrs.frozen
class Operation(Generic[T]):
    """One request, and the reader of its answer, which raises where it cannot read it."""

    request: WireRequest
    read: Callable[[Any], T]


@attrs.frozen
class Identity:
    """Who asks: what every request carries in its headers."""

    user_id: str
    session_id: str
    context: str
    token: str = attrs.field(repr=False)


def init(
    identity: Identity, group: Groups | None, working_group: Mapping[str, str] | None
) -> Operation[ExperimentUser]:
    body = models.InitRequest(
        group=UNSET if group is None else _group_membership(group),
        working_group=UNSET if working_group is None else _working_group(working_group),
    )
    return Operation(
        _request(init_operation._get_kwargs, identity, body, repeatable=True), _answers.read_user
    )


def set_group_membership(identity: Identity, group: Groups | None) -> Operation[ExperimentUser]:
    body = models.GroupMembershipRequest(None if group is None else _group_membership(group))
    return Operation(
        _request(set_group_membership_operation._get_kwargs, identity, body, repeatable=True),
        _answers.read_user,
    )


def set_working_group(
    identity: Identity, working_group: Mapping[str, str]
) -> Operation[ExperimentUser]:
    body = models.WorkingGroupRequest(_working_group(working_group))
    return Operation(
        _request(set_working_group_operation._get_kwargs, identity, body, repeatable=True),
        _answers.read_user,
    )


def set_user_aliases(identity: Identity, aliases: Sequence[str]) -> Operation[UserAliases]:
    body = models.UserAliasesRequest(list(aliases))
    return Operation(
        _request(set_user_aliases_operation._get_kwargs, identity, body, repeatable=True),
        _answers.read_aliases,
    )


def assign(identity: Identity) -> Operation[dict[Point, Any]]:
    body = models.AssignRequest(identity.context)
    return Operation(
        _request(assign_operation._get_kwargs, identity, body, repeatable=True),
        _answers.read_assignments,
    )


def mark(
    identity: Identity,
    point: Point,
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
    return Operation(
        _request(mark_operation._get_kwargs, identity, body, repeatable=False), _answers.read_mark
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
    return Operation(
        _request(feature_flags_operation._get_kwargs, identity, body, repeatable=True),
        _answers.read_flags,
    )


def log(identity: Identity, entries: Sequence[LogInput]) -> Operation[list[LogRecord]]:
    body = models.LogRequest([_log_entry(entry) for entry in entries])
    return Operation(
        _request(log_operation._get_kwargs, identity, body, repeatable=True), _answers.read_log
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
    return Operation(
        _request(reward_operation._get_kwargs, identity, body, repeatable=False),
        _answers.read_reward,
    )


# ---- Wire out ----


def _request(
    parts_of: Callable[..., dict[str, Any]],
    identity: Identity,
    body: Any = None,
    *,
    repeatable: bool,
) -> WireRequest:
    """Have an operation make its request, which is ``repeatable`` if twice does no harm."""
    parts = parts_of(
        **({} if body is None else {"body": body}),
        user_id=identity.user_id,
        session_id=identity.session_id,
        client_context=_context_header(identity.context),
        client_version=__version__,
    )
    headers: dict[str, str] = parts["headers"]
    if identity.token:
        headers["Authorization"] = f"Bearer {identity.token}"
    content = _compact_json(parts["json"]).encode() if "json" in parts else b""
    return WireRequest(
        parts["method"].upper(), parts["url"], headers, content, repeatable, identity.token
    )


_compact_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _context_header(context: str) -> str:
    """A header carries latin-1; any other context goes percent-encoded (the body has it whole)."""
    return context if why_harmed(context) is None else quote(context)


def _group_membership(group: Groups) -> models.GroupMembership:
    return models.GroupMembership.from_dict({kind: list(ids) for kind, ids in group.items()})


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
