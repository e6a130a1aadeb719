"""A server whose answers a test replaces, loses, or holds back for as long as it likes.

What a test does not steer, the transport behind it answers, such as a ``LocalUpgrade``'s. Without
one, only steered answers are given.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Literal, Protocol

import attrs
import httpx

from tests.support_forms import Form
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

HOST = "https://upgrade.example.org"
PATIENCE = 10.0
"""No test waits longer than this for anything, in seconds."""

When = Literal["before", "after"]
"""Whether a request is interfered with before the server sees it, or after it answered."""


class Behind(Protocol):
    """What carries out the requests."""

    def handle_request(self, request: httpx.Request) -> httpx.Response: ...


class Hold:
    """One request that is kept waiting until the test releases it."""

    def __init__(self) -> None:
        self.arrived: Future[None] = _unstoppable()
        self._released: Future[None] = _unstoppable()

    def wait(self) -> None:
        """Wait, blocking, until the request is there."""
        self.arrived.result(PATIENCE)

    async def wait_async(self) -> None:
        await asyncio.wait_for(asyncio.wrap_future(self.arrived), PATIENCE)

    def release(self) -> None:
        self._released.set_result(None)

    def keep(self) -> None:
        self.arrived.set_result(None)
        self._released.result(PATIENCE)

    async def keep_async(self) -> None:
        self.arrived.set_result(None)
        await asyncio.wait_for(asyncio.wrap_future(self._released), PATIENCE)


@attrs.frozen
class _Step:
    when: When
    hold: Hold | None = None
    error: type[httpx.TransportError] | None = None


@attrs.frozen
class Sent:
    """A request as it reached the server."""

    endpoint: str
    json: Any
    timeouts: dict[str, float]
    """How long each step of it may take, in seconds."""


class SteeredServer(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Counts what it is sent; steer it by endpoint, as in ``server.hold_next("assign")``."""

    def __init__(self, behind: Behind | None = None) -> None:
        self.behind = behind
        self._answers: dict[str, httpx.Response] = {}
        self._steps: dict[str, deque[_Step]] = {}
        self._lock = threading.Lock()
        self.sent: list[Sent] = []

    def count(self, endpoint: str) -> int:
        with self._lock:
            return sum(sent.endpoint == endpoint for sent in self.sent)

    def bodies(self, endpoint: str) -> list[Any]:
        with self._lock:
            return [sent.json for sent in self.sent if sent.endpoint == endpoint]

    def answer(self, endpoint: str, answer: object, status: int = 200) -> None:
        """Give this JSON to every request of the endpoint from now on."""
        content = json.dumps(answer).encode()
        with self._lock:
            self._answers[endpoint] = httpx.Response(status, content=content)

    def forget_answers(self) -> None:
        """Leave all answers to the server behind again, and lose none any longer."""
        with self._lock:
            self._answers.clear()
            self._steps.clear()

    def hold_next(
        self,
        endpoint: str,
        when: When = "before",
        error: type[httpx.TransportError] | None = None,
    ) -> Hold:
        """Keep the next request, or the answer to it, waiting; then break the connection."""
        hold = Hold()
        self._steer(endpoint, _Step(when, hold, error))
        return hold

    def lose_next(
        self,
        endpoint: str,
        when: When,
        error: type[httpx.TransportError] = httpx.ReadTimeout,
    ) -> None:
        """Break the connection of the next request."""
        self._steer(endpoint, _Step(when, error=error))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        step = self._next_step(request)
        if step.when == "after":
            response = self._answer(request)
            if step.hold is not None:
                step.hold.keep()
            _break(step, request)
            return response
        if step.hold is not None:
            step.hold.keep()
        _break(step, request)
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        step = self._next_step(request)
        if step.when == "after":
            response = self._answer(request)
            if step.hold is not None:
                await step.hold.keep_async()
            _break(step, request)
            return response
        if step.hold is not None:
            await step.hold.keep_async()
        _break(step, request)
        return self._answer(request)

    def _steer(self, endpoint: str, step: _Step) -> None:
        with self._lock:
            self._steps.setdefault(endpoint, deque()).append(step)

    def _next_step(self, request: httpx.Request) -> _Step:
        endpoint = _endpoint(request)
        with self._lock:
            limits = request.extensions["timeout"]
            self.sent.append(Sent(endpoint, json.loads(request.read()), limits))
            steps = self._steps.get(endpoint)
            return steps.popleft() if steps else _Step("before")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            answer = self._answers.get(_endpoint(request))
        if answer is not None:
            return httpx.Response(answer.status_code, content=answer.content)
        assert self.behind is not None, f"nobody answers {request.url}"
        return self.behind.handle_request(request)


def local_upgrade(server: str = "6.5") -> LocalUpgrade:
    """A server with one experiment of each kind that marks treat differently."""
    upgrade = LocalUpgrade(server=server)
    upgrade.experiment("home", "banner", conditions={"control": 50, "treatment": 50})
    upgrade.experiment("pair", "one", conditions=["left", "right"], points=[("pair", "two")])
    within: dict[str, Any] = {"unit": "within-subjects", "order": "ordered round robin"}
    codes = ["first", "second", "third"]
    upgrade.experiment("single", "queue", conditions=codes, **within)
    upgrade.experiment("twin", "one", conditions=codes, points=[("twin", "two")], **within)
    upgrade.flag("new-dashboard")
    return upgrade


def one_factor() -> LocalUpgrade:
    """A server with an experiment of one factor, which gives its level's payload as the code."""
    upgrade = LocalUpgrade()
    tones = {"warm": "Hello!", "formal": "Good day."}
    upgrade.experiment("lesson", "hint", factors={"tone": tones})
    return upgrade


def client_of(
    transport: httpx.BaseTransport | httpx.AsyncBaseTransport, **options: Any
) -> UpgradeClient:
    return UpgradeClient("user", HOST, "my-app", transport=transport, **options)


def initialised(
    transport: httpx.BaseTransport | httpx.AsyncBaseTransport, **options: Any
) -> UpgradeClient:
    client = client_of(transport, **options)
    client.init_sync()
    return client


class Background:
    """Calls that go on beside the test, each in a thread of its own (and its own event loop)."""

    def __init__(self, call: Form, threads: int = 4) -> None:
        self._call = call
        self._threads = ThreadPoolExecutor(threads)

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def begin(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self._threads.submit(self._call, method, *args, **kwargs)

    def run(self, scenario: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run a function of the test's own."""
        return self._threads.submit(scenario, *args)


def _unstoppable() -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def _endpoint(request: httpx.Request) -> str:
    return request.url.path.rpartition("/")[2]


def _break(step: _Step, request: httpx.Request) -> None:
    if step.error is not None:
        raise step.error("broken by the test", request=request)
