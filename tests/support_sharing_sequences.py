"""Random sequences of calls by several workers, against a server behind an address.

``nox -s sharing -- ADDRESS`` runs 500 and prints what was seen. The server must hold the
experiments and flags of tests/recordings/exports, as for ``nox -s record``. Each sequence has users
of its own, who stay on the server.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stores.support_stores import Kind, memory, redis, sqlite
from tests.support_redis import RedisServer
from tests.support_sharing import Workers
from tests.support_sharing_machine import InStep, Point
from upgrade_client_lib._user import sharing

POINTS: list[Point] = [
    ("home", "banner"),
    ("within", "ordered-round-robin"),
    ("within2", "ordered-round-robin"),
    ("within", "random"),
    ("within2", "random"),
    ("within", "random-round-robin"),
    ("within2", "random-round-robin"),
    ("factw", "page"),
    ("fact", "page"),
    ("group", "classroom"),
    ("shared", "dp"),
    ("payloads", "p1"),
    ("payloads", "p2"),
    ("siteonly", None),
    ("excl", "x"),
    ("done", "x"),
    ("nowhere", "nothing"),
]
"""Not those of adaptive experiments, at which each request may draw another condition."""

CODES = ["control", "treatment", "wA", "wB", "wC", "color=red; shape=circle", "s2a"]


FLAGS_APART = 0.3
"""For how many seconds a request for flags waits after another one.

A 6.5 server notes after it answered which flags a user was shown the first time. Where two such
notes of a user meet, the server ends.
"""


class Forwarding(httpx.BaseTransport):
    """Sends every request to the server at an address, whichever host it names."""

    def __init__(self, address: str) -> None:
        self._address = httpx.URL(address)
        # Idle connections are dropped well before the server does.
        self._transport = httpx.HTTPTransport(limits=httpx.Limits(keepalive_expiry=1.0))
        self._next_flags = 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(
            scheme=self._address.scheme, host=self._address.host, port=self._address.port
        )
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        forwarded = httpx.Request(
            request.method,
            url,
            headers=headers,
            content=request.read(),
            extensions=request.extensions,
        )
        asks_for_flags = url.path.endswith("/featureflag")
        if asks_for_flags:
            time.sleep(max(self._next_flags - time.monotonic(), 0.0))
        response = self._transport.handle_request(forwarded)
        response.read()
        if asks_for_flags:
            self._next_flags = time.monotonic() + FLAGS_APART
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in ("content-encoding", "content-length", "transfer-encoding")
        }
        return httpx.Response(response.status_code, headers=kept, content=response.content)

    def close(self) -> None:
        self._transport.close()


@attrs.define
class Seen:
    """How many sequences ran, reads were compared in them, and requests sent by the workers."""

    sequences: int = 0
    compared: int = 0
    sent: int = 0


def run_sequences(
    transport: httpx.BaseTransport, kind: Kind, rotation: str, sequences: int, steps: int
) -> Seen:
    """Run sequences over a store; an ``AssertionError`` shows the first that differs."""
    seen = Seen()
    run = secrets.token_hex(4)
    numbers = count()

    class OnServer(InStep):
        points = POINTS
        codes = CODES
        lost_mark = ("within", "ordered-round-robin", "wA")

        def start_workers(self) -> Workers:
            number = next(numbers)
            self.rotation = rotation
            self.user_id, self.alias = f"{run}-user-{number}", f"{run}-alias-{number}"
            return Workers(kind, transport=transport)

        def _truth(self) -> dict[tuple[str, str], Any]:
            seen.compared += 1
            return super()._truth()

        def teardown(self) -> None:
            super().teardown()
            seen.sequences += 1
            seen.sent += len(self.workers.server.sent)

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            phases=[Phase.generate],
            database=None,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    return seen


@contextmanager
def kind_of(name: str) -> Generator[Kind, None, None]:
    """A store of this kind, which keeps its data until the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if name == "memory":
            yield memory()
        elif name == "sqlite":
            yield sqlite(folder)
        else:
            yield redis(stack.enter_context(RedisServer(folder)).url, "sequences:")


def main(*arguments: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--store", action="append", choices=["memory", "sqlite", "redis"])
    parser.add_argument("--rotation", default="auto", help="as of a client")
    parser.add_argument("--sequences", type=int, default=500, help="of all stores together")
    parser.add_argument("--steps", type=int, default=30)
    options: Any = parser.parse_args(arguments or None)
    stores = options.store or ["memory", "sqlite", "redis"]
    sharing.RECHECK_SECONDS = 0.0  # so that no client may lag behind
    logging.getLogger("upgrade_client_lib").setLevel(logging.ERROR)  # marks are lost on purpose
    transport = Forwarding(options.address)
    for store in stores:
        with kind_of(store) as kind:
            share = options.sequences // len(stores)
            seen = run_sequences(transport, kind, options.rotation, share, options.steps)
        print(
            f"{store}: {seen.sequences} sequences, {seen.compared} reads compared,"
            f" {seen.sent} requests, no difference",
            flush=True,
        )
    transport.close()
