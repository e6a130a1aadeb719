"""RESULTS.md: what was found, first against what must be reached, then in full."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .contestant import HERE, Measured
from .fresh import Fresh
from .machine import description

KIB = 1024
MIB = 1024 * KIB


@attrs.frozen
class Counted:
    """What the server saw of a contestant."""

    requests: int
    connections: int


@attrs.frozen(kw_only=True)
class Findings:
    """Everything that was measured; timings by comparison and contestant."""

    timings: Mapping[str, Mapping[str, Measured]]
    missing: Mapping[str, str]
    counts: Mapping[str, Mapping[str, Counted]]
    held_by_a_client: float
    fresh: Mapping[str, Fresh]


@attrs.frozen
class Row:
    """One line of the table of targets."""

    what: str
    found: str
    target: str
    reached: bool


def written(findings: Findings) -> str:
    """Give RESULTS.md."""
    lines = [
        "# Results",
        "",
        "Written by `nox -s bench`; what each line measures is in [README.md](README.md).",
        "Times are medians over the rounds, with the best round in brackets.",
        "",
        *description(),
        "",
        "## Against the targets",
        "",
        "| what | found | must reach | |",
        "|---|---|---|---|",
        *[
            f"| {row.what} | {row.found} | {row.target} | {_verdict(row)} |"
            for row in _rows(findings)
        ],
        "",
        *_notes(),
    ]
    for title, measured in findings.timings.items():
        lines += _table(title, measured)
    lines += [
        "## What the server sees",
        "",
        "| what | who | requests | connections |",
        "|---|---|---|---|",
        *[
            f"| {what} | {who} | {seen.requests:,} | {seen.connections:,} |"
            for what, by_whom in findings.counts.items()
            for who, seen in by_whom.items()
        ],
        "",
        "## A fresh interpreter",
        "",
        "| after | ms | MiB |",
        "|---|---|---|",
        *[
            f"| {name} | {fresh.seconds * 1e3:.1f} | {fresh.bytes / MIB:.1f} |"
            for name, fresh in findings.fresh.items()
        ],
        "",
    ]
    if findings.missing:
        lines += ["## Who did not run", ""]
        lines += [f"- {who}: {why}" for who, why in findings.missing.items()]
        lines.append("")
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    return "reached" if row.reached else "**missed**"


def _notes() -> list[str]:
    path = HERE / "NOTES.md"
    return [path.read_text(encoding="utf-8")] if path.exists() else []


def _rows(findings: Findings) -> list[Row]:
    rows: list[Row] = []
    for what, method, limit in [
        ("flag", "has_feature_flag", 0.15e-6),
        ("assignment", "get_decision_point_assignment", 0.5e-6),
    ]:
        measured = findings.timings[f"warm {what}"]
        ours, in_loop = measured["ours"], measured["ours, async"]
        others = {who: one for who, one in measured.items() if not who.startswith("ours")}
        first = min(others, key=lambda who: others[who].median)
        rows += [
            Row(
                f"warm `{method}_sync`",
                _time(ours.median),
                f"≤ {_time(limit)}",
                ours.median <= limit,
            ),
            Row(
                f"… ahead of every other client: the next is {first}",
                f"{ours.median / others[first].median:.2f}x",
                "< 1",
                ours.median < others[first].median,
            ),
            _at_most(f"warm `{method}`", in_loop, ours, 3, "the sync one"),
        ]
    for call, what in [("mark", "one `mark`"), ("log", "one `log`")]:
        for face in ["sync", "async"]:
            measured = findings.timings[f"{call}, {face}"]
            rows.append(_at_most(f"{what}, {face}", measured["ours"], measured["plain httpx"], 1.1))
            if "published client" in measured:
                faster = measured["published client"].median / measured["ours"].median
                rows.append(
                    Row(
                        "… than the published client",
                        f"{faster:.0f}x faster",
                        "≥ 40x",
                        faster >= 40,
                    )
                )
    for face in ["sync", "async"]:
        measured = findings.timings[f"cold_assign, {face}"]
        what = f"cold `assign` of 200 experiments and 10 look-ups, {face}"
        rows.append(_at_most(what, measured["ours"], measured["plain httpx"], 1.1))
    for who in ["tasks", "threads"]:
        requests = findings.counts[f"50 {who} that ask a cold client"]["ours"].requests
        rows.append(
            Row(f"50 concurrent cold reads, {who}", f"{requests} request", "1", requests == 1)
        )
    connections = findings.counts["1,000 calls in a row"]["ours"].connections
    rows.append(Row("1,000 calls in a row", f"{connections} connection", "1", connections == 1))
    made = findings.timings["making a client"]["ours"].median
    rows.append(Row("making a client", _time(made), "≤ 5 µs", made <= 5e-6))
    held = findings.held_by_a_client
    rows.append(Row("held by an idle user", f"{held:.0f} bytes", "≤ 1,024", held <= KIB))
    pools = findings.counts["10,000 users with one call each"]["ours"].connections
    rows.append(Row("10,000 users, one call each", f"{pools} connection", "1 pool", pools == 1))
    httpx, package, client = (findings.fresh[name] for name in ["httpx", "package", "client"])
    rows += [
        Row(
            "`import upgrade_client_lib`, above a bare interpreter",
            f"{package.seconds * 1e3:.1f} ms",
            "≤ 15 ms",
            package.seconds <= 15e-3,
        ),
        Row(
            "… with the first client, against `import httpx`",
            f"{client.seconds / httpx.seconds:.2f}x",
            "≤ 1.25x",
            client.seconds <= 1.25 * httpx.seconds,
        ),
        Row(
            "memory after import and first client, against httpx alone",
            f"{client.bytes / httpx.bytes:.2f}x",
            "≤ 1.25x",
            client.bytes <= 1.25 * httpx.bytes,
        ),
    ]
    return rows


def _at_most(
    what: str, ours: Measured, other: Measured, limit: float, whom: str = "plain httpx"
) -> Row:
    ratio = ours.median / other.median
    found = f"{ratio:.2f}x {whom} (best rounds: {ours.best / other.best:.2f}x)"
    return Row(what, found, f"≤ {limit:g}x", ratio <= limit)


def _table(title: str, measured: Mapping[str, Measured]) -> list[str]:
    ours = measured["ours"].median
    return [
        f"## {title.capitalize().replace('_', ' ')}",
        "",
        "| who | takes | against ours |",
        "|---|---|---|",
        *[
            f"| {who} | {_time(one.median)} ({_time(one.best)}) | {one.median / ours:.2f}x |"
            for who, one in measured.items()
        ],
        "",
    ]


def _time(seconds: float) -> str:
    for unit, size in [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
