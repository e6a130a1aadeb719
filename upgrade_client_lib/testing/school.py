"""A small school to try things out in: what the documentation speaks of."""

from __future__ import annotations

from .local import DEFAULT_CONTEXT, LocalUpgrade


def sample_school(*, server: str = "6.5") -> LocalUpgrade:
    """Make a server with an experiment of each kind, two feature flags and some metrics.

    ``python -m upgrade_client_lib.testing`` serves it. All of it is in the context "my-app", and
    its groups are the classes "class-1" and "class-2".

    >>> with sample_school().serve() as url:
    ...     client = UpgradeClient("student-4", url, "my-app")
    """
    local = LocalUpgrade(server=server, contexts=[DEFAULT_CONTEXT])
    local.experiment(
        "home",
        "banner",
        name="a warmer welcome",
        conditions={"control": 50, "treatment": 50},
        payloads={"treatment": "Welcome back!"},
    )
    local.experiment(
        "lesson",
        "hint",
        name="which hint helps",
        conditions={"short": 50, "long": 50},
        payloads={"short": "Try again.", "long": "Try again, and draw a picture first."},
        adaptive=True,
    )
    local.experiment(
        "lesson",
        "question",
        name="question styles, in turn",
        conditions=["words", "pictures", "numbers"],
        unit="within-subjects",
        order="ordered round robin",
    )
    local.experiment(
        "lesson",
        "layout",
        name="layout of a lesson",
        factors={"color": {"red": "#f00", "blue": "#00f"}, "shape": ["circle", "square"]},
    )
    local.experiment(
        "classroom",
        "leaderboard",
        name="leaderboard by class",
        conditions=["shown", "hidden"],
        unit="group",
        group_type="class",
    )
    local.flag("new-dashboard", include={"class": ["class-1"]})
    local.flag("dark-mode", include={"class": ["class-2"]})
    local.metric("totalTimeSeconds")
    local.metric("timeSeconds", group_class="masteryWorkspace", group_key="areas")
    return local
