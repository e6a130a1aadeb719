"""A server in the process, which takes next to no time: it gives the same response each time."""

from __future__ import annotations

import threading

import httpx

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

HOST = "http://upgrade"
PATH, BODY = "/api/v6/assign", {"context": "my-app"}
HEADERS = {"User-Id": "u", "Session-Id": "s", "Client-Context": "my-app"}


class FixedResponse(httpx.BaseTransport):
    """Responds to each request with the assignments of so many experiments.

    They are at the targets ``t0``, ``t1``, … of the site ``home``, with the conditions ``a`` and
    ``b``. ``content`` is what a response holds, and ``requests`` how many came.
    """

    def __init__(self, experiments: int) -> None:
        local = LocalUpgrade()
        for number in range(experiments):
            payloads = {"a": "x" * 20, "b": "y" * 20}
            local.experiment("home", f"t{number}", conditions=["a", "b"], payloads=payloads)
        UpgradeConnection(HOST, transport=local.transport).client("u", "my-app").init_sync({})
        with httpx.Client(transport=local.transport) as client:
            response = client.post(HOST + PATH, headers=HEADERS, json=BODY)
        self.content = response.raise_for_status().content
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(200, content=self.content)


class Outage(FixedResponse):
    """Responds to reads, and takes marks and log entries without ever responding to them."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/mark", "/log")):
            threading.Event().wait()
        return super().handle_request(request)
