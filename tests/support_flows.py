"""The recorded flows: what each does with ``UpgradeClient``, and what must come of it.

Every flow is named after its cassette. The conditions are those that UpGrade's draws give these
users in these experiments; adaptive experiments draw anew each time, so nothing here expects one
of their conditions.
"""

from __future__ import annotations

from tests import support_flows_experiments as experiments, support_flows_users as users
from tests.support_replay import Flow

FLOWS: list[Flow] = [
    users.quick_start,
    users.quick_start_with_groups,
    users.no_experiment_at_point,
    users.group_changes,
    users.aliases,
    users.session_groups,
    experiments.payload_types,
    experiments.factorial,
    experiments.empty_target,
    experiments.null_target_context,
    experiments.empty_context,
    experiments.big_context,
    experiments.within_subjects_ordered_round_robin,
    experiments.within_subjects_random,
    experiments.within_subjects_random_round_robin,
    experiments.within_subjects_sister_point,
    users.metrics,
    users.rewards,
    users.errors,
]
