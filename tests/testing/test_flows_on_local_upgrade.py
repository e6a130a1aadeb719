"""LocalUpgrade with the recorded server's experiments answers the recorded flows as that did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest
import yaml

from tests.support_flows import FLOWS
from tests.support_replay import CASSETTES, FORM_NAMES, Flow, FormName, cassette_of, run
from tests.support_spec import YAML_LOADER
from tests.testing.support_recorded import comparable, recorded_server
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade


@attrs.frozen
class Exchange:
    """One request and its answer, without what differs from run to run."""

    request: str
    user_id: str
    body: Any
    status: int
    answer: Any


class Listening(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Passes requests on to a LocalUpgrade, and keeps what was sent and what was answered."""

    def __init__(self, local: LocalUpgrade) -> None:
        self._local = local
        self.heard: list[Exchange] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._local.transport.handle_request(request)
        self.heard.append(
            Exchange(
                f"{request.method} {request.url.path}",
                request.headers["User-Id"],
                comparable(json.loads(request.read())),
                response.status_code,
                comparable(json.loads(response.read())),
            )
        )
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


@pytest.fixture(scope="module")
def server() -> LocalUpgrade:
    return recorded_server()


@pytest.mark.parametrize("form", FORM_NAMES)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_flow_goes_the_same_way(server: LocalUpgrade, flow: Flow, form: FormName) -> None:
    server.reset()
    listening = Listening(server)
    with UpgradeConnection("http://upgrade", transport=listening) as connection:
        run(flow, connection, form)

    assert listening.heard == list(recorded(flow))


def recorded(flow: Flow) -> Iterator[Exchange]:
    cassette = yaml.load(cassette_of(flow, CASSETTES).read_bytes(), Loader=YAML_LOADER)
    for interaction in cassette["interactions"]:
        request, response = interaction["request"], interaction["response"]
        yield Exchange(
            f"{request['method']} {httpx.URL(request['uri']).path}",
            request["headers"]["user-id"][0],
            comparable(json.loads(request["body"])),
            response["status"]["code"],
            comparable(json.loads(response["body"]["string"])),
        )
