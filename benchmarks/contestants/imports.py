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

OURS = """
import upgrade_client_lib
client = upgrade_client_lib.UpgradeClient('learner-big', ADDRESS, 'big-app')
client.get_all_feature_flags_sync()
"""
HTTPX = """
import httpx
client = httpx.Client()
path, body = '/api/v6/featureflag', {'context': 'big-app'}
client.post(ADDRESS + path, headers={'User-Id': 'learner-big'}, json=body).json()
"""
"""What a program does until it has a response for the first time."""


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


def first_call(address: str) -> Timed:
    return _imported(OURS.replace("ADDRESS", repr(address)))


def typing(_: str) -> Timed:
    return _imported("import typing")


def httpx_first_call(address: str) -> Timed:
    return _imported(HTTPX.replace("ADDRESS", repr(address)))
