"""Rounds of ``support_kills`` on a real server, which is killed and its database too, many times.

``nox -s soak_real`` runs them; CONTRIBUTING.md says what it needs. Afterwards, the tables are
compared with what was handed over.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs
import httpx

from tests.outbox.support_kills import HandedOver, Nursery, ProofError, Round, run
from tests.outbox.support_kills_child import BETWEEN, WITHIN
from tests.outbox.support_soak import report, settings_of
from upgrade_client_lib.types import OutboxEventState

AT_ONCE = 8

CALM = (6.0, 20.0)
"""For how long there is no crash, in seconds."""

WAITS = {
    "lease": 6.0,
    "send": 4.0,
    "quiet": 8.0,
    "settle": 10.0,
    "poll": 0.2,
    "line_delay": 1.0,
    "pause": 0.5,
}
UNDECIDED = OutboxEventState.UNDECIDED
LONGEST_LIFE = 8.0
MOSTLY = 0.8
FLUSH_SECONDS = 600.0

_WHO = "\"userId\" = ANY (string_to_array(:'users', ','))"
_WITHIN = f"""
SELECT r.uniquifier FROM repeated_enrollment r
JOIN individual_enrollment i ON i.id = r."individualEnrollmentId" WHERE {_WHO} ORDER BY r.id;
"""
_LOGS = f"SELECT uniquifier FROM log WHERE {_WHO} ORDER BY id;"
_LOGGED_TWICE = f"""
SELECT uniquifier FROM log WHERE {_WHO} GROUP BY uniquifier HAVING count(*) > 1;
"""
_ENROLLED = f"""
SELECT i."userId", d.site, d.target FROM individual_enrollment i
JOIN decision_point d ON d.id = i."partitionId" WHERE {_WHO};
"""
_MONITORED = f'SELECT "userId", site, target FROM monitored_decision_point WHERE {_WHO};'


class RealServer:
    """A server that holds the experiments which CONTRIBUTING.md names."""

    adaptive: Sequence[tuple[str, str]] = ()
    keeps_no_order = frozenset({"between", "within", "log"})
    """Not over several tables, whose rows have times of transactions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.half_stored = 0

    def disturb(self, chance: random.Random) -> None:
        """Wait until it is well, mostly: others crash it, whatever the rounds do."""
        if chance.random() < MOSTLY:
            is_well(self.url)

    def heal(self) -> None:
        """Do nothing: the last processes of rounds go on amid crashes."""

    def applied(self, events: Sequence[HandedOver]) -> list[str]:
        """Return the uniquifiers of marks and logs that are stored.

        A mark between subjects has no row of its own, but all of a user's have one in each of two
        tables together. So these are the accepted ones, wherever there are any. In one table alone
        is what the server stored half, which only undecided marks explain.
        """
        users = sorted({event.user for event in events})
        keys = [key for query in (_WITHIN, _LOGS) for (key,) in _rows(query, users)]
        keys += [f"{key} twice" for (key,) in _rows(_LOGGED_TWICE, users)]
        enrolled, monitored = (
            Counter((user, site, target) for user, site, target in _rows(query, users))
            for query in (_ENROLLED, _MONITORED)
        )
        for user in users:
            for kind, point in (("between", BETWEEN), ("within", WITHIN)):
                of_user = [event for event in events if (event.user, event.kind) == (user, kind)]
                accepted = [event for event in of_user if event.state is None]
                undecided = [event for event in of_user if event.state == UNDECIDED]
                place = (user, point[0], point[1])
                rows = enrolled[place], monitored[place]
                if kind == "between" and rows[0]:
                    keys += [event.key for event in accepted or undecided or of_user]
                if rows not in [(0, 0), (1, 1)]:
                    self.half_stored += 1
                    if max(rows) > 1 or not undecided:
                        keys.append(f"{rows} rows of {user} at {point}")
        return keys


def _rows(query: str, users: Sequence[str]) -> list[list[str]]:
    """Return what ``psql`` returns, which finds the database by the environment."""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v"]
    found = subprocess.run(
        [*command, f"users={','.join(users)}"],
        input=query,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return [line.split("|") for line in found.stdout.splitlines()]


def is_well(url: str) -> bool:
    """Return whether a server responds within a minute."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/api/version", timeout=5.0).is_success:
                return True
        time.sleep(0.2)
    return False


@attrs.frozen
class Crasher:
    """Crashes server and database at random moments, until it is stopped.

    The commands kill one of them, and start it again.
    """

    url: str
    commands: dict[str, str]
    chance: random.Random
    counts: Counter[str]
    stopping: threading.Event = attrs.field(factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.wait(self.chance.uniform(*CALM)):
            what = self.chance.choice(["server", "server", "database"])
            subprocess.run(self.commands[what], shell=True, check=True, capture_output=True)
            self.counts[f"crashes of the {what}"] += 1
        while not is_well(self.url):
            subprocess.run(self.commands["server"], shell=True, check=True, capture_output=True)


def play_all(url: str, commands: dict[str, str], rounds: int, seed: int) -> None:
    """Play rounds, print what came of their events, and exit if one is not where it should be."""
    began = time.monotonic()
    server = RealServer(url)
    ends: Counter[str] = Counter()
    crasher = Crasher(url, commands, random.Random(seed), ends)
    crashing = threading.Thread(target=crasher.run)
    with ExitStack() as stack:

        def play_some(seeds: range) -> list[Round]:
            played: list[Round] = []
            with Nursery() as nursery:
                for one in seeds:
                    folder = Path(tempfile.mkdtemp(dir=base))
                    kind = ("SQLite", "Redis")[one % 2]
                    settings = attrs.evolve(
                        stack.enter_context(settings_of(kind, folder)),
                        waits=WAITS,
                        longest_life=LONGEST_LIFE,
                        flush_seconds=FLUSH_SECONDS,
                    )
                    played.append(run(one, server, nursery, settings))
            return played

        base = stack.enter_context(tempfile.TemporaryDirectory())
        crashing.start()
        stack.callback(crashing.join)
        stack.callback(crasher.stopping.set)
        shares = [range(seed + first, seed + rounds, AT_ONCE) for first in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            played = [one for some in threads.map(play_some, shares) for one in some]
        crasher.stopping.set()
        crashing.join()
        problems: list[str] = []
        for one in played:
            try:
                one.check(server)
            except ProofError as problem:
                problems.append(str(problem))
            ends += one.ends
    ends["users whose marks at a point are stored half"] = server.half_stored
    report(rounds, seed, began, ends, problems)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host_url", help="the server's address")
    parser.add_argument("--crash-server", required=True, help="kills it and starts it again")
    parser.add_argument("--crash-database", required=True, help="kills it and starts it again")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    commands = {"server": asked.crash_server, "database": asked.crash_database}
    play_all(asked.host_url, commands, asked.rounds, asked.seed)


if __name__ == "__main__":
    main()
