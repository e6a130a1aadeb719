"""Who may take part in an experiment: global exclusion, its lists, and the user's groups."""

from __future__ import annotations

from .._definitions import GROUP, Experiment, Segment
from .store import User


def is_admitted(experiment: Experiment, user: User, excluded: Segment) -> bool:
    """Return whether neither the global exclusion nor the experiment's lists keep the user out."""
    groups = user.groups
    return not excluded.contains(user.id, groups) and experiment.filter.admits(user.id, groups)


def has_valid_group(experiment: Experiment, user: User) -> bool:
    """Return whether the user's groups are complete for this experiment.

    A group experiment needs a working group of its type which is one of the user's groups.
    """
    if experiment.unit != GROUP:
        return True
    names = (user.group or {}).get(experiment.group_type or "", [])
    return working_group(experiment, user) in names


def working_group(experiment: Experiment, user: User) -> str | None:
    """Return the user's working group of the type that the experiment assigns; None without one."""
    return (user.working_group or {}).get(experiment.group_type or "")
