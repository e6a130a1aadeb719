"""What a server knows of a user: groups, working groups, aliases."""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upgrade_openapi.api.client import (
    init as init_endpoint,
    set_group_membership as group_membership_endpoint,
    set_user_aliases as user_aliases_endpoint,
    set_working_group as working_group_endpoint,
)
from upgrade_openapi.models import (
    ExperimentUser as UserModel,
    GroupMembership,
    GroupMembershipRequest,
    InitRequest,
    UserAliases as AliasesModel,
    UserAliasesRequest,
    WorkingGroup,
    WorkingGroupRequest,
)
from upgrade_openapi.types import UNSET

from .._http import Operation
from .._narrow import list_or_none
from .._rules.arguments import header, nonempty
from ..types import ExperimentUser, UserAliases
from .groups import Groups, group_membership
from .identity import Identity
from .operation import operation
from .values import as_list, as_object, as_str


def init(
    identity: Identity, group: Groups | None, working_group: Mapping[str, str] | None
) -> Operation[ExperimentUser]:
    body = InitRequest(
        group=UNSET if group is None else group_membership(group),
        working_group=UNSET if working_group is None else WorkingGroup.from_dict(working_group),
    )
    return operation(init_endpoint._get_kwargs, identity, body, _read_user, idempotent=True)


def set_group_membership(identity: Identity, group: Groups | None) -> Operation[ExperimentUser]:
    body = GroupMembershipRequest(None if group is None else group_membership(group))
    get_kwargs = group_membership_endpoint._get_kwargs
    return operation(get_kwargs, identity, body, _read_changed_user, idempotent=True)


def set_working_group(
    identity: Identity, working_group: Mapping[str, str]
) -> Operation[ExperimentUser]:
    body = WorkingGroupRequest(WorkingGroup.from_dict(working_group))
    get_kwargs = working_group_endpoint._get_kwargs
    return operation(get_kwargs, identity, body, _read_changed_user, idempotent=True)


def set_user_aliases(identity: Identity, aliases: Sequence[str]) -> Operation[UserAliases]:
    body = UserAliasesRequest(list(aliases))
    get_kwargs = user_aliases_endpoint._get_kwargs
    return operation(get_kwargs, identity, body, _read_aliases, idempotent=True)


def _read_user(response: Any) -> ExperimentUser:
    user = UserModel.from_dict(as_object(response))
    return ExperimentUser(as_str(user.id), _group(user.group), _working_group(user.working_group))


def _read_changed_user(response: Any) -> ExperimentUser:
    """Read the user that a change names, who sends the change again if an alias sent it."""
    user = _read_user(response)
    header("the user id in the answer", nonempty("the user id in the answer", user.id))
    return user


def _read_aliases(response: Any) -> UserAliases:
    aliases = AliasesModel.from_dict(as_object(response))
    return UserAliases(
        as_str(aliases.user_id), [as_str(alias) for alias in as_list(aliases.aliases)]
    )


def _group(group: Any) -> dict[str, list[str]] | None:
    if not isinstance(group, GroupMembership):
        return None
    by_type = {name: list_or_none(ids) for name, ids in group.additional_properties.items()}
    return {
        group_type: ids
        for group_type, ids in by_type.items()
        if ids is not None and all(isinstance(group_id, str) for group_id in ids)
    }


def _working_group(group: Any) -> dict[str, str] | None:
    if not isinstance(group, WorkingGroup):
        return None
    by_type: dict[str, Any] = group.additional_properties
    return {name: group_id for name, group_id in by_type.items() if isinstance(group_id, str)}
