"""What importing costs in an interpreter that has just started.

That is the elapsed time less what the interpreter waited for a processor, where the system tells;
elsewhere, it is the processor time.
"""

from __future__ import annotations

import subprocess
import sys

from .timed import Timed

PROGRAM = """
import os, time

def clock():
    try:
        waiting = os.open("/proc/self/schedstat", os.O_RDONLY)
    except OSError:
        return time.process_time()
    waited = int(os.read(waiting, 100).split()[1])
    os.close(waiting)
    return time.perf_counter() - waited / 1e9

begun = clock()
{statement}
print(clock() - begun)
"""


def _imported(statement: str) -> Timed:
    # Isolated: what is installed is found, and is compiled once, whatever the environment says.
    command = [sys.executable, "-I", "-c", PROGRAM.format(statement=statement)]

    def timed(loops: int) -> float:
        return sum(
            float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(loops)
        )

    return timed


def package(_: str) -> Timed:
    return _imported("import upgrade_client_lib")


def first_client(address: str) -> Timed:
    return _imported(
        "import upgrade_client_lib\n"
        f"client = upgrade_client_lib.UpgradeClient('user-1', {address!r}, 'my-app')"
    )


def typing(_: str) -> Timed:
    return _imported("import typing")


def httpx(_: str) -> Timed:
    return _imported("import httpx")
