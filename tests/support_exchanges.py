"""A scripted server: it gives recorded or made-up answers, and remembers what it was sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import httpx

from upgrade_client_lib import UpgradeClient

_FOLDER = Path(__file__).parent / "recordings" / "exchanges"
HOST = "https://upgrade.example.org"
SESSION_ID = "11111111-2222-4333-8444-555555555555"
"""The session that the recordings were made in."""


@attrs.frozen
class Answer:
    """What the server says to one request."""

    status: int
    body: object = None
    """Text or bytes go out as they are, anything else as JSON."""
    headers: dict[str, str] = attrs.field(factory=dict[str, str])

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@attrs.frozen
class Sent:
    """A request as it left the client."""

    method: str
    path: str
    """With the query, if there is one."""
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@attrs.frozen
class Exchange:
    """One recorded request, and what the real server answered."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    """What was sent, where it was JSON."""
    answer: Answer

    @property
    def user_id(self) -> str:
        return self.headers["user-id"]


class ScriptedServer(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Gives its answers in order, the last one for ever, through sync and async transports."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[Sent] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.multi_items()}
        assert len(headers) == len(request.headers.raw), "a header was sent twice"
        path = request.url.raw_path.decode("ascii")
        self.sent.append(Sent(request.method, path, headers, request.read()))
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
        return httpx.Response(answer.status, headers=raw, content=answer.content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)

    @property
    def only(self) -> Sent:
        """The one request that there was."""
        (sent,) = self.sent
        return sent

    def client(self, user_id: str = "u1", context: str = "my-app", **options: Any) -> UpgradeClient:
        """A user's client that talks to this server alone."""
        return UpgradeClient(user_id, HOST, context, transport=self, **options)


def exchange(name: str) -> Exchange:
    recorded = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    request, response = recorded["request"], recorded["response"]
    body = response["body_json"]
    return Exchange(
        name,
        request["method"],
        request["path"],
        {header.lower(): value for header, value in request["headers"]},
        request["body_json"],
        Answer(
            response["status"],
            response.get("body_text", "") if body is None else body,
            {header.lower(): value for header, value in response["headers"]},
        ),
    )


def every_exchange() -> list[Exchange]:
    return [exchange(path.stem) for path in sorted(_FOLDER.glob("*.json"))]


def playing(name: str, **options: Any) -> tuple[UpgradeClient, ScriptedServer, Exchange]:
    """The recorded user's client, the server that answers as it did, and the recording."""
    recorded = exchange(name)
    server = ScriptedServer(recorded.answer)
    options.setdefault("client_session_id", SESSION_ID)
    return server.client(recorded.user_id, **options), server, recorded
