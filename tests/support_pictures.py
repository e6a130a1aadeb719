"""What the pictures in the documentation are made of, and whether they are still of it.

``python -m nox -s pictures`` draws those that are drawn from a ``.dot`` file beside them, by
Graphviz; ``python -m nox -s browser -- --screenshot`` takes the others.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support_clients import client_at
from upgrade_client_lib.testing import LocalUpgrade, sample_school

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SOURCES = PICTURES / "sources.json"
"""For each picture, the SHA-256 of what it was made of."""

SCREENSHOT = "local-upgrade.png"
SHOWN_USER = "student-4"


def school_at_work() -> LocalUpgrade:
    """The sample school, with some students who saw a banner."""
    local = sample_school()
    for number in range(1, 13):
        client = client_at(local, f"student-{number}")
        school_class = f"class-{1 + number % 2}"
        client.init_sync({"class": [school_class]}, {"class": school_class})
        client.decide_sync("home", "banner").mark_sync()
    local.slow(0.5, endpoint="log")
    return local


def page_of(local: LocalUpgrade) -> str:
    """The page that is photographed, as HTML."""
    with local.serve() as url:
        return httpx.get(url, params={"user": SHOWN_USER}).text


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def recorded() -> dict[str, str]:
    """Of what each picture was made."""
    sources: dict[str, str] = json.loads(SOURCES.read_text("utf-8"))
    return sources


def record(picture: str, content: str) -> None:
    """Note what a picture is made of now."""
    known = recorded() if SOURCES.exists() else {}
    known[picture] = digest(content)
    SOURCES.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", "utf-8")


# ---- What is drawn from text ----

LOOKS = [
    *["-Nshape=box", "-Nstyle=rounded", "-Nfontname=DejaVu Sans", "-Nfontsize=11"],
    *["-Efontname=DejaVu Sans", "-Efontsize=10", "-Gfontname=DejaVu Sans", "-Gfontsize=11"],
    *["-Nmargin=0.16,0.1", "-Gpad=0.2", "-Gnodesep=0.35", "-Granksep=0.45"],
]

STYLE = """\
<style>
text { fill: #1b1b2f; font-family: "DejaVu Sans", Verdana, sans-serif; }
.graph > polygon { fill: #ffffff; }
.node path, .node polygon, .node ellipse { fill: #eef0fb; stroke: #4455aa; }
.node polyline { stroke: #4455aa; }
.cluster polygon { fill: none; stroke: #8888aa; }
.edge path { stroke: #556; } .edge polygon { fill: #556; stroke: #556; }
@media (prefers-color-scheme: dark) {
text { fill: #e8e8f4; }
.graph > polygon { fill: #1e2129; }
.node path, .node polygon, .node ellipse { fill: #2c3350; stroke: #9fa8da; }
.node polyline { stroke: #9fa8da; }
.edge path { stroke: #aab; } .edge polygon { fill: #aab; stroke: #aab; }
}
</style>"""
"""A picture has a background of its own, so that it is legible on a page of either kind."""


def drawings() -> Sequence[Path]:
    """The texts that pictures are drawn from."""
    return sorted(PICTURES.glob("*.dot"))


def draw(source: Path) -> None:
    """Draw the picture of a text, and note what it was drawn from."""
    command = ["dot", "-Tsvg", *LOOKS, str(source)]
    drawn = subprocess.run(command, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
    svg = drawn[drawn.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    source.with_suffix(".svg").write_text(f"{opening}>\n{STYLE}{rest}", "utf-8")
    record(source.with_suffix(".svg").name, drawn_from(source))


def drawn_from(source: Path) -> str:
    """All that a picture depends on."""
    return "\n".join([source.read_text("utf-8"), *LOOKS, STYLE])


def main() -> None:
    for source in drawings():
        draw(source)


if __name__ == "__main__":  # pragma: no cover
    main()
