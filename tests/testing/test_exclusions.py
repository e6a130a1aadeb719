"""Who is excluded from an experiment by a mark, and by the marks of others."""

from __future__ import annotations

from tests.testing.support_local import CONDITIONS, client, codes, mark, post
from upgrade_client_lib.testing import LocalUpgrade

OVER = "enrollmentComplete"


def test_a_user_enrolled_at_another_point_is_excluded_by_a_mark_after_the_end() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=["only"], points=[("home", "menu")])
    client(local)
    mark(local, "home", "banner", "only")
    local.set_state(experiment, OVER)
    both = {"home/banner": ["only"], "home/menu": ["only"]}
    mark(local, "home", "banner", "only")
    assert codes(local) == both
    mark(local, "home", "menu", "only")
    assert codes(local) == {}


def test_a_user_enrolled_at_every_point_stays_so_after_the_end() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=["only"], points=[("home", "menu")])
    client(local)
    mark(local, "home", "banner", "only")
    mark(local, "home", "menu", "only")
    local.set_state(experiment, OVER)
    mark(local, "home", "menu", "only")
    assert codes(local) == {"home/banner": ["only"], "home/menu": ["only"]}


def test_a_user_enrolled_at_two_points_of_an_adaptive_experiment_cannot_be_rewarded() -> None:
    local = LocalUpgrade()
    experiment = local.experiment(
        "lesson", "hint", conditions=CONDITIONS, points=[("lesson", "tip")], adaptive=True
    )
    client(local)
    body = {"rewardValue": "SUCCESS", "experimentId": experiment.id}
    mark(local, "lesson", "hint", "control")
    mark(local, "lesson", "hint", "control")
    assert post(local, "reward", body).status_code == 200
    mark(local, "lesson", "tip", "control")
    answer = post(local, "reward", body)
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        "Could not find unique user enrollment for experiment (userId: u1, "
        "enrollments: [object Object],[object Object]), no reward sent."
    )
