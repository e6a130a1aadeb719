"""What all tests share: they reach loopback and nothing beyond."""

from __future__ import annotations

import asyncio
import gc
import importlib
import ipaddress
import random
import signal
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any, Callable, cast

import pytest

pytest.register_assert_rewrite(
    *(f"tests.{path.stem}" for path in Path(__file__).parent.glob("support_*.py"))
)

# Below the registration, without which their assertions say little when they fail.
from tests.support_conformance import local_upgrade_keeps_to_the_spec  # noqa: E402 - see above
from tests.support_faulty_server import FaultyServer  # noqa: E402 - see above
from tests.support_redis import RedisServer, want_redis  # noqa: E402 - see above
from tests.support_server import SteeredServer, initialised, local_upgrade  # noqa: E402 - see above
from upgrade_client_lib import UpgradeClient, UpgradeConnection  # noqa: E402 - see above

__all__ = ["local_upgrade_keeps_to_the_spec"]  # an autouse fixture

AGAIN = 30.0
"""How soon a test is interrupted again that still hangs after its time is over, in seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="record tests/cassettes anew from the server that UPGRADE_HOST_URL names",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector the tests themselves: a million objects that all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        importlib.import_module("hypothesis")  # which wants to find what refers to trio's Random
        if hasattr(gc, "freeze"):  # PyPy has no need of it
            gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """Interrupt a test that hangs again and again: what tidies up behind it may hang, too."""
    is_set = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN)
    return is_set


@pytest.fixture(scope="session", autouse=True)
def only_loopback(request: pytest.FixtureRequest) -> Generator[None, None, None]:
    """Fail a test that looks up a name or connects to an address outside this machine."""
    look_up = socket.getaddrinfo

    def look_up_local(host: object, *args: Any, **kwargs: Any) -> Any:
        _want_local(host)
        return look_up(cast("str | None", host), *args, **kwargs)

    def connect_local(connect: Callable[[socket.socket, Any], Any]) -> Any:
        def connected(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                _want_local(address[0])
            return connect(self, address)

        return connected

    with pytest.MonkeyPatch.context() as patch:
        if not request.config.getoption("--record"):
            patch.setattr(socket, "getaddrinfo", look_up_local)
            patch.setattr(socket.socket, "connect", connect_local(socket.socket.connect))
            patch.setattr(socket.socket, "connect_ex", connect_local(socket.socket.connect_ex))
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts() -> Generator[None, None, None]:
    """What runs in the background ignores SIGINT, and so would the processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_delay_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each delay be the shortest that may be drawn, which is none."""
    monkeypatch.setattr(random, "uniform", min)


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What async calls are sent by, unless a test says otherwise; see ``support_forms``."""
    name: str = getattr(request, "param", "httpx")
    defaults: Any = UpgradeConnection.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "async_engine", name)
    return name


@pytest.fixture
def server() -> SteeredServer:
    """A server with an experiment of each kind, which the test steers."""
    return SteeredServer(local_upgrade().transport)


@pytest.fixture
def client(server: SteeredServer) -> UpgradeClient:
    """The client of a user whom that server knows."""
    return initialised(server)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer, None, None]:
    """A Redis server that runs until the tests end."""
    want_redis()
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def first_calls_made() -> None:
    """What a process's first call imports takes longer than some limits in tests."""
    with FaultyServer() as server, UpgradeConnection(server.url) as connection:
        client = connection.client("user", "my-app")
        client.init_sync()
        asyncio.run(client.init())
        with UpgradeConnection(server.url, async_engine="aiohttp") as other:
            asyncio.run(other.client("user", "my-app").init())


def _want_local(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        is_local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        pytest.fail(f"tests reach loopback alone, not {name!r}")
