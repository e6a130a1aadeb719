"""The page of evidence names recordings and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = re.compile(r"`([^`]+)`")
RECORDINGS = re.compile(r"(cassette|exchange)s? ((?:`\w+`(?:, )?)+)")
FILES = {"cassette": ("cassettes", "yaml"), "exchange": ("recordings/exchanges", "json")}


def rows() -> list[list[str]]:
    """The tables' rows, cell by cell."""
    page = (ROOT / "docs" / "evidence.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_recording_that_it_names_exists() -> None:
    named: list[str] = []
    for _, *shown, _ in rows():
        for kind, names in RECORDINGS.findall("".join(shown)):
            folder, suffix = FILES[kind]
            named += [f"{folder}/{name}.{suffix}" for name in NAMES.findall(names)]

    assert len(named) > 70
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_every_cassette_is_evidence_of_something() -> None:
    shown = " ".join(cell for row in rows() for cell in row[1:-1])

    cassettes = {path.stem for path in (ROOT / "tests" / "cassettes").iterdir()}
    assert {name for name in cassettes if f"`{name}`" not in shown} == set()


def test_every_test_that_it_names_exists_where_it_says() -> None:
    missing: list[str] = []
    for row in rows():
        for module in row[-1].split("; "):
            names = NAMES.findall(module)
            if names:
                path, *tests = names
                source = (ROOT / path).read_text("utf-8")
                missing += [test for test in tests if f"def {test}(" not in source]

    assert missing == []
