"""Recorded exchanges of a real server, played again: LocalUpgrade answers the same.

They were recorded in sequence against one database. `ORDER` is that sequence as far as it
matters; `PREPARED` and `BETWEEN` are the requests in it that were not recorded.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
from typing import Any

import pytest

from tests.testing.support_local import bearer
from tests.testing.support_recorded import EXCHANGES, comparable, recorded_server
from upgrade_client_lib.testing import LocalUpgrade

CANNOT_AGREE = {
    "assign_db_down": "recorded with the database stopped",
    "featureflag_db_down": "recorded with the database stopped",
    "init_db_down": "recorded with the database stopped",
    "assign_mooclet_engine_down": "recorded with the adaptive engine stopped",
    "reward_mooclet_engine_down": "recorded with the adaptive engine stopped",
    "init_prototype_key": "the server crashes on a JavaScript prototype, and Python has none",
    "route_v6_clearDB": "a route for demonstrations, to empty the database",
    "route_v6_clearDB_no_user": "a route for demonstrations, to empty the database",
}

CLASS_1 = {
    "group": {"class": ["class-1", "class-2"], "school": ["school-1"]},
    "workingGroup": {"class": "class-1", "school": "school-1"},
}
PREPARED: dict[str, Any] = {
    "tr-alias-b-094602": {},
    "tr-assign-094602": CLASS_1,
    "tr-grp-094602": {},
    "tr-log3-094602": {},
    "tx-mix-094805": {},
    "tx-auth-094805": {},
    "tf-moff-095331": {},
    "tf-no_condition-095256": {},
    "tf-otherc-095256": {},
    "tr-wsf-094602": {},
    "tr-ws-random-094602": {},
    "tr-ws-random-round-robin-094602": {},
    "tr-ws-ordered-round-robin-094602": {},
}

ORDER = [
    "init_minimal_new_user",
    "init_minimal_again",
    "init_with_groups",
    "init_again_without_groups_returns_stored",
    "init_group_only",
    "init_working_group_only",
    "init_group_null",
    "init_json_array_of_objects",
    "init_query_string",
    "assign_excluded_init",
    "assign_nogroup_init",
    "ff_init",
    "ff_vip_init",
    "mark_init",
    "log_init",
    "reward_init",
    "mark_simple_full",
    "mark_group",
    "mark_empty_target",
    "mark_unicode",
    "mark_status_not_applied",
    "log_simple_new",
    "log_simple_update_later",
    "log_simple_update_same_ts",
    "log_grouped_new",
    "log_grouped_other_uniquifier",
    "log_simple_and_grouped",
    "log_client_shape_empty_attributes",
    "log_known_plus_unknown",
    "log_continuous_given_string",
    "log_categorical_not_allowed",
    "log_huge_number",
    "log_timestamp_offset",
    "log_timestamp_micros_offset",
    "log_extra_userId",
    "log_two_entries_same_metric",
    "log_two_entries_again",
    "log_duplicates_in_grouped",
    "log_unicode",
    "log_nul",
    "log_mixed_1_new",
    "log_mixed_2_existing_plus_new",
    "log_mixed_3_both_existing",
    "alias_init_a",
    "useraliases_self",
    "useraliases_ok",
    "useraliases_repeat",
    "useraliases_duplicates",
    "alias_call_init",
    "alias_call_init_with_groups",
    "alias_root_init_after",
    "alias_call_featureflag",
    "alias_call_useraliases",
    "alias_call_useraliases_existing",
]


def _log(attributes: dict[str, Any], timestamp: str) -> dict[str, Any]:
    return {"value": [{"timestamp": timestamp, "metrics": {"attributes": attributes}}]}


def _mark(site: str, target: str, code: str) -> dict[str, Any]:
    return {"data": {"site": site, "target": target, "assignedCondition": {"conditionCode": code}}}


BETWEEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "log_categorical_not_allowed": (
        "log",
        "tr-log-094602",
        _log({"totalTimeSeconds": "12.5"}, "2026-11-23T10:00:11.000Z"),
    ),
    "log_huge_number": (
        "log",
        "tr-log-094602",
        _log({"workspaceCompletionStatus": 5}, "2026-11-23T10:00:12.000Z"),
    ),
    "reward_experimentId_null_with_dp": (
        "mark",
        "tr-rw-094602",
        _mark("adapt", "hint", "hintB"),
    ),
}


TOKENS = {  # in the recordings they are redacted
    "auth_on_bad_token": "Bearer nonsense",
    "auth_on_expired": bearer({"APIKey": "key", "exp": 1000}),
    "auth_on_wrong_key": bearer({"APIKey": "other key"}),
    "auth_on_wrong_secret": bearer({"APIKey": "key"}, "other secret"),
}

Answer = tuple[int, str, Any]
"""Status, media type, and the body: parsed when it is JSON, else text."""


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    """What LocalUpgrade answered to each exchange, played over a socket in one sequence."""
    played: dict[str, Answer] = {}
    with (
        _like_the_recorded().serve() as url,
        LocalUpgrade(token_secret="secret", api_key="key").serve() as checking,
        LocalUpgrade(adaptive=False).serve() as without_adaptive,
    ):
        for server in (url, without_adaptive):
            for user, groups in PREPARED.items():
                _post(server, "init", user, groups)
        _post(checking, "init", "tx-auth-094805", {}, bearer({"APIKey": "key"}))
        for name in [*ORDER, *(name for name in EXCHANGES if name not in ORDER)]:
            if name in BETWEEN:
                _post(url, *BETWEEN[name])
            server = checking if name.startswith("auth_on") else url
            server = without_adaptive if "mooclets_disabled" in name else server
            if name not in CANNOT_AGREE:
                played[name] = _play(server, name)
    return played


@pytest.mark.parametrize("name", [name for name in EXCHANGES if name not in CANNOT_AGREE])
def test_the_answer_agrees_with_the_recorded_one(name: str, answers: dict[str, Answer]) -> None:
    recorded = EXCHANGES[name]["response"]
    headers = {key.lower(): value for key, value in recorded["headers"]}
    status, content_type, body = answers[name]

    assert status == recorded["status"]
    assert content_type == headers.get("content-type", "")
    if name == "mark_long_condition":  # the recording holds its first 2,000 characters
        assert len(json.dumps(body, separators=(",", ":"))) == 100133
    elif recorded["body_json"] is not None:
        assert comparable(body) == comparable(recorded["body_json"])
    else:
        assert body == recorded["body_text"]


def test_the_exceptions_are_recordings() -> None:
    assert set(CANNOT_AGREE) <= set(EXCHANGES)
    assert set(ORDER) | set(BETWEEN) <= set(EXCHANGES)


def _like_the_recorded() -> LocalUpgrade:
    """The server of the recordings, when its metrics were in two contexts."""
    local = recorded_server()
    both = ("my-app", "big-app")
    categories = ("GRADUATED", "PROMOTED")
    group = {"group_class": "masteryWorkspace", "group_key": "calculating_area_various_figures"}
    local.metric("totalTimeSeconds", contexts=both)
    local.metric("workspaceCompletionStatus", contexts=both, allowed=categories)
    local.metric("timeSeconds", contexts=both, **group)
    local.metric("hintCount", contexts=both, **group)
    local.metric("completionStatus", contexts=both, allowed=categories, **group)
    return local


def _play(url: str, name: str) -> Answer:
    request = EXCHANGES[name]["request"]
    headers = [(key, _restored(value)) for key, value in request["headers"]]
    if name in TOKENS:
        headers = [(key, value) for key, value in headers if key != "Authorization"]
        headers.append(("Authorization", TOKENS[name]))
    return _send(url, request["method"], request["path"], headers, _body(name, request))


def _post(url: str, endpoint: str, user: str, body: Any, token: str = "") -> None:
    headers = [("User-Id", user), ("Content-Type", "application/json"), ("Authorization", token)]
    status, _, answer = _send(
        url, "POST", f"/api/v6/{endpoint}", headers, json.dumps(body).encode()
    )
    assert status == 200, answer


def _send(url: str, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
    connection = http.client.HTTPConnection(url.partition("//")[2], timeout=10)
    try:
        connection.putrequest(method, path)
        for key, value in headers:
            connection.putheader(key, value.encode())
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        content_type = response.headers.get("Content-Type", "")
        text = response.read().decode()
        is_json = text and content_type.startswith("application/json")
        return response.status, content_type, json.loads(text) if is_json else text
    finally:
        connection.close()


def _body(name: str, request: dict[str, Any]) -> bytes:
    if name == "init_gzip_body":  # recorded as text, which compressed bytes do not survive
        return gzip.compress(json.dumps(CLASS_1).encode())
    if request.get("body_json") is not None:
        return json.dumps(request["body_json"], separators=(",", ":")).encode()
    tail = '"}}, "status": "condition applied"}' if name == "mark_long_condition" else ""
    return _restored(request.get("body_text", ""), tail).encode()


def _restored(text: str, tail: str = "") -> str:
    """A text that the recording cut short, at the length that it had."""
    cut = re.fullmatch(r"(.*?)\.\.\. ?\[(\d+) chars\]", text, re.DOTALL)
    if cut is None:
        return text
    start, length = cut[1], int(cut[2])
    return start + start[-1] * (length - len(start) - len(tail)) + tail
