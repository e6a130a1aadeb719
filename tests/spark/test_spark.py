"""The example for Spark runs on two local workers; ``nox -s spark`` brings Spark along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HAS_JAVA = shutil.which("java") is not None or "JAVA_HOME" in os.environ

if os.environ.get("UPGRADE_REQUIRE_SPARK"):
    assert HAS_JAVA, "Java is required here, and missing"
else:
    pytest.importorskip("pyspark", reason="nox -s spark has pyspark")
pytestmark = pytest.mark.skipif(not HAS_JAVA, reason="there is no Java")


def test_every_student_gets_a_condition() -> None:
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    environment.pop("UPGRADE_HOST_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "examples.spark_assign"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    counts = dict(line.split(": ") for line in done.stdout.splitlines())
    assert counts.keys() == {"keep going", "your week"}
    numbers = [int(text.split(" ")[0].replace(",", "")) for text in counts.values()]
    assert sum(numbers) == 2_000
