"""Integrations are imported when they are used, and say what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = {
    "celery": "celery",
    "django": "django",
    "fastapi": "starlette",
    "flask": "flask",
    "openfeature": "openfeature",
    "opentelemetry": "opentelemetry",
}
"""What each integration needs."""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_integration_is_tested_here() -> None:
    modules = (ROOT / "upgrade_client_lib" / "integrations").glob("[!_]*.py")
    assert {path.stem for path in modules} == set(PACKAGES)


def test_the_package_imports_no_integration() -> None:
    loaded = run(
        "import sys, upgrade_client_lib\n"
        "from upgrade_client_lib import *\n"
        "import upgrade_client_lib.integrations\n"
        "print(*sys.modules)"
    ).split()
    assert "upgrade_client_lib.connection" in loaded
    assert {name for name in loaded if name.startswith("upgrade_client_lib.integrations.")} == set()
    assert not set(PACKAGES.values()) & set(loaded)


def test_without_its_package_an_integration_says_what_to_install() -> None:
    said = run(
        "import sys\n"
        f"for name, package in {PACKAGES!r}.items():\n"
        "    sys.modules[package] = None\n"
        "    try:\n"
        "        __import__(f'upgrade_client_lib.integrations.{name}')\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
        "    del sys.modules[package]"
    ).splitlines()
    assert len(said) == len(PACKAGES)
    for name, line in zip(PACKAGES, said):
        assert f'pip install "upgrade-client-lib[{name}]"' in line
