"""Groups of users, as requests and responses have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upgrade_openapi.models import GroupMembership

Groups = Mapping[str, Sequence[str]]


def group_membership(group: Groups) -> GroupMembership:
    return GroupMembership.from_dict({group_type: list(ids) for group_type, ids in group.items()})
