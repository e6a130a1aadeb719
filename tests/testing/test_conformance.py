"""LocalUpgrade's answers keep to the spec, also to requests that nobody would think of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_answers_to_made_up_requests_keep_to_the_spec() -> None:
    pytest.importorskip("schemathesis", reason="schemathesis needs Python 3.10")
    program = Path(__file__).with_name("support_made_up_requests.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(program)],
        cwd=program.parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=250,
    )
    assert done.returncode == 0, done.stdout
