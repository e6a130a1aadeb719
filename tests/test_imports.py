"""Importing costs next to nothing until something is used, and warns of nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEVER_AT_FIRST = {"httpx", "httpcore", "anyio", "upgrade_openapi", "attr", "attrs"}
NEVER_AT_FIRST.update(["asyncio", "ssl", "json", "logging", "concurrent", "typing_extensions"])
PUBLIC = [
    "upgrade_client_lib",
    "upgrade_client_lib.types",
    "upgrade_client_lib.types.enums",
    "upgrade_client_lib.types.requests",
    "upgrade_client_lib.types.responses",
    "upgrade_client_lib.exceptions",
    "upgrade_client_lib.assignment",
    "upgrade_client_lib.client",
    "upgrade_client_lib.connection",
    "upgrade_client_lib.testing",
    "upgrade_client_lib.testing.pytest_plugin",
    "upgrade_openapi",
]


def loaded_by(code: str, *options: str) -> set[str]:
    """The packages that a fresh interpreter has loaded more after running the code."""
    program = f"""
import sys
before = set(sys.modules)
{code}
after = set(sys.modules)
import json
print(json.dumps(sorted({{name.partition(".")[0] for name in after - before}})))
"""
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import upgrade_client_lib",
        "import upgrade_client_lib; upgrade_client_lib.__version__; dir(upgrade_client_lib)",
        "import upgrade_client_lib.exceptions",
        "from upgrade_client_lib import exceptions, UpgradeApiError",
        "import upgrade_client_lib.testing; dir(upgrade_client_lib.testing)",
    ],
)
def test_importing_the_package_loads_nothing_heavy(code: str) -> None:
    loaded = loaded_by(code)

    assert "upgrade_client_lib" in loaded
    assert not loaded & NEVER_AT_FIRST


@pytest.mark.parametrize(
    "code",
    [
        "from upgrade_client_lib.types import LogInput, Payload, ExperimentType",
        "from upgrade_client_lib import types, Assignment",
        "from upgrade_client_lib import Timeout",
    ],
)
def test_the_types_load_no_transport(code: str) -> None:
    loaded = loaded_by(code)

    assert not loaded & {"httpx", "httpcore", "anyio", "upgrade_openapi", "asyncio", "ssl"}


def test_the_first_client_loads_what_it_needs() -> None:
    loaded = loaded_by(
        "from upgrade_client_lib import UpgradeClient\n"
        'UpgradeClient("u1", "https://upgrade.example.org", "my-app")'
    )

    assert loaded >= {"httpx", "attr"}
    assert not loaded & {"upgrade_openapi", "asyncio"}


def test_a_first_call_loads_the_generated_code_of_its_own_operation() -> None:
    loaded_by("""
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
client = UpgradeClient("u1", "http://upgrade", "my-app", transport=LocalUpgrade().transport)
client.init_sync()
models = {name.rpartition(".")[2] for name in sys.modules if "upgrade_openapi.models." in name}
assert models >= {"init_request", "experiment_user"}
assert not any(word in name for name in models for word in ["mark", "log", "reward", "flag"])
""")


def test_what_was_imported_and_forgotten_again_is_of_one_kind() -> None:
    """As by ``patch.dict(sys.modules)`` around the first mark, or by pytest's own ``pytester``."""
    loaded_by("""
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade
local = LocalUpgrade()
local.experiment("home", "banner", conditions=["control"])
client = UpgradeClient("u1", "http://upgrade", "my-app", transport=local.transport)
client.init_sync()
assignment = client.get_decision_point_assignment_sync("home", "banner")
before = set(sys.modules)
assignment.mark_decision_point_sync("condition applied")
forgotten = set(sys.modules) - before
assert "upgrade_openapi.models.marked_condition" in forgotten
for name in forgotten:
    del sys.modules[name]
assignment.mark_decision_point_sync("condition applied")
assert len(local.marks) == 2
""")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_module_is_imported_alone_and_without_a_warning(name: str) -> None:
    loaded_by(f"from {name} import *", "-W", "error", "-X", "dev")


def test_every_module_can_be_the_first_to_be_imported() -> None:
    # A cycle of imports shows only where its other half comes first.
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "upgrade_client_lib").rglob("*.py")
        if not path.stem.startswith("__")
    ]
    assert len(names) > 40
    # What is not ours stays imported: it has no part in a cycle. What attrs generates is compiled
    # once, and the modules are kept: else that takes most of the time.
    loaded_by(f"""
import builtins, functools, gc, importlib, sys
gc.disable()
builtins.compile = functools.lru_cache(maxsize=None)(compile)
for name in {sorted(names)!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise AssertionError(name) from error
    for ours in [one for one in sys.modules if one.partition(".")[0] == "upgrade_client_lib"]:
        del sys.modules[ours]
""")
