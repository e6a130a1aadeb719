"""RedisStore: addresses, clients of one's own, what it sends, and a server that fails."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import traceback
import uuid
import weakref
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest
import redis
import redis.asyncio
import redis.exceptions

from tests.stores.support_stores import version_of
from tests.support_children import FORK_WARNING, in_children, needs_fork
from tests.support_clock import MARGIN, taking
from tests.support_redis import REQUIRED, RedisServer, free_port, want_redis
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import RedisStore, redis_clients

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)

PASSWORD = "pa55word"


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4()}:"


@pytest.fixture
def admin(redis_server: RedisServer) -> Generator[Any, None, None]:
    """A client that looks into the server."""
    with closing(redis.Redis(port=redis_server.port)) as client:
        yield client


@pytest.fixture
def store(redis_server: RedisServer, prefix: str) -> Generator[RedisStore, None, None]:
    with closing(RedisStore(redis_server.url, prefix=prefix, timeout=10)) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Generator[tuple[RedisStore, Any], None, None]:
    """A store and a client that looks into its server, which nobody else uses."""
    want_redis()
    with (
        RedisServer(tmp_path) as server,
        closing(redis.Redis(port=server.port)) as looking,
        closing(RedisStore(server.url, timeout=10)) as made,
    ):
        assert connections(looking) == 1
        yield made, looking


def connections(admin: Any) -> int:
    """How many clients are connected, with the one that asks."""
    connected: int = admin.info("clients")["connected_clients"]
    return connected


@pytest.fixture
def hung() -> Generator[str, None, None]:
    """The address of a server that lets clients connect, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://:{PASSWORD}@127.0.0.1:{listening.getsockname()[1]}/0"


def commands(admin: Any) -> dict[str, int]:
    """How often each command was called."""
    return {
        name.removeprefix("cmdstat_"): figures["calls"]
        for name, figures in admin.info("commandstats").items()
    }


def sent_by(admin: Any, call: Callable[[], object]) -> dict[str, int]:
    before = commands(admin)
    call()
    return sent_since(before, admin)


def sent_since(before: dict[str, int], admin: Any) -> dict[str, int]:
    after = commands(admin)
    sent = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in sent.items() if count and name != "info"}


# ---- What it sends ----


def test_a_read_is_one_get_and_a_write_one_script(store: RedisStore, admin: Any) -> None:
    store.replace("key", b"one", None, 60)  # connects, and makes the script known
    version = version_of(store, "key")

    assert sent_by(admin, lambda: store.get("key")) == {"get": 1}
    written = sent_by(admin, lambda: store.replace("key", b"two", version, 60))
    assert written == {"evalsha": 1, "getrange": 1, "set": 1}
    assert sent_by(admin, lambda: store.replace("key", b"three", version, 60)) == {
        "evalsha": 1,
        "getrange": 1,
    }
    assert sent_by(admin, lambda: store.delete("key")) == {"del": 1}


def test_a_script_that_the_server_forgot_is_sent_again(store: RedisStore, admin: Any) -> None:
    admin.script_flush()
    assert store.replace("key", b"one", None, 60)
    admin.script_flush()
    assert asyncio.run(store.replace_async("key", b"two", version_of(store, "key"), 60))
    assert asyncio.run(store.replace_async("key", b"three", version_of(store, "key"), 60))
    assert admin.script_exists(*script_hashes()) == [True]


def script_hashes() -> list[str]:
    from upgrade_client_lib.stores import redis as module

    return [module._SCRIPT_SHA]  # pyright: ignore[reportPrivateUsage]


def test_a_value_expires_in_the_server(store: RedisStore, admin: Any, prefix: str) -> None:
    store.replace("key", b"one", None, 100)
    assert 50_000 < admin.pttl(f"{prefix}key") <= 100_000
    store.replace("key", b"two", version_of(store, "key"), 1_000.5)
    assert 900_000 < admin.pttl(f"{prefix}key") <= 1_000_500


def test_all_keys_begin_with_the_prefix(redis_server: RedisServer, admin: Any) -> None:
    with closing(RedisStore(redis_server.url, timeout=10)) as store:
        store.replace("where-it-lies", b"one", None, 60)
        assert admin.exists("upgrade:where-it-lies")
        store.delete("where-it-lies")
    assert not admin.exists("upgrade:where-it-lies")


def test_what_no_store_wrote_counts_as_none(store: RedisStore, admin: Any, prefix: str) -> None:
    admin.set(f"{prefix}key", b"short")
    assert store.get("key") is None
    assert store.replace("key", b"one", None, 60)
    assert store.get("key") == (b"one", version_of(store, "key"))


