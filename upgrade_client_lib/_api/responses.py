"""From responses to public types. One item that cannot be read never spoils the rest.

Each reader takes the parsed JSON, and raises ``TypeError``, ``ValueError`` or ``KeyError`` where it
cannot be read as a whole. Items of a list that cannot be read are left out, with a warning.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from upgrade_openapi import models
from upgrade_openapi.types import Unset

from .._http import PARSE_ERRORS
from .._narrow import list_or_none, object_or_none
from ..types import (
    ExperimentUser,
    FeatureFlag,
    LogRecord,
    MarkedDecisionPoint,
    Reward,
    RewardResponse,
    UserAliases,
)
from .values import (
    as_list,
    as_object,
    as_str,
    number_or_none,
    number_or_str_or_none,
    optional_str,
    str_or_none,
    warn_of_skipped,
)

_ENDING_IN_Z = re.compile("[Zz]$")


def read_user(response: Any) -> ExperimentUser:
    user = models.ExperimentUser.from_dict(as_object(response))
    return ExperimentUser(as_str(user.id), _group(user.group), _working_group(user.working_group))


def read_aliases(response: Any) -> UserAliases:
    aliases = models.UserAliases.from_dict(as_object(response))
    return UserAliases(
        as_str(aliases.user_id), [as_str(alias) for alias in as_list(aliases.aliases)]
    )


def read_mark(response: Any) -> MarkedDecisionPoint:
    mark = models.MarkedDecisionPoint.from_dict(as_object(response))
    return MarkedDecisionPoint(
        id=as_str(mark.id),
        userId=as_str(mark.user_id),
        site=as_str(mark.site),
        target=optional_str(mark.target),
        experimentId=optional_str(mark.experiment_id),
        condition=optional_str(mark.condition),
    )


def read_flags(response: Any) -> dict[str, FeatureFlag]:
    keys = [key for key in as_list(response) if isinstance(key, str)]
    warn_of_skipped("feature flags", len(response) - len(keys))
    return {key: FeatureFlag(key) for key in keys}


def read_log(response: Any) -> list[LogRecord]:
    records: list[LogRecord] = []
    for item in as_list(response):
        try:
            records.append(_read_record(item))
        except PARSE_ERRORS:
            continue
    warn_of_skipped("log records", len(response) - len(records))
    return records


def read_reward(response: Any) -> RewardResponse:
    present = {key: value for key, value in as_object(response).items() if value is not None}
    answer = models.RewardAnswer.from_dict(present)
    reward = answer.reward
    return RewardResponse(
        as_str(answer.message),
        object_or_none(answer.request),
        None
        if isinstance(reward, Unset)
        else Reward(
            str_or_none(reward.variable),
            number_or_none(reward.value),
            number_or_none(reward.mooclet),
            number_or_none(reward.version),
            str_or_none(reward.learner),
        ),
    )


def _group(group: Any) -> dict[str, list[str]] | None:
    if not isinstance(group, models.GroupMembership):
        return None
    by_type = {name: list_or_none(ids) for name, ids in group.additional_properties.items()}
    return {
        group_type: ids
        for group_type, ids in by_type.items()
        if ids is not None and all(isinstance(group_id, str) for group_id in ids)
    }


def _working_group(group: Any) -> dict[str, str] | None:
    if not isinstance(group, models.WorkingGroup):
        return None
    by_type: dict[str, Any] = group.additional_properties
    return {name: group_id for name, group_id in by_type.items() if isinstance(group_id, str)}


def _read_record(item: Any) -> LogRecord:
    record = models.LogRecord.from_dict(as_object(item))
    user_id = record.user_id
    user = object_or_none(record.user)
    if isinstance(user_id, Unset) and user is not None:
        user_id = models.ExperimentUser.from_dict(user).id
    data = object_or_none(record.data)
    if data is None:
        raise TypeError("a log record without data")
    metrics = list_or_none(record.metrics)
    return LogRecord(
        id=number_or_str_or_none(record.id),
        userId=optional_str(user_id),
        uniquifier=optional_str(record.uniquifier),
        timeStamp=_parse_time(record.time_stamp),
        data=data,
        metrics=None
        if metrics is None
        else [metric for metric in metrics if object_or_none(metric) is not None],
    )


def _parse_time(text: Any) -> datetime | None:
    try:
        # Before Python 3.11, datetime does not know the Z with which servers end a time.
        moment = datetime.fromisoformat(_ENDING_IN_Z.sub("+00:00", text))
        if moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None
