"""What must be reached, and whether it was."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .contestant import Measured
from .findings import Findings
from .outage import Outage
from .units import shown


@attrs.frozen
class Target:
    """One line of the table."""

    what: str
    found: str
    wanted: str
    reached: bool


def targets(findings: Findings) -> Iterator[Target]:
    """Give every target, in the order of the table."""
    yield from _warm_reads(findings)
    yield from _decisions(findings)
    yield from _calls(findings)
    yield from _in_flight(findings)
    yield from _counts(findings)
    yield from _clients(findings)
    yield from _start(findings)
    served = findings.local_upgrade
    yield Target(
        "LocalUpgrade over a socket, 8 connections",
        f"{served.per_second:,.0f} requests/s, {served.errors} errors",
        "≥ 2,000, 0 errors",
        served.per_second >= 2_000 and served.errors == 0,
    )


def _warm_reads(findings: Findings) -> Iterator[Target]:
    for what, method, limit in [
        ("flag", "has_feature_flag", 0.15e-6),
        ("assignment", "get_decision_point_assignment", 0.5e-6),
    ]:
        measured = findings.timings[f"warm {what}"]
        ours = measured["ours"]
        yield _at_most(f"warm `{method}_sync`", ours.best, limit)
        others = {who: one for who, one in measured.items() if not who.startswith("ours")}
        if others:
            first = min(others, key=lambda who: others[who].best)
            ratio = ours.best / others[first].best
            yield Target(
                "… against the fastest of the others", f"{ratio:.2f}x {first}", "< 1x", ratio < 1
            )
        yield _ratio(f"warm `{method}`", measured["ours, async"], ours, 3, "the sync one")


def _decisions(findings: Findings) -> Iterator[Target]:
    measured = findings.timings["warm decision"]
    read = measured["ours, the assignment"]
    for who, what in [("ours", ""), ("ours, nothing assigned", ", nothing assigned")]:
        yield _at_most(f"warm `decide_sync`{what}", measured[who].best, 1e-6)
        yield _ratio("…", measured[who], read, 3, "the assignment's read")
    outage = findings.outages["ours"]
    if isinstance(outage, Outage) and outage.back is not None:
        yield _at_most("a page of 4 decisions while the server is silent, p99", outage.p99, 5e-3)
        yield Target(
            "… one thread alone",
            f"{outage.alone:,.0f} decisions/s",
            "≥ 20,000",
            outage.alone >= 20_000,
        )
        yield _at_most("… first right decision after server and pause", outage.back, 1.0)


def _calls(findings: Findings) -> Iterator[Target]:
    for call, what in [
        ("mark", "one `mark`"),
        ("log", "one `log`"),
        ("cold assign", "cold `assign` of 200 experiments and 10 look-ups"),
    ]:
        for form in ["sync", "async"]:
            measured = findings.timings[f"{call}, {form}"]
            ours = measured["ours"]
            yield _ratio(f"{what}, {form}", ours, measured["plain httpx"], 1.1, "plain httpx")
            if call != "cold assign" and "published client" in measured:
                faster = measured["published client"].best / ours.best
                yield Target(
                    "… against the published client", f"{faster:.0f}x faster", "≥ 40x", faster >= 40
                )


def _in_flight(findings: Findings) -> Iterator[Target]:
    measured = findings.timings["async, 20 in flight: processor's time per call"]
    plain = measured["plain httpx, installed alone"]
    what = "20 async calls in flight, processor's time per call"
    yield _ratio(what, measured["ours"], plain, 0.7, "plain httpx")
    if "ours, aiohttp" in measured:
        yield _ratio("… with aiohttp", measured["ours, aiohttp"], plain, 0.25, "plain httpx")


def _counts(findings: Findings) -> Iterator[Target]:
    for who in ["tasks", "threads"]:
        requests = findings.counts[f"50 {who} that ask a cold client"]["ours"].requests
        yield _exactly_one(f"50 concurrent cold reads, {who}", requests, "request")
    for what in ["1,000 calls in a row", "10,000 users with one call each"]:
        connections = findings.counts[what]["ours"].connections
        yield _exactly_one(what, connections, "connection")


def _clients(findings: Findings) -> Iterator[Target]:
    made = findings.timings["making a client"]
    yield _at_most("making a client, `UpgradeClient(…)`", made["ours"].best, 5e-6)
    yield _at_most(
        "making a client, `connection.client(…)`", made["ours, of a connection"].best, 5e-6
    )
    held = findings.held_by_a_client
    yield Target("held by an idle user", f"{held:.0f} bytes", "≤ 600", held <= 600)


def _start(findings: Findings) -> Iterator[Target]:
    httpx, package, client = (findings.fresh[name] for name in ["httpx", "package", "client"])
    call, plain = (
        findings.fresh[name] for name in ["client and first call", "httpx.Client and first call"]
    )
    yield _at_most("`import upgrade_client_lib`, above a bare interpreter", package.seconds, 15e-3)
    for what, ratio in [
        ("… with client and first call, against httpx's", call.seconds / plain.seconds),
        ("memory after import and first client, against httpx alone", client.bytes / httpx.bytes),
    ]:
        yield Target(what, f"{ratio:.2f}x", "≤ 1.25x", ratio <= 1.25)


def _at_most(what: str, seconds: float, limit: float) -> Target:
    return Target(what, shown(seconds), f"≤ {shown(limit)}", seconds <= limit)


def _ratio(what: str, ours: Measured, other: Measured, limit: float, whom: str) -> Target:
    ratio = ours.best / other.best
    found = f"{ratio:.2f}x {whom} (medians: {ours.median / other.median:.2f}x)"
    return Target(what, found, f"≤ {limit:g}x", ratio <= limit)


def _exactly_one(what: str, count: int, things: str) -> Target:
    return Target(what, f"{count} {things}{'s' * (count != 1)}", "1", count == 1)
