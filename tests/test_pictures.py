"""The documentation's pictures are of what they show now, and need nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks import charts
from tests import support_pictures
from tests.support_pictures import (
    PICTURES,
    SCREENSHOT,
    digest,
    drawings,
    drawn_from,
    page_of,
    record,
    recorded,
    school_at_work,
)

DOCS = PICTURES.parent
DRAWN = drawings()
CHARTS = {f"{name}.svg": chart for name, chart in charts.kept().items()}
each_drawing = pytest.mark.parametrize("source", DRAWN, ids=lambda source: source.stem)


@each_drawing
def test_a_picture_is_drawn_from_its_text_as_it_is_now(source: Path) -> None:
    is_new = recorded().get(source.with_suffix(".svg").name) == digest(drawn_from(source))
    assert is_new, "python -m nox -s pictures draws it anew"


def test_the_screenshot_is_of_the_page_as_it_is_now() -> None:
    is_new = recorded().get(SCREENSHOT) == digest(page_of(school_at_work()))
    assert is_new, "python -m nox -s browser -- --screenshot takes it anew"


def test_the_page_that_is_photographed_is_the_same_each_time() -> None:
    assert page_of(school_at_work()) == page_of(school_at_work())


@pytest.mark.parametrize("picture", sorted(CHARTS))
def test_a_chart_shows_what_was_measured(picture: str) -> None:
    is_new = (PICTURES / picture).read_text("utf-8") == charts.svg(CHARTS[picture])
    assert is_new, "python -m benchmarks.growth --draw draws it anew"


@pytest.mark.parametrize("picture", sorted(path.name for path in PICTURES.glob("*.svg")))
def test_a_picture_is_whole_and_has_dark_colours(picture: str) -> None:
    svg = (PICTURES / picture).read_text("utf-8")
    assert xml.etree.ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "@media (prefers-color-scheme: dark)" in svg
    addresses = set(re.findall(r"https?://[^\"\s]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(script|image|foreignObject)|@import|url\(", svg)


def test_every_picture_is_shown_with_words_and_every_shown_one_is_there() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in DOCS.glob("*.md"))
    shown = re.findall(r"!\[([^\]]+)\]\(pictures/([^)]+)\)", pages)
    assert all(len(words) > 40 for words, _ in shown)
    made = sorted([*recorded(), *CHARTS])
    assert sorted(picture for _, picture in shown) == made
    there = sorted(path.name for path in PICTURES.glob("*.*") if path.suffix in (".svg", ".png"))
    assert there == made


@pytest.mark.skipif(shutil.which("dot") is None, reason="there is no Graphviz")
def test_drawing_notes_what_a_picture_was_drawn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support_pictures, "SOURCES", tmp_path / "sources.json")
    source = tmp_path / "small.dot"
    source.write_text("digraph { here -> there }")
    record("other.png", "other")
    monkeypatch.setattr(support_pictures, "PICTURES", tmp_path)
    support_pictures.main()
    assert "there</text>" in source.with_suffix(".svg").read_text("utf-8")
    assert recorded() == {"other.png": digest("other"), "small.svg": digest(drawn_from(source))}
