"""Cancellations and interrupts of many calls at random moments, and what they leave behind.

``nox -s storm`` runs long ones, and fails if anything is left.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import random
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import attrs
import trustme

from tests.support_faulty_server import FaultyServer
from tests.support_proxy import Proxy, SocksProxy
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._http.async_slots import AsyncSlots
from upgrade_client_lib._http.slots import Lease, SyncSlots

CONNECTIONS = 4
AT_ONCE = 20
LATER = 40
WAYS = ("plain", "TLS", "CONNECT", "SOCKS", "aiohttp")
"""How calls reach the server; a CONNECT proxy relays TLS."""


def stretched(seconds: float, way: str) -> float:
    """Return for how long calls may take: encrypting and asking a proxy takes longer."""
    return seconds if way == "plain" else 5 * seconds


@attrs.frozen
class Aftermath:
    """What a storm met and what it left.

    ``stopped`` calls were cancelled or interrupted, the others ``finished``. ``failed`` is how many
    of ``LATER`` calls after the storm did not succeed, ``sockets`` how many connections the server
    then has beyond those that the client may keep, ``tasks`` how many still run, ``leases`` how
    many places in the pools are taken, and ``waiters`` how many wait for one.
    """

    stopped: int
    finished: int
    failed: int
    sockets: int
    leases: int
    waiters: int
    tasks: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left and all later calls succeeded."""
        return not (self.failed or self.sockets or self.leases or self.waiters or self.tasks)


@contextmanager
def connected(way: str) -> Generator[tuple[FaultyServer, UpgradeConnection], None, None]:
    """Lend a server and a connection that reaches it in one of ``WAYS``."""
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(serving)  # pyright: ignore[reportUnknownMemberType]
    authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    with ExitStack() as stack:
        server = stack.enter_context(
            FaultyServer(tls=serving if way in {"TLS", "CONNECT"} else None)
        )
        proxies = {"CONNECT": Proxy, "SOCKS": SocksProxy}
        proxy = stack.enter_context(proxies[way](server.port)).url if way in proxies else None
        yield (
            server,
            UpgradeConnection(
                server.url,
                max_connections=CONNECTIONS,
                ssl_context=trusting,
                proxy=proxy,
                trust_env=False,
                async_engine="aiohttp" if way == "aiohttp" else "httpx",
            ),
        )


def leases_and_waiters() -> tuple[int, int]:
    """Return how many leases there are in this process, and how many calls wait for one."""
    gc.collect()
    objects = gc.get_objects()
    leases = sum(type(one) is Lease for one in objects)
    slots = [one for one in objects if type(one) in {AsyncSlots, SyncSlots}]
    return leases, sum(len(one._queue) for one in slots)


def storm_of_cancellations(calls: int, seed: int, way: str = "plain") -> Aftermath:
    """Cancel calls of an event loop, up to 20 ms after each was begun; 100 ms if not plain."""
    chance = random.Random(seed)
    delays = [chance.uniform(0.0, stretched(0.02, way)) for _ in range(calls)]
    with connected(way) as (server, connection):
        return asyncio.run(_cancel_many(server, connection, delays))


async def _cancel_many(
    server: FaultyServer, connection: UpgradeConnection, delays: list[float]
) -> Aftermath:
    others_leases, others_waiters = leases_and_waiters()
    async with connection:
        client = connection.client("user", "my-app")
        await client.init()
        cancelled = 0

        async def call(delay: float) -> None:
            nonlocal cancelled
            task = asyncio.ensure_future(client.init())
            await asyncio.wait([task], timeout=delay)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1

        for begun in range(0, len(delays), AT_ONCE):
            await asyncio.gather(*(call(delay) for delay in delays[begun : begun + AT_ONCE]))
        later = await asyncio.gather(*(client.init() for _ in range(LATER)), return_exceptions=True)
        others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        tasks = len((await asyncio.wait(others, timeout=5))[1]) if others else 0
        leases, waiters = leases_and_waiters()
        sockets = await asyncio.to_thread(server.open_connections, CONNECTIONS)
    return Aftermath(
        stopped=cancelled,
        finished=len(delays) - cancelled,
        failed=sum(isinstance(result, BaseException) for result in later),
        sockets=max(sockets - CONNECTIONS, 0),
        leases=leases - others_leases,
        waiters=waiters - others_waiters,
        tasks=tasks,
    )


def storm_of_interrupts(calls: int, seed: int, way: str = "plain") -> Aftermath:
    """Raise an exception in blocking calls from a signal handler, up to 2 ms after each began.

    Up to 10 ms if not plain. In a process of its own, which coverage does not watch: its locks do
    not survive this.
    """
    environment = {name: os.environ[name] for name in os.environ if "COV" not in name}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support_interrupts", str(calls), str(seed), way],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return Aftermath(**json.loads(ran.stdout))


STORMS = (storm_of_cancellations, storm_of_interrupts)


def main(calls: int, encrypted_or_proxied: int) -> None:
    """Run each storm in each of ``WAYS`` and print its aftermath; exit unless all are clean."""
    versions = [f"{name} {version(name)}" for name in ("anyio", "httpx", "httpcore")]
    print(f"Python {platform.python_version()}, {', '.join(versions)}", flush=True)
    clean = True
    for way in WAYS:
        for storm in STORMS:
            seed = random.randrange(2**32)
            aftermath = storm(calls if way == "plain" else encrypted_or_proxied, seed, way)
            print(f"{way}: {storm.__name__}, seed {seed}: {aftermath}", flush=True)
            clean &= aftermath.is_clean
    if not clean:
        sys.exit("Something is left, or later calls failed")
