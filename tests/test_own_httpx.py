"""A user's own httpx clients and transports: used with the settings they have, and left open."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import httpx
import pytest

from tests.support_faulty_server import FaultyServer
from tests.support_forms import Form, blocking, both_forms, in_event_loop
from upgrade_client_lib import (
    NoConnectionError,
    NotAuthorizedError,
    RequestTimeoutError,
    UnreadableAnswerError,
    UpgradeApiError,
    UpgradeConnection,
)
from upgrade_client_lib.testing import LocalUpgrade

URL = "http://upgrade"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # quickly made


# ---- httpx clients of the user's own ----


class Token(httpx.Auth):
    """Something that a user's own client adds to every request."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Auth"] = "signed"
        yield request


@both_forms
def test_own_clients_keep_their_settings(call: Form) -> None:
    seen: list[str] = []

    def note(event: Any) -> None:
        seen.append(type(event).__name__)

    async def anote(event: Any) -> None:
        seen.append(type(event).__name__)

    upgrade = LocalUpgrade()
    settings: dict[str, Any] = {
        "transport": upgrade.transport,
        "headers": {"X-Mine": "mine", "User-Id": "nobody"},
        "auth": Token(),
        "cookies": {"session": "7"},
        "timeout": httpx.Timeout(9.0),
        "follow_redirects": True,
    }
    own = httpx.Client(**settings, event_hooks={"request": [note], "response": [note]})
    async_own = httpx.AsyncClient(**settings, event_hooks={"request": [anote], "response": [anote]})
    before = [dict(one.headers) for one in (own, async_own)]
    connection = UpgradeConnection(
        URL,
        http_client=own,
        async_http_client=async_own,
        headers={"X-Ours": "ours", "user-id": "nobody"},
        token="secret",
    )

    call(connection.client("user", "my-app").init)

    (request,) = upgrade.requests
    assert request.headers["x-mine"] == "mine"
    assert request.headers["x-ours"] == "ours"
    assert request.headers["x-auth"] == "signed"
    assert request.headers["cookie"] == "session=7"
    assert request.headers["user-id"] == "user"
    assert request.headers["content-type"] == "application/json"
    assert seen == ["Request", "Response"]
    assert [dict(one.headers) for one in (own, async_own)] == before
    assert own.timeout == async_own.timeout == httpx.Timeout(9.0)


@both_forms
def test_own_clients_are_not_closed(call: Form) -> None:
    upgrade = LocalUpgrade()
    own = httpx.Client(transport=upgrade.transport)
    async_own = httpx.AsyncClient(transport=upgrade.transport)
    with UpgradeConnection(URL, http_client=own, async_http_client=async_own) as connection:
        client = connection.client("user", "my-app")
        call(client.init)
        client.close()
    asyncio.run(connection.aclose())

    assert not own.is_closed
    assert not async_own.is_closed


@both_forms
def test_a_closed_client_of_the_users_own_is_said_so(call: Form) -> None:
    transport = LocalUpgrade().transport
    own, async_own = httpx.Client(transport=transport), httpx.AsyncClient(transport=transport)
    own.close()
    asyncio.run(async_own.aclose())
    connection = UpgradeConnection(URL, http_client=own, async_http_client=async_own)

    with pytest.raises(RuntimeError, match="client has been closed"):
        call(connection.client("user", "my-app").init)