def test_a_key_of_another_type_is_an_error(store: RedisStore, admin: Any, prefix: str) -> None:
    admin.rpush(f"{prefix}key", b"item")
    for call in calls(store)[:2]:
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            call()
    admin.delete(f"{prefix}key")


# ---- Addresses ----


def test_a_unix_socket_will_do(redis_server: RedisServer, prefix: str) -> None:
    address = f"unix://{redis_server.socket_path}?db=3"
    with closing(RedisStore(address, prefix=prefix, timeout=10)) as store:
        assert store.replace("key", b"one", None, 60)
        assert asyncio.run(store.get_async("key")) == store.get("key")


def test_the_number_of_a_database_counts(
    redis_server: RedisServer, store: RedisStore, prefix: str
) -> None:
    store.replace("key", b"one", None, 60)
    other = redis_server.url[:-1] + "5"
    with closing(RedisStore(other, prefix=prefix, timeout=10)) as elsewhere:
        assert elsewhere.get("key") is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "the address of Redis must be redis://"),
        ("localhost:6379", "the address of Redis must be redis://"),
        (f"http://:{PASSWORD}@localhost", "the address of Redis must be redis://"),
        (f"redis://:x@localhost:{PASSWORD}/0", "the address of Redis must be redis://"),
        (f"redis://localhost?max_connections={PASSWORD}", "the address of Redis must be redis://"),
        (f"redis://localhost?passwrd={PASSWORD}", "has an option that is not known"),
        (f"redis://localhost?{PASSWORD}=1", "has an option that is not known"),
    ],
)
def test_a_wrong_address_is_refused_and_not_repeated(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        RedisStore(address)
    assert PASSWORD not in "".join(traceback.format_exception_only(raised.type, raised.value))
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("client", [None, 6379, b"redis://localhost", Path("redis.sock")])
def test_what_is_no_address_and_no_client_is_refused(client: Any) -> None:
    with pytest.raises(TypeError, match=r"must be an address, a redis\.Redis or"):
        RedisStore(client)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), "1", None])
def test_a_wrong_timeout_is_refused(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout must be "):
        RedisStore("redis://localhost", timeout=timeout)


def test_a_wrong_prefix_is_refused() -> None:
    prefix: Any = b"upgrade:"
    with pytest.raises(TypeError, match="prefix must be a str, not bytes"):
        RedisStore("redis://localhost", prefix=prefix)


def test_options_of_an_address_do_not_change_what_the_store_relies_on(
    redis_server: RedisServer, prefix: str
) -> None:
    address = f"{redis_server.url}?decode_responses=true&protocol=3&retry_on_timeout=true"
    with closing(RedisStore(address, prefix=prefix, timeout=10)) as store:
        assert store.replace("key", b"\xff", None, 60)
        assert store.get("key") == (b"\xff", version_of(store, "key"))
        assert asyncio.run(store.get_async("key")) == store.get("key")


def test_no_password_is_shown(admin: Any, redis_server: RedisServer) -> None:
    wrong = f"redis://someone:{PASSWORD}@127.0.0.1:{redis_server.port}/0"
    with closing(RedisStore(wrong, timeout=10)) as store:
        assert repr(store) == "RedisStore(prefix='upgrade:')"
        for call in calls(store):
            with pytest.raises(redis.exceptions.RedisError) as raised:
                call()
            shown = traceback.format_exception(
                raised.type, raised.value, raised.value.__traceback__
            )
            assert PASSWORD not in "".join(shown)


def test_a_password_of_the_address_is_used(
    admin: Any, redis_server: RedisServer, prefix: str
) -> None:
    secret = "a/b@c:d%"
    admin.acl_setuser(
        "school", enabled=True, passwords=[f"+{secret}"], keys="*", commands=["+@all"]
    )
    address = f"redis://school:a%2Fb%40c%3Ad%25@127.0.0.1:{redis_server.port}/0"
    with closing(RedisStore(address, prefix=prefix, timeout=10)) as store:
        assert store.replace("key", b"one", None, 60)
        assert asyncio.run(store.get_async("key")) == store.get("key")


# ---- Clients of one's own ----


def test_a_blocking_client_serves_event_loops_too(redis_server: RedisServer, prefix: str) -> None:
    async def scenario() -> None:
        assert await own.replace_async("key", b"one", None, 60)
        found = await own.get_async("key")
        assert found is not None
        assert found[0] == b"one"
        await own.delete_async("key")
        assert await own.get_async("key") is None

    with closing(redis.Redis(port=redis_server.port)) as client:
        own = RedisStore(client, prefix=prefix)
        assert own.replace("key", b"zero", None, 60)
        own.delete("key")
        asyncio.run(scenario())
        own.close()
        assert own.get("key") is None


def test_an_asyncio_client_serves_its_event_loop_alone(
    redis_server: RedisServer, prefix: str
) -> None:
    async def scenario() -> None:
        async with redis.asyncio.Redis(port=redis_server.port) as client:
            own = RedisStore(client, prefix=prefix, timeout=10)
            assert await own.replace_async("key", b"one", None, 60)
            assert (await own.get_async("key") or (b"", 0))[0] == b"one"
            for call in calls(own)[:3]:
                with pytest.raises(TypeError, match="asyncio client, which serves async calls"):
                    call()
            await own.delete_async("key")
            own.close()
            assert in_children([lambda: repr(own)]) == [repr(own)]
            assert await own.get_async("key") is None

    asyncio.run(scenario())


def test_an_asyncio_client_cannot_keep_the_events_of_an_outbox() -> None:
    async def scenario() -> None:
        store = RedisStore(redis.asyncio.Redis())
        with pytest.raises(TypeError, match="outbox must serve threads"):
            UpgradeConnection("http://127.0.0.1:3030", outbox=store)

    asyncio.run(scenario())


def test_a_client_that_decodes_responses_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match="must not decode responses"):
            RedisStore(redis.asyncio.Redis(decode_responses=True))

    with pytest.raises(ValueError, match="must not decode responses"):
        RedisStore(redis.Redis(decode_responses=True))
    asyncio.run(scenario())


