"""The layers of the package hold, and a violation of them is noticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

# Releases of import-linter for 3.9 and 3.10 do not know these contracts; the layers are the same.
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="import-linter needs 3.11")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and the contracts."""
    copy = tmp_path_factory.mktemp("project")
    for package in ["upgrade_client_lib", "generated/upgrade_openapi"]:
        shutil.copytree(
            ROOT / package,
            copy / Path(package).name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def broken_contracts(project: Path) -> set[str]:
    linted = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=project,
        env={"PYTHONPATH": str(project), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    broken = {
        line.removesuffix(" BROKEN")
        for line in linted.stdout.splitlines()
        if line.endswith(" BROKEN")
    }
    assert linted.returncode == (1 if broken else 0), linted.stdout + linted.stderr
    return broken


def test_the_package_keeps_to_its_contracts(project: Path) -> None:
    assert broken_contracts(project) == set()


@pytest.mark.parametrize(
    ("module", "planted", "contract"),
    [
        ("_rules/queues.py", "from .. import _server", "Layers import"),
        ("_user/cache.py", "def late():\n    from .. import client", "Layers import"),
        ("_http/pools.py", "def late():\n    from . import transport", "There is no circle"),
        ("_server.py", "from ._http import transport", "Others import what"),
        ("_user/marks.py", "import httpx", "Only _http imports httpx"),
        ("client.py", "import upgrade_openapi", "Only _api imports"),
        ("testing/local.py", "from .._rules import queues", "LocalUpgrade shares no rule"),
    ],
)
def test_a_planted_violation_fails(project: Path, module: str, planted: str, contract: str) -> None:
    path = project / "upgrade_client_lib" / module
    original = path.read_text("utf-8")
    path.write_text(f"{original}\n\n{planted}\n", "utf-8")
    try:
        broken = broken_contracts(project)
    finally:
        path.write_text(original, "utf-8")

    assert any(name.startswith(contract) for name in broken), broken