@both_forms
def test_the_other_kind_of_call_goes_its_usual_way(call: Form) -> None:
    other: Any = "async_http_client" if call is blocking else "http_client"
    kind = httpx.AsyncClient if call is blocking else httpx.Client
    unused: Any = kind(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with (
        FaultyServer() as server,
        UpgradeConnection(server.url, **{other: unused}) as connection,
    ):
        assert call(connection.client("user", "my-app").init).id == "user"


@both_forms
def test_redirects_are_not_followed_by_own_clients_either(call: Form) -> None:
    upgrade = LocalUpgrade()
    upgrade.fail_next("init", status=307, headers={"Location": "/api/v6/init"}, body="")
    connection = UpgradeConnection(
        URL,
        http_client=httpx.Client(transport=upgrade.transport, follow_redirects=True),
        async_http_client=httpx.AsyncClient(transport=upgrade.transport, follow_redirects=True),
    )

    with pytest.raises(UnreadableAnswerError, match="redirects to /api/v6/init"):
        call(connection.client("user", "my-app").init)
    assert len(upgrade.requests) == 1


class Unread(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives when it is read."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"message": "no token"}'

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"message": "no token"}'


@both_forms
@pytest.mark.parametrize("reads_first", [False, True])
def test_a_hook_that_raises_for_a_status_leaves_the_error_of_that_status(
    call: Form, reads_first: bool
) -> None:
    def refuse(response: httpx.Response) -> None:
        if reads_first:
            response.read()
        response.raise_for_status()

    async def arefuse(response: httpx.Response) -> None:
        if reads_first:
            await response.aread()
        response.raise_for_status()

    def answer(_: httpx.Request) -> httpx.Response:
        status, headers = statuses.pop(0)
        return httpx.Response(status, headers=headers, stream=Unread())

    statuses: list[tuple[int, dict[str, str]]] = [(503, {"Retry-After": "0"}), (401, {})]
    transport = httpx.MockTransport(answer)
    connection = UpgradeConnection(
        URL,
        http_client=httpx.Client(transport=transport, event_hooks={"response": [refuse]}),
        async_http_client=httpx.AsyncClient(
            transport=transport, event_hooks={"response": [arefuse]}
        ),
    )

    with pytest.raises(NotAuthorizedError) as caught:
        call(connection.client("user", "my-app").init)

    assert caught.value.attempts == 2
    assert not caught.value.may_have_been_applied
    if reads_first:
        assert caught.value.message == "no token"


@both_forms
def test_what_a_hook_of_the_users_own_raises_is_left_alone(call: Form) -> None:
    def fail(_: object) -> None:
        raise LookupError("mine")

    async def afail(_: object) -> None:
        raise LookupError("mine")

    upgrade = LocalUpgrade()
    connection = UpgradeConnection(
        URL,
        http_client=httpx.Client(transport=upgrade.transport, event_hooks={"request": [fail]}),
        async_http_client=httpx.AsyncClient(
            transport=upgrade.transport, event_hooks={"request": [afail]}
        ),
    )

    with pytest.raises(LookupError, match="mine"):
        call(connection.client("user", "my-app").init)


@both_forms
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.TooManyRedirects("one too many"), UnreadableAnswerError),
        (httpx.ReadTimeout("too slow"), RequestTimeoutError),
        (httpx.UnsupportedProtocol("what is that"), NoConnectionError),
    ],
)
def test_errors_of_httpx_from_own_clients_are_ours(
    call: Form, error: httpx.HTTPError, kind: type[UpgradeApiError]
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    transport = httpx.MockTransport(fail)
    connection = UpgradeConnection(
        URL,
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
        retries=0,
    )

    with pytest.raises(kind, match=str(error)) as caught:
        call(connection.client("user", "my-app").init)
    assert caught.value.__cause__ is error


# ---- Transports of the user's own ----


@both_forms
def test_a_given_transport_is_used_and_not_closed(
    call: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    transport = LocalUpgrade().transport
    monkeypatch.setattr(transport, "close", lambda: closed.append("close"))
    monkeypatch.setattr(transport, "aclose", lambda: closed.append("aclose"))
    with UpgradeConnection(URL, transport=transport) as connection:
        assert call(connection.client("user", "my-app").init).id == "user"
    asyncio.run(connection.aclose())

    assert closed == []


class BreaksOff(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends midway; whoever reads it closes it."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"{"
        raise httpx.ReadError("broken")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        raise httpx.ReadError("broken")

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


@both_forms
@pytest.mark.parametrize("own", ["client", "transport"])
def test_an_answer_that_breaks_off_is_closed(call: Form, own: str) -> None:
    body = BreaksOff()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
    given: dict[str, Any] = {"transport": transport}
    if own == "client":
        given = {
            "http_client": httpx.Client(transport=transport),
            "async_http_client": httpx.AsyncClient(transport=transport),
        }
    with (
        UpgradeConnection(URL, retries=0, **given) as connection,
        pytest.raises(NoConnectionError, match="broken"),
    ):
        call(connection.client("user", "my-app").init)

    assert body.closed == 1


class Recording(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Looks at the content of a request without reading it first."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.contents.append(request.content)
        return httpx.Response(200, json={"id": "user"})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


@both_forms
def test_a_given_transport_finds_the_content_of_a_request(call: Form) -> None:
    transport = Recording()
    with UpgradeConnection(URL, transport=transport) as connection:
        call(connection.client("user", "my-app").init)

    assert transport.contents == [b"{}"]


class OnlyBlocking(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": "user"})


class OnlyAsync(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": "user"})


@pytest.mark.parametrize(
    ("transport", "right", "wrong", "needed"),
    [
        (OnlyBlocking(), blocking, in_event_loop, "httpx.AsyncBaseTransport"),
        (OnlyAsync(), in_event_loop, blocking, "httpx.BaseTransport"),
    ],
)
def test_a_transport_of_one_kind_serves_that_kind_alone(
    transport: Any, right: Form, wrong: Form, needed: str
) -> None:
    client = UpgradeConnection(URL, transport=transport).client("user", "my-app")

    assert right(client.init).id == "user"
    with pytest.raises(TypeError, match=needed):
        wrong(client.init)


@pytest.mark.parametrize("as_transport", [False, True])
def test_a_call_that_is_cancelled_at_any_step_leaves_what_is_the_users_own_usable(
    as_transport: bool,
) -> None:
    async def scenario() -> int:
        limits = httpx.Limits(max_connections=1)
        settings: dict[str, Any] = {"verify": NO_TLS, "limits": limits}
        async with (
            httpx.AsyncHTTPTransport(**settings) as transport,
            httpx.AsyncClient(**settings, timeout=5.0) as client,
        ):
            own: dict[str, Any] = {"async_http_client": client}
            if as_transport:
                own = {"transport": transport}
            user = UpgradeConnection(server.url, retries=0, **own).client("user", "my-app")
            cancelled = 0
            for steps in range(60):
                call = asyncio.ensure_future(user.init())
                for _ in range(steps):
                    await asyncio.sleep(0)
                was_cancelled = call.cancel()
                await asyncio.wait([call])
                assert call.cancelled() is was_cancelled
                cancelled += was_cancelled
                await user.init()
            return cancelled

    with FaultyServer() as server:
        assert asyncio.run(scenario()) > 5
        server.wait_until_all_hung_up()
