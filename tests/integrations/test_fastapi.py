"""UpGrade in applications of FastAPI and Starlette, by their own test clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Callable

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from upgrade_client_lib import UpgradeClient, UpgradeConnection
from upgrade_client_lib.integrations.fastapi import Upgrade
from upgrade_client_lib.testing import LocalUpgrade

CLASS_1 = {"class": ["class-1"]}


def student(request: HTTPConnection) -> str | None:
    return request.headers.get("student")


async def student_async(request: HTTPConnection) -> str | None:
    return request.headers.get("student")


def classes(request: HTTPConnection) -> Mapping[str, Sequence[str]]:
    return CLASS_1


def working_class(request: HTTPConnection) -> Mapping[str, str]:
    return {"class": "class-1"}


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["treatment"])
    local.experiment("class", "board", conditions=["shown"], unit="group", group_type="class")
    return local


@pytest.fixture
def connect(local: LocalUpgrade) -> Callable[[], UpgradeConnection]:
    return lambda: UpgradeConnection("http://upgrade.local", transport=local.transport, retries=0)


def fastapi_app(upgrade: Upgrade) -> FastAPI:
    app = FastAPI(lifespan=upgrade.lifespan)

    @app.get("/async")
    async def page(client: UpgradeClient = Depends(upgrade.client)) -> dict[str, str]:  # noqa: B008
        banner = await client.decide("home", "banner", default="control")
        board = await client.decide("class", "board", default="hidden")
        return {"banner": banner.condition, "board": board.condition}

    @app.get("/sync")
    def page_sync(client: UpgradeClient = Depends(upgrade.client)) -> dict[str, str]:  # noqa: B008
        banner = client.decide_sync("home", "banner", default="control")
        board = client.decide_sync("class", "board", default="hidden")
        return {"banner": banner.condition, "board": board.condition}

    @app.get("/maybe")
    def maybe(
        client: Any = Depends(upgrade.client_or_none),  # noqa: B008
    ) -> dict[str, bool]:
        return {"signed in": client is not None}

    @app.get("/same")
    async def same(
        request: Request,
        client: UpgradeClient = Depends(upgrade.client),  # noqa: B008
        other: Any = Depends(upgrade.client_or_none),  # noqa: B008
    ) -> dict[str, bool]:
        return {"same": client is other is await upgrade.client(request)}

    @app.websocket("/socket")
    async def socket(
        socket: WebSocket,
        client: UpgradeClient = Depends(upgrade.client),  # noqa: B008
    ) -> None:
        await socket.accept()
        await socket.send_text((await client.decide("home", "banner")).condition)
        await socket.close()

    app.get("/health")(upgrade.health)
    return app


@contextmanager
def browsing(app: FastAPI | Starlette) -> Generator[TestClient, None, None]:
    """Run an application, with a browser of it."""
    browser = TestClient(app)
    with browser:
        yield browser


SIGNED_IN = {"student": "student-1"}


@pytest.mark.parametrize("user", [student, student_async])
@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_page_decides_for_the_user_who_asks_for_it(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade, user: Any, path: str
) -> None:
    upgrade = Upgrade(
        "my-app", user=user, group=classes, working_group=working_class, connect=connect
    )
    with browsing(fastapi_app(upgrade)) as browser:
        page = browser.get(path, headers=SIGNED_IN).json()
    assert page == {"banner": "treatment", "board": "shown"}
    assert [request.endpoint for request in local.requests] == ["assign", "init", "assign"]


def test_without_groups_nobody_is_made_known(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    with browsing(fastapi_app(Upgrade("my-app", user=student, connect=connect))) as browser:
        assert browser.get("/async", headers=SIGNED_IN).json()["banner"] == "control"
    assert {request.endpoint for request in local.requests} == {"assign"}


def test_where_nobody_has_signed_in_nothing_is_sent(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    with browsing(fastapi_app(Upgrade("my-app", user=student, connect=connect))) as browser:
        assert browser.get("/async").status_code == 401
        assert browser.get("/maybe").json() == {"signed in": False}
        assert browser.get("/maybe", headers=SIGNED_IN).json() == {"signed in": True}
    assert local.requests == ()


def test_a_request_has_one_client(connect: Callable[[], UpgradeConnection]) -> None:
    with browsing(fastapi_app(Upgrade("my-app", user=student, connect=connect))) as browser:
        assert browser.get("/same", headers=SIGNED_IN).json() == {"same": True}


def test_a_request_has_one_client_also_where_several_ask_at_once(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    async def classes_from_a_database(request: HTTPConnection) -> Mapping[str, Sequence[str]]:
        await asyncio.sleep(0)  # the others go on meanwhile
        return CLASS_1

    upgrade = Upgrade("my-app", user=student, group=classes_from_a_database, connect=connect)

    async def resolve(request: Request) -> str:
        client = await upgrade.client(request)
        return (await client.decide("home", "banner", default="control")).condition

    async def page(request: Request) -> JSONResponse:
        return JSONResponse(await asyncio.gather(*(resolve(request) for _ in range(3))))

    app = Starlette(routes=[Route("/", page)], lifespan=upgrade.lifespan)
    with browsing(app) as browser:
        assert browser.get("/", headers=SIGNED_IN).json() == ["treatment"] * 3
    assert [request.endpoint for request in local.requests] == ["assign", "init", "assign"]


def test_after_a_sign_in_a_request_has_the_client_of_its_new_user(
    connect: Callable[[], UpgradeConnection],
) -> None:
    upgrade = Upgrade(
        "my-app", user=lambda request: request.scope["state"].get("student"), connect=connect
    )

    async def sign_in(request: Request) -> JSONResponse:
        seen: list[str | None] = []
        for user in (None, "student-1", "student-2", None):
            request.state.student = user
            for client in (
                await upgrade.client_or_none(request),
                await upgrade.client_or_none(request),
            ):
                seen.append(None if client is None else client.user_id)
        return JSONResponse(seen)

    app = Starlette(routes=[Route("/", sign_in)], lifespan=upgrade.lifespan)
    with browsing(app) as browser:
        users = browser.get("/").json()
    assert users == [None, None, "student-1", "student-1", "student-2", "student-2", None, None]


def test_a_websocket_has_a_client(connect: Callable[[], UpgradeConnection]) -> None:
    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect)
    with browsing(fastapi_app(upgrade)) as browser:
        session: Any = browser.websocket_connect("/socket", headers=SIGNED_IN)
        with session as socket:
            assert socket.receive_text() == "treatment"


def test_the_connection_is_open_while_the_application_runs(
    connect: Callable[[], UpgradeConnection],
) -> None:
    opened: list[UpgradeConnection] = []

    def connect_and_tell() -> UpgradeConnection:
        opened.append(connect())
        return opened[-1]

    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect_and_tell)
    app = fastapi_app(upgrade)
    assert opened == []
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=upgrade.lifespan\)"):
        _ = upgrade.connection
    for _ in range(2):
        with browsing(app) as browser:
            assert upgrade.connection is opened[-1]
            assert browser.get("/async", headers=SIGNED_IN).json()["banner"] == "treatment"
        with pytest.raises(RuntimeError, match="closed"):
            opened[-1].client("student-1", "my-app").init_sync()
    assert len(opened) == 2


def test_it_goes_into_a_lifespan_of_ones_own(connect: Callable[[], UpgradeConnection]) -> None:
    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with upgrade.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def page(client: UpgradeClient = Depends(upgrade.client)) -> str:  # noqa: B008
        return (await client.decide("home", "banner")).condition

    with browsing(app) as browser:
        assert browser.get("/", headers=SIGNED_IN).json() == "treatment"


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_a_lifespan_that_ends_leaves_another_its_connection(
    connect: Callable[[], UpgradeConnection], first_to_end: int
) -> None:
    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect)
    browsers = [TestClient(fastapi_app(upgrade)) for _ in range(2)]
    running = [ExitStack() for _ in browsers]
    for browser, stack in zip(browsers, running):
        stack.enter_context(browser)
    running.pop(first_to_end).close()
    browsers.pop(first_to_end)
    assert browsers[0].get("/sync", headers=SIGNED_IN).json()["banner"] == "treatment"
    running[0].close()
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=upgrade.lifespan\)"):
        _ = upgrade.connection


def test_starlette_alone_is_enough(connect: Callable[[], UpgradeConnection]) -> None:
    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect)

    async def page(request: Request) -> Response:
        client = await upgrade.client(request)
        return JSONResponse((await client.decide("home", "banner")).condition)

    app = Starlette(
        routes=[Route("/", page), Route("/health", upgrade.health)], lifespan=upgrade.lifespan
    )
    with browsing(app) as browser:
        assert browser.get("/", headers=SIGNED_IN).json() == "treatment"
        assert browser.get("/health").json() == {"upgrade": "ok"}
        assert browser.get("/").status_code == 401


def test_the_health_check_tells_of_an_outage_and_sends_nothing(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    upgrade = Upgrade("my-app", user=student, group=classes, connect=connect)
    with browsing(fastapi_app(upgrade)) as browser:
        assert browser.get("/health").json() == {"upgrade": "ok"}
        assert local.requests == ()
        local.down()
        for _ in range(5):
            assert browser.get("/async", headers=SIGNED_IN).json()["banner"] == "control"
        health = browser.get("/health")
    assert (health.status_code, health.json()) == (200, {"upgrade": "unreachable"})


def test_dependencies_can_be_overridden(connect: Callable[[], UpgradeConnection]) -> None:
    upgrade = Upgrade("my-app", user=student, connect=connect)
    app = fastapi_app(upgrade)

    def somebody() -> UpgradeClient:
        return upgrade.connection.client("student-2", "my-app", group=CLASS_1)

    app.dependency_overrides[upgrade.client] = somebody
    with browsing(app) as browser:
        assert browser.get("/async").json()["banner"] == "treatment"


def test_the_connection_is_made_from_the_environment_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade.example.org")
    upgrade = Upgrade("my-app", user=student)
    with browsing(FastAPI(lifespan=upgrade.lifespan)):
        assert upgrade.connection.host_url == "http://upgrade.example.org"


def test_a_user_who_is_no_text_is_refused(connect: Callable[[], UpgradeConnection]) -> None:
    def record(request: HTTPConnection) -> Any:
        return {"id": 7}

    upgrade = Upgrade("my-app", user=record, connect=connect)
    with (
        browsing(fastapi_app(upgrade)) as browser,
        pytest.raises(TypeError, match=r"^user_id must be a string, not dict"),
    ):
        browser.get("/maybe")


def test_a_context_is_wanted() -> None:
    with pytest.raises(ValueError, match="context must not be empty"):
        Upgrade("", user=student)
