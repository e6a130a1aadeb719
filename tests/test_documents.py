"""The code in the README and on the documentation's pages runs, and prints what they say.

Each page is run from top to bottom against the sample school, served at the address that the
pages name:

- `python` blocks run in one namespace; those of the notebooks' page as cells, in an event loop.
- A block with a title is a file of this name beside the others.
- A `text` block is what the block before it printed.
- Of `sh` blocks, the commands run that call this library or run tests.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import logging
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import openfeature.api
import pytest
from click.testing import CliRunner

from examples.school import school
from tests.support_spec import OPERATIONS, SCHEMAS, SPEC
from upgrade_client_lib.cli.commands import upgrade_client
from upgrade_client_lib.testing import pytest_plugin

ROOT = Path(__file__).parent.parent
EXPORTS = ROOT / "tests" / "recordings" / "exports"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ADDRESS = "http://127.0.0.1:3030"
ALONE = {"django.md"}  # since Django is configured once in a process
IS_ALONE = "UPGRADE_PAGE_IS_ALONE"
BLOCK = re.compile(r'(?ms)^( *)```(\w+)(?: title="([^"\n]+)")?\n(.*?)^\1```$')
EXPORT = re.compile(r"export (\w+)=(.+)")
RUN = (
    "upgrade-client ",
    "python -m upgrade_client_lib.testing ",
    "python -m upgrade_client_lib deliver",
    "python -m pytest",
    "python -m unittest",
)


@attrs.frozen
class Block:
    """A fenced block of a page."""

    language: str
    title: str | None
    code: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        code = textwrap.dedent(found[4])
        yield Block(found[2], found[3], code, text.count("\n", 0, found.start(4)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from, and that holds what a web page exported."""
    for export in EXPORTS.iterdir():
        shutil.copy(export, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        origin = getattr(sys.modules[name], "__file__", None)
        if origin and tmp_path in Path(origin).parents:
            del sys.modules[name]


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Pages show how to set up logging; other tests shall not hear of it."""
    loggers = [logging.getLogger(), logging.getLogger("upgrade_client_lib")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, folder: Path) -> None:
    if page.name in ALONE and IS_ALONE not in os.environ:
        run_alone(page)
        return
    text = page.read_text("utf-8")
    if not hasattr(openfeature.api, "set_provider_and_wait"):  # as the page says
        text = text.replace("set_provider_and_wait", "set_provider")
    with school().serve() as url, Reader(page, folder) as reader:
        # On a busy machine, calls of many users at a time can wait for each other for long.
        patient = f'UpgradeConnection("{url}", timeout=60.0)'
        text = text.replace(f'UpgradeConnection("{ADDRESS}")', patient)
        for block in blocks(text.replace(ADDRESS, url)):
            if "from openfeature.track" not in block.code or find_spec("openfeature.track"):
                reader.read(block)


def run_alone(page: Path) -> None:
    """Run a page's test in a process of its own."""
    test = f"{__file__}::{test_every_block_of_a_page_runs.__name__}[{page.name}]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", test],
        cwd=ROOT,
        env={**os.environ, IS_ALONE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


class Reader:
    """Somebody who tries everything that a page shows."""

    def __init__(self, page: Path, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            # This package's fixtures, installed or not; loading other plugins takes seconds.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": f"-p {pytest_plugin.__name__}",
        }
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._loop = asyncio.new_event_loop() if page.name == "notebooks.md" else None
        self._printed = ""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(_cancel_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def read(self, block: Block) -> None:
        where = f"{self._page.name}, line {block.line}"
        if block.title is not None:
            (self._folder / block.title).write_text(block.code, "utf-8")
            importlib.invalidate_caches()  # so that a block that follows can import it
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self._run(block)
            self._printed = printed.getvalue()
        elif block.language == "text":
            assert self._printed == block.code, where
        else:
            assert block.language == "sh", f"{where}: who runs {block.language}?"
            for command in block.code.splitlines():
                if exported := EXPORT.fullmatch(command):
                    self._environment[exported[1]] = exported[2]
                elif command.startswith(RUN):
                    self._command(command, where)

    def _run(self, block: Block) -> None:
        code = "\n" * block.line + block.code  # so that errors name the page's line
        if self._loop is None:
            exec(compile(code, self._page, "exec"), self._namespace)
        else:
            self._loop.run_until_complete(self._run_cell(code))

    async def _run_cell(self, code: str) -> None:
        cell = compile(code, self._page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(cell, self._namespace)
        if inspect.iscoroutine(result):
            await result

    def _command(self, command: str, where: str) -> None:
        command = command.replace("--port 3030", "--port 0")
        program, *arguments = shlex.split(command)
        if program == "upgrade-client":  # here, since a process of its own takes long to start
            ran = CliRunner().invoke(upgrade_client, arguments, env=self._environment)
            assert ran.exit_code == 0, f"{where}\n{ran.output}"
            return
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            encoding="utf-8",
        ) as process:
            assert process.stdout is not None
            printed = process.stdout.readline()
            if printed.startswith("UpGrade "):  # it serves until it is told to stop
                process.send_signal(signal.SIGINT)
            printed += process.communicate(timeout=60)[0]
        assert process.returncode == 0, f"{where}\n{printed}"


async def _cancel_tasks() -> None:
    """Cancel what still runs, as ``asyncio.run`` does: sockets are closed then."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_page_on_the_wire_shows_every_operation_header_and_schema() -> None:
    fill = runpy.run_path(str(ROOT / "docs" / "hooks" / "wire.py"))["on_page_markdown"]
    page = (ROOT / "docs" / "wire.md").read_text("utf-8")
    filled: str = fill(page)
    for method, path in OPERATIONS:
        assert f"| [`{method} {path}`](#" in filled
    for header in SPEC["components"]["parameters"].values():
        assert f"| `{header['name']}` |" in filled
    for name, schema in SCHEMAS.items():
        assert f"\n### {name}\n" in filled
        for field in schema.get("properties", ()):
            assert f"| `{field}` |" in filled


def test_the_page_on_the_wire_has_a_row_for_an_operation_without_a_body() -> None:
    operations = runpy.run_path(str(ROOT / "docs" / "hooks" / "wire.py"))["operations"]
    version = {
        "summary": "Ask for the version",
        "description": "The server's version.",
        "responses": {
            "200": {
                "content": {
                    "application/json": {
                        "schema": {"type": "string"},
                        "examples": {"newer": {"value": "6.7"}},
                    }
                }
            }
        },
    }
    lines = list(operations({"paths": {"/api/version": {"get": version}}}))
    row = "| [`GET /api/version`](#ask-for-the-version)<br>Ask for the version |  | string |"
    assert row in lines
    assert "A request:" not in lines
    assert '"6.7"' in lines
