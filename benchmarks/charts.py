"""Line charts as SVG, without any dependency; both axes are logarithmic.

``growth.json`` holds what ``growth.py`` measured, and each of its charts is a picture of the
documentation. A picture has a background and colours of its own, for light and dark pages, as the
drawn ones have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypedDict

MEASURED = Path(__file__).parent / "growth.json"

WIDTH, HEIGHT = 660, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 52

LIGHT = ["#3344aa", "#b3541e", "#2e7d4f", "#8a3a8f", "#666677"]
DARK = ["#9fa8ff", "#ffab70", "#7fd6a2", "#dfa0e4", "#b4b4c4"]


Lines = dict[str, list[list[float]]]
"""By name, points from left to right."""


class _Drawn(TypedDict):
    title: str
    x: str
    y: str
    lines: Lines


class Chart(_Drawn, total=False):
    """What is measured, in which unit, its lines, and who was to have one and could not run."""

    without: list[str]


def chart(title: str, x: str, y: str, lines: Lines, without: Sequence[str] = ()) -> Chart:
    """Return a chart; the last are the names of those who could not run."""
    drawn = Chart(title=title, x=x, y=y, lines=lines)
    if without:
        drawn["without"] = list(without)
    return drawn


def kept() -> dict[str, Chart]:
    """Return the charts of ``growth.json``, by the names of their pictures."""
    charts: dict[str, Chart] = json.loads(MEASURED.read_text("utf-8"))["charts"]
    return charts


def _style() -> str:
    def colours(ink: str, back: str, grid: str, lines: Sequence[str]) -> str:
        rules = [f"text {{ fill: {ink}; }} .back {{ fill: {back}; }} .grid {{ stroke: {grid}; }}"]
        for number, colour in enumerate(lines):
            rules.append(
                f".line{number} {{ stroke: {colour}; }} .dot{number} {{ fill: {colour}; }}"
            )
        return "\n".join(rules)

    font = 'text { font: 12px "DejaVu Sans", Verdana, sans-serif; } polyline { fill: none; }'
    light = colours("#1b1b2f", "#ffffff", "#d8d8e4", LIGHT)
    dark = colours("#e8e8f4", "#1e2129", "#3a4050", DARK)
    return f"<style>\n{font}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n</style>"


def _ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, and where these are few, two and five times them."""
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(tens) > 3 else (1, 2, 5)
    ticks = [factor * 10.0**ten for ten in tens for factor in factors]
    inner = [tick for tick in ticks if low <= tick <= high]
    below = max((tick for tick in ticks if tick <= low), default=low)
    above = min((tick for tick in ticks if tick >= high), default=high)
    return sorted({below, *inner, above})


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


class _Axis:
    """Where a number stands between two ends, in pixels."""

    def __init__(self, numbers: Sequence[float], start: float, end: float) -> None:
        self.ticks = _ticks(min(numbers), max(numbers))
        self._low = math.log10(self.ticks[0])
        self._span = (math.log10(self.ticks[-1]) - self._low) or 1.0
        self._start = start
        self._length = end - start

    def __call__(self, number: float) -> str:
        share = (math.log10(number) - self._low) / self._span
        return f"{self._start + share * self._length:.1f}"


def svg(chart: Chart) -> str:
    """Draw a chart."""
    return "\n".join(_drawn(chart)) + "\n"


def _drawn(chart: Chart) -> Iterator[str]:
    points = [point for line in chart["lines"].values() for point in line]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = _Axis([x for x, _ in points], LEFT, right)
    up = _Axis([y for _, y in points], bottom, TOP)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
    yield _style()
    yield f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    yield f'<text x="{LEFT}" y="22">{escape(chart["title"])}</text>'
    for tick in across.ticks:
        at = across(tick)
        yield f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{_shown(tick)}</text>'
    for tick in up.ticks:
        at = up(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at}" y2="{at}"/>'
        below = float(at) + 4
        yield f'<text x="{LEFT - 8}" y="{below:.1f}" text-anchor="end">{_shown(tick)}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(chart["x"])}</text>'
    turned = f'transform="rotate(-90 16 {(TOP + bottom) / 2})"'
    yield (
        f'<text x="16" y="{(TOP + bottom) / 2}" text-anchor="middle" {turned}>'
        f"{escape(chart['y'])}</text>"
    )
    labels = _apart({name: float(up(line[-1][1])) for name, line in chart["lines"].items()})
    for number, (name, line) in enumerate(chart["lines"].items()):
        path = " ".join(f"{across(x)},{up(y)}" for x, y in line)
        yield f'<polyline class="line{number}" stroke-width="2" points="{path}"/>'
        for x, y in line:
            yield f'<circle class="dot{number}" cx="{across(x)}" cy="{up(y)}" r="3"/>'
        yield f'<text class="dot{number}" x="{right + 10}" y="{labels[name] + 4:.1f}">'
        yield f"{escape(name)}</text>"
    if "without" in chart:
        note = escape("could not run: " + ", ".join(chart["without"]))
        yield f'<text x="{LEFT}" y="38">{note}</text>'
    yield "</svg>"


def _apart(wanted: Mapping[str, float]) -> dict[str, float]:
    """Move labels down where they would lie on each other."""
    placed: dict[str, float] = {}
    last = -math.inf
    for name, y in sorted(wanted.items(), key=lambda item: item[1]):
        placed[name] = last = max(y, last + 15)
    return placed
