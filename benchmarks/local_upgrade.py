"""How many requests a LocalUpgrade in a process of its own answers over its socket."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs

from .contestants.sockets import connected, request, status_of

CONNECTIONS = 8
REQUESTS = 500  # on each connection, in each of the
ROUNDS = 8

SERVER = """
from examples.school import school
with school().serve() as url:
    print(url, flush=True)
    input()
"""


@attrs.frozen
class Served:
    """Answers in a second of the best round, and how many of all were not a 200."""

    per_second: float
    errors: int


def throughput() -> Served:
    """Have each connection of its own ask for the flags of a user of its own, again and again."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url: str = process.stdout.readline().strip()
        users = [f"user-{number}" for number in range(CONNECTIONS)]
        errors, best = 0, math.inf
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                errors += sum(threads.map(partial(_errors_of, url), users))
                best = min(best, time.perf_counter() - begun)
    finally:
        process.communicate("\n")
    return Served(CONNECTIONS * REQUESTS / best, errors)


def _errors_of(url: str, user: str) -> int:
    with connected(url) as connection:
        errors = status_of(connection, request("init", user, b"{}")) != 200
        flags = request("featureflag", user, b'{"context":"my-app"}')
        return errors + sum(status_of(connection, flags) != 200 for _ in range(REQUESTS - 1))
