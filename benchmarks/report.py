"""RESULTS.md: what was found, first against what must be reached, then in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .contestant import HERE, Measured
from .findings import Findings
from .outage import lines
from .targets import targets
from .units import shown

MIB = 1024 * 1024


def written(findings: Findings) -> str:
    """Give RESULTS.md."""
    return "\n".join(_lines(findings)) + "\n"


def _lines(findings: Findings) -> Iterator[str]:
    yield from ["# Results", ""]
    yield "Written by `nox -s bench`; [README.md](README.md) says how each thing is measured."
    yield "What is compared are the best rounds; medians are shown beside them."
    yield from ["", *findings.machine, "", "## Against the targets", ""]
    yield from ["| what | found | must reach | |", "|---|---|---|---|"]
    for target in targets(findings):
        verdict = "reached" if target.reached else "**missed**"
        yield f"| {target.what} | {target.found} | {target.wanted} | {verdict} |"
    notes = HERE / "NOTES.md"
    if notes.exists():
        yield from ["", notes.read_text(encoding="utf-8").strip()]
    for title, measured in findings.timings.items():
        yield from _table(title, measured)
    yield from lines(findings.outages)
    yield from ["", "## What the server sees", ""]
    yield from ["| what | who | requests | connections |", "|---|---|---|---|"]
    for what, by_whom in findings.counts.items():
        for who, seen in by_whom.items():
            yield f"| {what} | {who} | {seen.requests:,} | {seen.connections:,} |"
    yield from ["", "## A fresh interpreter", ""]
    yield from ["| after | ms | MiB |", "|---|---|---|"]
    for name, fresh in findings.fresh.items():
        yield f"| {name} | {fresh.seconds * 1e3:.1f} | {fresh.bytes / MIB:.1f} |"
    if findings.missing:
        yield from ["", "## Who did not run", ""]
        yield from [f"- {who}: {why}" for who, why in findings.missing.items()]


def _table(title: str, measured: Mapping[str, Measured]) -> Iterator[str]:
    yield from ["", f"## {title[0].upper()}{title[1:]}", ""]
    yield from ["| who | best round | median | best against ours |", "|---|---|---|---|"]
    ours = measured["ours"].best
    for who, one in measured.items():
        yield f"| {who} | {shown(one.best)} | {shown(one.median)} | {one.best / ours:.2f}x |"