@needs_fork
def test_a_blocking_client_serves_a_child_too(redis_server: RedisServer, prefix: str) -> None:
    with closing(redis.Redis(port=redis_server.port)) as client:
        own = RedisStore(client, prefix=prefix)
        assert own.replace("key", b"one", None, 60)
        assert in_children([lambda: own.get("key") is not None]) == ["True"]
        assert own.get("key") is not None


# ---- Event loops ----


def test_the_connections_of_a_loop_are_closed_with_it(alone: tuple[RedisStore, Any]) -> None:
    store, admin = alone

    async def scenario() -> int:
        await asyncio.gather(*(store.get_async("key") for _ in range(5)))
        return connections(admin)

    assert asyncio.run(scenario()) > 1
    assert any(connections(admin) == 1 for _ in range(100_000))  # the server notices later


def test_a_loop_uses_no_more_connections_than_it_may(alone: tuple[RedisStore, Any]) -> None:
    store, admin = alone

    async def scenario() -> int:
        await asyncio.gather(*(store.get_async("key") for _ in range(200)))
        return connections(admin)

    assert asyncio.run(scenario()) <= 1 + redis_clients.CONNECTIONS_PER_LOOP


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_dropped_is_not_kept(store: RedisStore) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.get_async("key"))
    loop.close()
    dropped = weakref.ref(loop)
    del loop
    gc.collect()
    assert dropped() is None
    assert asyncio.run(store.get_async("key")) is None


def test_a_loop_that_lives_long_keeps_its_client(
    store: RedisStore, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> dict[str, int]:
        await store.get_async("key")
        await asyncio.sleep(0.01)
        gc.collect()
        before = commands(admin)
        await store.get_async("key")
        return sent_since(before, admin)

    monkeypatch.setattr(redis_clients, "KEEP_SECONDS", 0.001)
    assert asyncio.run(scenario()) == {"get": 1}


def test_closing_closes_the_connections_of_threads_and_loops(
    alone: tuple[RedisStore, Any],
) -> None:
    store, admin = alone

    async def scenario() -> None:
        await store.get_async("key")
        store.get("key")
        assert connections(admin) == 3
        store.close()
        while connections(admin) > 1:
            await asyncio.sleep(0)
        assert await store.get_async("key") is None

    asyncio.run(scenario())
    assert store.get("key") is None


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_closed_too_early_does_no_harm(store: RedisStore) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.get_async("key"))
    loop.close()
    store.close()
    assert store.get("key") is None
    del loop
    gc.collect()


# ---- Failures ----


def test_a_server_that_cannot_be_reached_is_an_error() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0")
    for call in calls(store):
        with taking(0, MARGIN), pytest.raises(redis.exceptions.ConnectionError):
            call()


