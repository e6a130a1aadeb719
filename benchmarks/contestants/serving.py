"""What one request costs a LocalUpgrade, and the standard library's server, over a socket."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from . import timed as timing
from .sockets import connected, request, status_of
from .timed import Timed

PROGRAM = Path(__file__).parent.parent / "served.py"


def _served_by(server: str) -> Timed:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    connection = connected(stdout.readline().strip())
    flags = request("featureflag", "user-1", b'{"context":"my-app"}')

    def send(wanted: bytes) -> None:
        status = status_of(connection, wanted)
        if status != 200:
            raise ValueError(f"{server} responded with {status}")

    def clock() -> float:
        """Return the processor time of the server, or the time that has elapsed."""
        if timing.clock is not time.process_time:
            return timing.clock()
        print(file=stdin, flush=True)
        return float(stdout.readline())

    def timed(loops: int) -> float:
        begun = clock()
        for _ in range(loops):
            send(flags)
        return clock() - begun

    send(request("init", "user-1", b"{}"))
    return timed


def local_upgrade(_: str) -> Timed:
    return _served_by("local_upgrade")


def http_server(_: str) -> Timed:
    return _served_by("http_server")
