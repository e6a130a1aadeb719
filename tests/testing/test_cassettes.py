"""The recorded flows, driven through UpgradeClient, go the same way on LocalUpgrade."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import yaml

from tests.testing.support_recorded import TESTS, comparable, recorded_server
from upgrade_client_lib import UpgradeApiError, UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

CASSETTES = sorted((TESTS / "cassettes").glob("*.yaml"))


@attrs.frozen
class Recorded:
    """One request of a cassette, and what the server answered."""

    endpoint: str
    user_id: str
    body: dict[str, Any]
    status: int
    answer: Any


class Listening(httpx.BaseTransport):
    """Passes requests on to a LocalUpgrade, and keeps what was sent and what was answered."""

    def __init__(self, local: LocalUpgrade) -> None:
        self._local = local
        self.heard: list[Recorded] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._local.transport.handle_request(request)
        self.heard.append(
            Recorded(
                request.url.path.rpartition("/")[2],
                request.headers["User-Id"],
                json.loads(request.read()),
                response.status_code,
                json.loads(response.read()),
            )
        )
        return response


def test_there_are_19_cassettes() -> None:
    assert len(CASSETTES) == 19


@pytest.mark.parametrize("cassette", CASSETTES, ids=lambda path: path.stem)
def test_the_flow_goes_the_same_way(cassette: Path) -> None:
    listening = Listening(recorded_server())
    flow = list(_interactions(cassette))
    clients: dict[tuple[str, str], UpgradeClient] = {}
    with ExitStack() as closing:
        for step in flow:
            user_id, context = who = (step.user_id, step.body.get("context", "my-app"))
            if who not in clients:
                client = UpgradeClient(
                    user_id, "http://upgrade.local", context, transport=listening
                )
                clients[who] = closing.enter_context(client)
            with suppress(UpgradeApiError):
                _call(clients[who], step)

    assert len(listening.heard) == len(flow)
    for heard, recorded in zip(listening.heard, flow):
        assert heard.endpoint == recorded.endpoint
        assert heard.user_id == recorded.user_id
        assert comparable(heard.body) == comparable(recorded.body)
        assert heard.status == recorded.status
        assert comparable(heard.answer) == comparable(recorded.answer)


def _interactions(cassette: Path) -> Iterator[Recorded]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for interaction in yaml.load(cassette.read_text("utf-8"), Loader=loader)["interactions"]:
        request, response = interaction["request"], interaction["response"]
        yield Recorded(
            request["uri"].rpartition("/")[2],
            request["headers"]["user-id"][0],
            json.loads(request["body"]),
            response["status"]["code"],
            json.loads(response["body"]["string"]),
        )


def _call(client: UpgradeClient, recorded: Recorded) -> None:
    """Call the method that sends such a request, with what was sent then."""
    body = recorded.body
    if recorded.endpoint == "init":
        client.init_sync(body.get("group"), body.get("workingGroup"))
    elif recorded.endpoint == "groupmembership":
        client.set_group_membership_sync(body["group"])
    elif recorded.endpoint == "workinggroup":
        client.set_working_group_sync(body["workingGroup"])
    elif recorded.endpoint == "useraliases":
        client.set_alt_user_ids_sync(body["aliases"])
    elif recorded.endpoint == "assign":
        client.get_all_experiment_conditions_sync(ignore_cache=True)
    elif recorded.endpoint == "mark":
        _mark(client, body)
    elif recorded.endpoint == "featureflag":
        groups, merged = body.get("groupsForSession"), body.get("includeStoredUserGroups")
        client.set_feature_flag_user_groups_for_session(groups, merged)
        client.get_all_feature_flags_sync(ignore_cache=True)
    elif recorded.endpoint == "log":
        client.log_sync(body["value"])
    else:
        assert recorded.endpoint == "reward"
        client.send_reward_sync(
            body["rewardValue"],
            body.get("experimentId"),
            body.get("context"),
            body.get("decisionPoint"),
        )


def _mark(client: UpgradeClient, body: dict[str, Any]) -> None:
    data = body["data"]
    client.mark_decision_point_sync(
        data["site"],
        data["target"],
        data["assignedCondition"]["conditionCode"],
        body["status"],
        body.get("uniquifier", ""),
        body.get("clientError", ""),
    )
