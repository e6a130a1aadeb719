"""What is kept in memory: users' records and events, in a ``MemoryStore`` and by hand."""

from __future__ import annotations

import collections
import gc
import itertools
import json
import threading
import uuid
from typing import Any

import httpx

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore

from .fixed_response import HOST, FixedResponse, Outage
from .plain import HEADERS, MARK
from .timed import Timed, blocking

USERS = [f"learner-{number}" for number in range(1_000)]
EXPERIMENTS = 10
TARGET = "t7"


def first_read(_: str) -> Timed:
    """A new client's first read of a user whom another client has fetched."""
    server, users = FixedResponse(EXPERIMENTS), itertools.cycle(USERS)
    store = MemoryStore(max_users=len(USERS))
    connection = UpgradeConnection(HOST, transport=server, store=store)

    def read() -> None:
        client = connection.client(next(users), "my-app")
        assert client.get_decision_point_assignment_sync("home", TARGET) is not None

    for _ in USERS:
        read()
    server.requests = 0
    read()
    assert not server.requests
    return blocking(read)


def dictionary(_: str) -> Timed:
    """The response of each user in a dictionary, read and searched."""
    content, users = FixedResponse(EXPERIMENTS).content, itertools.cycle(USERS)
    known = dict.fromkeys(USERS, content)

    def read() -> None:
        items = json.loads(known[next(users)])
        assert {(item["site"], item["target"]): item for item in items}["home", TARGET]

    return blocking(read)


def handed_over(_: str) -> Timed:
    """A mark that is handed over while nothing can be sent; the threads that send wait.

    The garbage collector is off: it would walk all that was handed over, now and then, during the
    rounds of either side.
    """
    gc.disable()
    connection = UpgradeConnection(
        HOST,
        transport=Outage(EXPERIMENTS),
        outbox=MemoryStore(),
        max_events=10**9,
        flush_at_exit=0,
    )
    assignments: list[Any] = [
        connection.client(user, "my-app").get_decision_point_assignment_sync("home", TARGET)
        for user in USERS
    ]
    one_by_one = itertools.cycle(assignments)

    def hand_over() -> None:
        next(one_by_one).enqueue_mark_sync("condition applied")

    return blocking(hand_over)


def request_kept(_: str) -> Timed:
    """The same mark as a request of plain httpx, of which the body is kept to be sent later."""
    client, lock = httpx.Client(), threading.Lock()
    bodies = collections.deque[tuple[str, bytes]]()

    def keep() -> None:
        request = client.build_request("POST", HOST + MARK[0], headers=HEADERS, json=MARK[1])
        with lock:
            bodies.append((str(uuid.uuid4()), request.content))

    return blocking(keep)
