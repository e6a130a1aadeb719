"""What a test sees of a LocalUpgrade, and its assertions."""

from __future__ import annotations

import httpx
import pytest

from tests.testing.support_local import (
    APPLIED,
    CONDITIONS,
    client,
    mark,
    post,
)
from upgrade_client_lib import testing
from upgrade_client_lib.testing import LocalUpgrade


def test_marks_logs_and_requests_are_recorded_in_order() -> None:
    local = LocalUpgrade()
    experiment = local.experiment("home", "banner", conditions=CONDITIONS)
    local.metric("time")
    local.metric("hints", group_class="lesson", group_key="areas")
    user = client(local)
    mark(local, "home", "banner", "control")
    user.log_sync(
        [
            {
                "timestamp": "2026-11-20T09:00:00Z",
                "metrics": {
                    "attributes": {"time": 7, "nobody_asks": 1},
                    "groupedMetrics": [
                        {
                            "groupClass": "lesson",
                            "groupKey": "areas",
                            "groupUniquifier": "first",
                            "attributes": {"hints": 2},
                        }
                    ],
                },
            }
        ]
    )
    (made,) = local.marks
    assert (made.user, made.condition, made.experiment_id) == ("u1", "control", experiment.id)
    assert [(one.metric, one.value, one.stored) for one in local.logs] == [
        ("time", 7, True),
        ("nobody_asks", 1, False),
        ("hints", 2, True),
    ]
    assert [(one.endpoint, one.user, one.status) for one in local.requests] == [
        ("init", "u1", 200),
        ("mark", "u1", 200),
        ("log", "u1", 200),
    ]
    assert local.requests[1].json["data"]["site"] == "home"
    assert local.requests[0].headers["user-id"] == "u1"
    local.assert_logged("hints", value=2, group_class="lesson", group_key="areas")
    local.reset()
    assert (local.marks, local.logs, local.requests) == ((), (), ())
    assert local.experiments == (experiment,)
    assert post(local, "assign", {"context": "my-app"}).status_code == 404


def test_a_request_without_json_has_none() -> None:
    local = LocalUpgrade()
    with httpx.Client(transport=local.transport) as http:
        http.post("http://upgrade.local/api/v6/init", content=b"{", headers={"User-Id": "u1"})
    assert local.requests[0].json is None


def test_failed_assertions_show_what_happened_instead() -> None:
    local = LocalUpgrade()
    with pytest.raises(AssertionError, match="There was no mark at all"):
        local.assert_marked("home", "banner")
    client(local)
    mark(local, "home", "footer", "control")
    mark(local, "home", "banner", "control")
    with pytest.raises(AssertionError) as raised:
        local.assert_marked("home", "banner", user="u1", condition="treatment")
    lines = str(raised.value).splitlines()
    assert lines[0] == (
        "no mark with site='home', target='banner', user='u1', condition='treatment'"
    )
    assert "2 in all" in lines[1]
    assert "condition='control'" in lines[2]
    assert lines[2].endswith("(other condition)")
    assert lines[3].endswith("(other target, condition)")
    local.assert_marked("home", "banner", condition="control", status=APPLIED)
    with pytest.raises(AssertionError, match="no reward with value='SUCCESS'"):
        local.assert_rewarded("SUCCESS")


@pytest.mark.parametrize("asserted", [None, ""])
def test_no_target_and_an_empty_one_are_the_same_in_an_assertion(asserted: str | None) -> None:
    by_client, by_null = LocalUpgrade(), LocalUpgrade(server="6.7")
    client(by_client).mark_decision_point_sync("home", None, None, APPLIED)
    client(by_null)
    assert mark(by_null, "home", None, None).status_code == 200
    for local in (by_client, by_null):
        local.assert_marked("home", asserted)
        assert [made.target for made in local.marks] == [""]


def test_a_metric_that_nobody_queries_was_not_logged_and_the_failure_says_so() -> None:
    local = LocalUpgrade()
    user = client(local)
    user.log_sync([{"timestamp": "2026-11-20T09:00:00Z", "metrics": {"attributes": {"time": 7}}}])
    with pytest.raises(AssertionError, match=r"stored=False.*other stored"):
        local.assert_logged("time", value=7)


def test_a_grouped_metric_has_both_a_class_and_a_key() -> None:
    with pytest.raises(ValueError, match="metric 'hints': group_class and group_key"):
        LocalUpgrade().metric("hints", group_class="lesson")


def test_the_package_lists_what_it_has() -> None:
    assert set(testing.__all__) <= set(dir(testing))
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = testing.nothing


def test_it_tells_what_it_is() -> None:
    local = LocalUpgrade(server="6.7")
    local.flag("new")
    assert repr(local) == "<LocalUpgrade 6.7.0, experiments=0, flags=1>"
