"""Measure everything, and write RESULTS.md; or, with ``--check``, see if anything became slower.

``--published`` names the interpreter of an environment that holds the published client; without
it, that contestant is left out. ``--alone`` names one of an environment with httpx and nothing that
it does not need. ``--rounds`` and ``--seconds`` say how often, and for how long,
each contestant is measured.

``--check`` may be followed by names of comparisons, where not all are wanted. ``--record`` has what
is found be expected from now on; ``--slower`` names comparisons in which ours is to do its work 1.3
times, to see that this is noticed.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc

import attrs

from . import check
from .contestant import HERE, CannotRunError, Contestant, Measured, Running, compare
from .contestants.imports import HTTPX, OURS
from .findings import Counted, Findings
from .fresh import Fresh, in_fresh_interpreters
from .local_upgrade import throughput
from .machine import description
from .outage import outages
from .report import written
from .server import Server, serving

SDKS = ["launchdarkly", "growthbook", "posthog", "unleash", "openfeature", "flagsmith", "eppo"]
CAPS = [10, 20, 50, 100]
FRESH = {
    "httpx": "import httpx",
    "package": "import upgrade_client_lib",
    "client": "import upgrade_client_lib\n"
    "client = upgrade_client_lib.UpgradeClient('user-1', 'http://127.0.0.1:1', 'my-app')",
    "client and first call": OURS,
    "httpx.Client and first call": HTTPX,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--published", help="an interpreter that has the published client")
    parser.add_argument("--alone", help="an interpreter that has httpx, and nothing else")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.03)
    parser.add_argument("--check", nargs="*", choices=check.COMPARISONS, metavar="NAME")
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--slower", nargs="+", choices=check.COMPARISONS, metavar="NAME", default=[]
    )
    options = parser.parse_args()
    if options.check is not None:
        names = options.check or list(check.COMPARISONS)
        with serving() as server:
            passed = check.main(
                server.address, names, recording=options.record, slower=options.slower
            )
        sys.exit(not passed)
    with serving() as server:
        interpreters = Interpreters(options.published, options.alone or sys.executable)
        findings = measure(server, interpreters, options.rounds, options.seconds)
    (HERE / "RESULTS.md").write_text(written(findings), encoding="utf-8")
    print(written(findings))


@attrs.frozen
class Interpreters:
    """Those of other environments than this one."""

    published: str | None
    alone: str


def measure(server: Server, interpreters: Interpreters, rounds: int, seconds: float) -> Findings:
    machine = description()
    published = interpreters.published
    timings: dict[str, dict[str, Measured]] = {}
    missing: dict[str, str] = {} if published else {"published client": "it was not asked for"}
    for title, contestants in _comparisons(interpreters).items():
        print(f"{title} ...", file=sys.stderr)
        timings[title], absent = compare(
            contestants, server.address, rounds=rounds, seconds=seconds
        )
        missing.update({name: why for name, why in absent.items() if name != "ours"})
        if "ours" in absent:
            raise CannotRunError(f"{title}: {absent['ours']}")
    print("counts, imports, memory ...", file=sys.stderr)
    return Findings(
        machine=machine,
        timings=timings,
        missing=missing,
        counts=_counts(server, published),
        held_by_a_client=_held_by_a_client(server.address),
        fresh=_fresh(server.address, rounds),
        local_upgrade=throughput(),
        outages=outages(),
    )


def _comparisons(interpreters: Interpreters) -> dict[str, dict[str, Contestant]]:
    comparisons = {
        f"warm {what}": {
            "ours": Contestant("upgrade", f"warm_{ours}"),
            "ours, async": Contestant("upgrade", f"warm_{ours}_async"),
            "ours, nothing there": Contestant("upgrade", f"warm_{ours}_absent"),
            **{sdk: Contestant("sdks", f"{sdk}_{theirs}") for sdk in SDKS},
            "flagsmith, evaluated before": Contestant("sdks", f"flagsmith_evaluated_{theirs}"),
        }
        for what, ours, theirs in [
            ("flag", "flag", "flag"),
            ("assignment", "assignment", "variation"),
        ]
    }
    for call in ["mark", "log", "cold_assign"]:
        for form, suffix in [("sync", ""), ("async", "_async")]:
            comparisons[f"{call.replace('_', ' ')}, {form}"] = {
                "ours": Contestant("upgrade", call + suffix),
                "plain httpx": Contestant("plain", call + suffix),
            }
    published = interpreters.published
    if published:
        for contestants in comparisons.values():
            benchmark = contestants["ours"].benchmark
            contestants["published client"] = Contestant("upgrade", benchmark, published)
    comparisons["warm decision"] = {
        "ours": Contestant("upgrade", "warm_decision"),
        "ours, async": Contestant("upgrade", "warm_decision_async"),
        "ours, nothing assigned": Contestant("upgrade", "warm_decision_absent"),
        "ours, the assignment": Contestant("upgrade", "warm_assignment"),
        "launchdarkly": Contestant("sdks", "launchdarkly_variation"),
    }
    comparisons["making a client"] = {
        "ours": Contestant("upgrade", "make_client"),
        "ours, of a connection": Contestant("connection", "make_client"),
    }
    comparisons["async, 20 in flight: processor's time per call"] = {
        "ours": Contestant("connection", "in_flight"),
        "ours, aiohttp": Contestant("connection", "in_flight_aiohttp"),
        "plain httpx, installed alone": Contestant("plain", "in_flight", interpreters.alone),
        "plain httpx, with what is installed here": Contestant("plain", "in_flight"),
        "plain httpx2": Contestant("plain_httpx2", "in_flight"),
    }
    for tasks in [50, 200]:
        comparisons[f"{tasks} logs at once"] = {
            "ours": Contestant("connection", f"logs_{tasks}"),
            **{
                f"ours, at most {cap} in flight": Contestant("connection", f"logs_{tasks}_{cap}")
                for cap in CAPS
            },
            "plain httpx": Contestant("plain", f"logs_{tasks}"),
        }
    return comparisons


def _counts(server: Server, published: str | None) -> dict[str, dict[str, Counted]]:
    """What the server sees of things that are done once, by whom."""
    ours = {
        "1,000 calls in a row": (Contestant("upgrade", "log"), 1000),
        "50 tasks that ask a cold client": (Contestant("upgrade", "fifty_tasks"), 1),
        "50 threads that ask a cold client": (Contestant("connection", "fifty_threads"), 1),
        "10,000 users with one call each": (Contestant("upgrade", "user_each"), 10_000),
    }
    counted = {title: {"ours": _counted(server, *done)} for title, done in ours.items()}
    if published:
        for title in list(ours)[:2]:
            contestant, loops = ours[title]
            theirs = attrs.evolve(contestant, interpreter=published)
            counted[title]["published client"] = _counted(server, theirs, loops)
    return counted


def _counted(server: Server, contestant: Contestant, loops: int) -> Counted:
    """The connections are those of the contestant's whole life, the requests those of the loops."""
    _, connections_before = server.counts()
    running = Running(contestant, server.address)
    requests_before, _ = server.counts()
    running.seconds(loops)
    requests, connections = server.counts()
    running.stop()
    return Counted(requests - requests_before, connections - connections_before)


def _held_by_a_client(address: str) -> float:
    from upgrade_client_lib import UpgradeConnection

    with UpgradeConnection(address) as connection:
        users = [f"user-{number}" for number in range(10_000)]
        connection.client(users[0], "my-app")  # whatever is made once
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        clients = [connection.client(user, "my-app") for user in users]
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (after - before) / len(clients)


def _fresh(address: str, rounds: int) -> dict[str, Fresh]:
    statements = {name: what.replace("ADDRESS", repr(address)) for name, what in FRESH.items()}
    return in_fresh_interpreters(statements, rounds)


if __name__ == "__main__":
    main()
