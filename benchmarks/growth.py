"""What grows with what: ``python -m benchmarks.growth`` measures curves and draws them.

They are over records in each store, experiments in a context, calls in flight, and events that
wait. ``growth.json`` keeps what was measured, and ``docs/pictures`` the charts; ``--draw`` draws
them anew without measuring, and names of curves measure these alone. Redis is started where it is
installed. Times are the best of several rounds: those of a processor, apart from Redis, which is
another process.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Callable

from . import machine
from .charts import MEASURED, Chart, kept, svg
from .curves import calls, events, experiments, records

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
CURVES: Mapping[str, tuple[Callable[[int], Mapping[str, Chart]], int]] = {
    "records": (records.charts, 1_000_000),
    "experiments": (experiments.charts, 1_000),
    "calls": (calls.charts, 200),
    "events": (events.charts, 100_000),
}
"""What measures the curves of a name, and up to which size."""


def measure(names: Collection[str], most: int | None) -> dict[str, Chart]:
    """Return the charts of the named curves, by the names of their pictures."""
    charts: dict[str, Chart] = {}
    for name in names:
        measured, largest = CURVES[name]
        begun = time.monotonic()
        charts.update(measured(min(largest, most or largest)))
        print(f"growth over {name}: {time.monotonic() - begun:.0f} s", flush=True)
    return charts


def written(charts: Mapping[str, Chart], on: Collection[str]) -> str:
    """Return the text of ``growth.json``, each point in a line of its own."""
    text = json.dumps(
        {"machine": on, "charts": dict(sorted(charts.items()))}, indent=1, ensure_ascii=False
    )
    return re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("curves", nargs="*", choices=[*CURVES, []], help="all, if none is named")
    parser.add_argument("--draw", action="store_true", help="draw what was measured before")
    parser.add_argument("--most", type=int, help="the largest size, to be quick")
    options = parser.parse_args()
    charts = kept() if MEASURED.exists() else {}
    if not options.draw:
        on = machine.description()[:3]
        charts.update(measure(options.curves or list(CURVES), options.most))
        MEASURED.write_text(written(charts, on), "utf-8")
    for name, chart in charts.items():
        (PICTURES / f"{name}.svg").write_text(svg(chart), "utf-8")


if __name__ == "__main__":
    main()
