"""Programs that tests start, with whatever processes these start themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Callable

import pytest

LONGEST = 60.0
"""After how many seconds a program is ended that hangs."""

TELLING = 10.0
"""How much longer it may then take to say where it hangs."""


def run_python(
    *arguments: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    longest: float = LONGEST,
) -> subprocess.CompletedProcess[str]:
    """Run a Python program until it ends; no process that it started outlives it.

    If it hangs, each of its processes says where. ``subprocess.run`` would wait for ever then for
    those that it forked, since they can still write where it reads.
    """
    command = [sys.executable, "-X", "faulthandler", *arguments]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            signal_all(process, signal.SIGABRT)
            pytest.fail(f"it hung: {process.communicate(timeout=TELLING)}")
        finally:
            signal_all(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def signal_all(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a process that leads a session, and to all that it started."""
    kill: Callable[[int, int], None] = getattr(os, "killpg", os.kill)  # none on Windows
    with suppress(OSError):  # nobody is left
        kill(process.pid, number)
