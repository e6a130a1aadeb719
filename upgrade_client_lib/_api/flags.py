"""The feature flags of a user."""

# The request half of a generated operation is private to its module by name only:
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import attrs

from upgrade_openapi.api.client import feature_flags as feature_flags_endpoint
from upgrade_openapi.models import FeatureFlagsRequest

from .._http import Operation
from ..types import FeatureFlag
from .groups import Groups, group_membership
from .identity import Identity
from .operation import read_operation
from .values import as_list, warn_of_skipped


def feature_flags(
    identity: Identity, groups_for_session: Groups | None, include_stored_user_groups: bool | None
) -> Operation[dict[str, FeatureFlag]]:
    if groups_for_session is None or include_stored_user_groups is None:
        body = FeatureFlagsRequest(identity.context)
    else:
        body = FeatureFlagsRequest(
            identity.context,
            groups_for_session=group_membership(groups_for_session),
            include_stored_user_groups=include_stored_user_groups,
        )
    operation = read_operation(feature_flags_endpoint._get_kwargs, identity, body, read_flags)
    # Overlapping first requests of a user end the process of a 6.5.0 server.
    return attrs.evolve(operation, request=attrs.evolve(operation.request, may_overlap=False))


def read_flags(response: Any) -> dict[str, FeatureFlag]:
    keys = [key for key in as_list(response) if isinstance(key, str)]
    warn_of_skipped("feature flags", len(response) - len(keys))
    return {key: FeatureFlag(key) for key in keys}