def test_a_server_that_says_nothing_is_an_error_in_time(hung: str) -> None:
    store = RedisStore(hung)
    for call in calls(store):
        with taking(0.05, 0.05 + MARGIN), pytest.raises(redis.exceptions.TimeoutError):
            call()


def test_an_asyncio_client_without_limits_is_an_error_in_time(hung: str) -> None:
    async def scenario() -> None:
        client = redis.asyncio.Redis(port=int(hung.split(":")[-1][:-2]), socket_timeout=None)
        own = RedisStore(client)
        with (
            taking(0.05, 0.05 + MARGIN),
            pytest.raises(
                redis.exceptions.TimeoutError, match=r"Redis did not answer within 0\.05 s"
            ),
        ):
            await own.get_async("key")

    asyncio.run(scenario())


def test_many_calls_to_a_server_that_says_nothing_take_no_longer(hung: str) -> None:
    store = RedisStore(hung)

    async def scenario() -> set[type]:
        reads = (store.get_async("key") for _ in range(100))
        with taking(0.05, 0.05 + MARGIN):
            failures = await asyncio.gather(*reads, return_exceptions=True)
        with taking(0, MARGIN):  # those whose turn came too late are not sent
            late = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*late, return_exceptions=True)
        return {type(failure) for failure in failures}

    assert asyncio.run(scenario()) == {redis.exceptions.TimeoutError}


def test_a_loop_that_ends_amid_a_call_does_no_harm(hung: str) -> None:
    async def scenario() -> None:
        reading.append(asyncio.ensure_future(store.get_async("key")))
        await asyncio.sleep(0.01)

    store, reading = RedisStore(hung, timeout=10), list[Any]()
    asyncio.run(scenario())
    assert reading[0].cancelled()


def calls(store: RedisStore) -> list[Callable[[], object]]:
    return [
        lambda: store.get("key"),
        lambda: store.replace("key", b"", None, 60),
        lambda: store.delete("key"),
        lambda: asyncio.run(store.get_async("key")),
        lambda: asyncio.run(store.replace_async("key", b"", None, 60)),
        lambda: asyncio.run(store.delete_async("key")),
    ]


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        assert await store.replace_async("async", b"one", None, 60)
        assert store.replace("blocking", b"one", None, 60)
        server.stop()
        with pytest.raises(redis.exceptions.ConnectionError):
            await store.get_async("async")
        with pytest.raises(redis.exceptions.ConnectionError):
            store.get("blocking")
        server.start()
        assert await store.replace_async("async", b"two", None, 60)
        assert store.replace("blocking", b"two", None, 60)

    want_redis()
    with RedisServer(tmp_path) as server, closing(RedisStore(server.url, timeout=10)) as store:
        asyncio.run(scenario())


def test_a_full_server_is_an_error(tmp_path: Path) -> None:
    want_redis()
    with RedisServer(tmp_path) as server, closing(RedisStore(server.url, timeout=10)) as store:
        assert store.replace("key", b"one", None, 60)
        with closing(redis.Redis(port=server.port)) as own:
            own.execute_command("CONFIG", "SET", "maxmemory", "1mb")  # type: ignore[no-untyped-call]
        with pytest.raises(redis.exceptions.ResponseError, match="maxmemory"):
            store.replace("other", b"x" * 1_000_000, None, 60)


# ---- Where there is no redis ----


def test_where_redis_is_not_installed_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["redis"] = None
from upgrade_client_lib.stores import RedisStore
try:
    RedisStore("redis://localhost")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == 'RedisStore needs redis: pip install "upgrade-client-lib[redis]"\n'


def test_without_a_server_tests_are_skipped_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="redis-server is not installed"):
        want_redis()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRED} is set"):
        want_redis()


def test_threads_share_it(store: RedisStore) -> None:
    together = threading.Barrier(30)

    def read() -> object:
        together.wait(30)
        return store.get("key")

    with ThreadPoolExecutor(30) as threads:
        assert [done.result() for done in [threads.submit(read) for _ in range(30)]] == [None] * 30


@needs_fork
def test_a_child_opens_connections_of_its_own(alone: tuple[RedisStore, Any]) -> None:
    store, admin = alone

    def work() -> bool:
        store.get("key")
        asyncio.run(store.get_async("key"))
        return True

    def opened() -> int:
        received: int = admin.info("stats")["total_connections_received"]
        return received

    store.get("key")
    before = opened()
    assert in_children([work]) == ["True"]
    assert opened() == before + 2
    store.get("key")
    assert opened() == before + 2
