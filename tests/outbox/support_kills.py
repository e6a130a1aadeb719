"""Rounds in which processes hand events over, deliver them, and are killed; and what became of all.

A round has a server that misbehaves, a store, and a few processes one after the other, each of
which is killed or stopped at a random moment. Then the server is well again, and a last process
delivers what is left. After that, each event that was handed over must have arrived, or stand in
the outbox with its state.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Protocol

import attrs

from tests.outbox.support_kills_child import (
    BETWEEN,
    METRIC,
    WITHIN,
    Job,
    open_store,
    reward_key_of,
)
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import OutboxEventState

ROOT = Path(__file__).parent.parent.parent
SET_ASIDE = (OutboxEventState.UNDECIDED, OutboxEventState.REFUSED, OutboxEventState.EXPIRED)
EVENTS = 12
"""How many events each process hands over, about."""

USERS = 3
LONGEST_LIFE = 0.5
"""By when a process is killed, in seconds after its start."""

ADAPTIVE = 5
"""No more processes than this reward, since each has an experiment of its own to do so."""


class Nursery:
    """Starts processes of ``support_kills_child``, which are children of one that is its own."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def __enter__(self) -> Nursery:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.outbox.support_kills_child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        too_long = threading.Timer(60, self._program.kill)
        too_long.start()
        with self._program:
            for process in [*self._running]:
                os.kill(process, signal.SIGKILL)
                self.wait(process)
        too_long.cancel()

    def start(self, job: Job) -> int:
        """Start a process; return its id."""
        process = self._ask(attrs.asdict(job))
        self._running.add(process)
        return process

    def wait(self, process: int) -> int:
        """Wait until a process has ended; return its exit code, negative for a signal's."""
        status = self._ask(process)
        self._running.remove(process)
        return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _ask(self, asked: object) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps(asked), file=self._program.stdin, flush=True)
        return int(self._program.stdout.readline())


class Misbehaving(Protocol):
    """A server that a round disturbs.

    ``applied`` returns the keys of what it applied of these events, and of whatever else it has of
    their users; in their order, but for those kinds of which it ``keeps_no_order``.
    """

    url: str
    adaptive: Sequence[tuple[str, str]]
    keeps_no_order: frozenset[str]

    def disturb(self, chance: random.Random) -> None: ...

    def heal(self) -> None: ...

    def applied(self, events: Sequence[HandedOver]) -> list[str]: ...


class LocalServer:
    """A ``LocalUpgrade`` on loopback."""

    adaptive: Sequence[tuple[str, str]] = [("adaptive", str(number)) for number in range(ADAPTIVE)]
    keeps_no_order: frozenset[str] = frozenset()

    def __init__(self, upgrade: LocalUpgrade, url: str) -> None:
        self._upgrade = upgrade
        self.url = url
        upgrade.experiment(*BETWEEN, conditions=["control", "treatment"])
        upgrade.experiment(
            *WITHIN,
            conditions=["first", "second", "third"],
            unit="within-subjects",
            order="ordered round robin",
        )
        for point in self.adaptive:
            upgrade.experiment(*point, conditions=["plain", "rich"], adaptive=True)
        group_class, group_key, metric = METRIC
        upgrade.metric(metric, group_class=group_class, group_key=group_key)

    @classmethod
    @contextmanager
    def serving(cls) -> Generator[LocalServer, None, None]:
        upgrade = LocalUpgrade()
        with upgrade.serve() as url:
            yield cls(upgrade, url)

    def disturb(self, chance: random.Random) -> None:
        """Have some of the next calls go wrong."""
        for _ in range(chance.randrange(6)):
            endpoint = chance.choice(["mark", "mark", "log", "reward", "init", "assign"])
            fault = chance.randrange(6)
            if fault == 0:
                self._upgrade.hang(endpoint=endpoint, times=1)
            elif fault == 1:
                self._upgrade.drop(endpoint=endpoint, times=1)
            elif fault == 2:
                self._upgrade.drop(applied=True, endpoint=endpoint, times=1)
            elif fault == 3:
                self._upgrade.slow(chance.uniform(0.1, 0.8), endpoint=endpoint, times=1)
            else:
                status = chance.choice([500, 500, 503, 502, 429, 400])
                self._upgrade.fail_next(endpoint, status=status, times=chance.randint(1, 3))
        if chance.random() < 0.2:
            self._upgrade.down()
            time.sleep(chance.uniform(0.05, 0.2))
            self._upgrade.up()

    def heal(self) -> None:
        self._upgrade.up()

    def applied(self, events: Sequence[HandedOver]) -> list[str]:
        keys = [
            key_of(request.endpoint, request.user, request.json)
            for request in self._upgrade.requests
            if request.status == 200
        ]
        return [key for key in keys if key is not None]


def key_of(endpoint: str, user: str | None, body: Any) -> str | None:
    """Return the key of what a request writes, if it writes anything."""
    if endpoint == "mark":
        return str(body["uniquifier"])
    if endpoint == "log":
        return str(body["value"][0]["metrics"]["groupedMetrics"][0]["groupUniquifier"])
    if endpoint == "reward":
        return reward_key_of(str(user), body["experimentId"], body["rewardValue"])
    return None


@attrs.frozen
class Settings:
    """What a round is, beside its seed.

    ``store`` is as in ``Job``. ``fills_disk`` limits how large a file may grow for some processes,
    ``stops`` has some of them stopped past their leases instead of killed, and go on later;
    ``restart_store`` is called in the midst of others.
    """

    store: tuple[str, str, str]
    folder: Path
    fills_disk: bool = False
    stops: bool = False
    restart_store: Callable[[], None] | None = None
    waits: dict[str, float] = attrs.field(factory=dict[str, float])
    lease: float = 0.8
    longest_life: float = LONGEST_LIFE
    flush_seconds: float = 40.0


class ProofError(AssertionError):
    """Something that was handed over is gone, or was counted twice, or overtook another."""


@attrs.frozen
class Round:
    """A round that was played, and how its processes and events ended."""

    seed: int
    settings: Settings
    journal: Path
    ends: Counter[str]

    def check(self, server: Misbehaving) -> None:
        """Count the ends of all events; raise a ``ProofError`` where one is wrong."""
        problems = problems_of(server, self.settings, self.journal, self.ends)
        if problems:
            log = self.journal.with_suffix(".log")
            said = log.read_text(encoding="utf-8").splitlines()[-200:] if log.exists() else []
            about = f"seed {self.seed}, {self.settings}:"
            raise ProofError("\n".join([about, *problems, "", *said]))


def play(seed: int, server: Misbehaving, nursery: Nursery, settings: Settings) -> Counter[str]:
    """Play a round; return how many events had which end. A ``ProofError`` tells what is wrong."""
    played = run(seed, server, nursery, settings)
    played.check(server)
    return played.ends


def run(seed: int, server: Misbehaving, nursery: Nursery, settings: Settings) -> Round:
    """Play a round, but for the comparison of what was handed over with what arrived."""
    chance = random.Random(seed)
    processes = chance.randint(2, 4)
    stopped: list[int] = []
    journal = settings.folder / f"{seed}.journal"
    ends: Counter[str] = Counter()

    def job(number: int, events: int, flush_seconds: float, **more: Any) -> Job:
        return Job(
            name=f"{seed}-{number}",
            url=server.url,
            store=settings.store,
            journal=str(journal),
            seed=chance.randrange(2**32),
            users=[f"{seed}-user-{user}" for user in range(USERS)],
            events=events,
            flush_seconds=flush_seconds,
            adaptive=server.adaptive[number] if server.adaptive else None,
            max_event_age=chance.choice([3600.0, 3600.0, 3600.0, 1.5]),
            waits=settings.waits,
            **more,
        )

    for number in range(processes):
        server.disturb(chance)
        most = _size_of(settings.folder) + chance.randrange(30_000) if settings.fills_disk else 0
        fills = number > 0 and (number == 1 or chance.random() < 0.7)
        process = nursery.start(
            job(number, chance.randrange(2, 2 * EVENTS), 5.0, most_bytes=most if fills else 0)
        )
        if settings.restart_store is not None and (number == 0 or chance.random() < 0.7):
            time.sleep(chance.uniform(0.0, settings.longest_life / 2))
            settings.restart_store()
        time.sleep(chance.uniform(0.0, settings.longest_life))
        if settings.stops and (number == 0 or chance.random() < 0.7):
            os.kill(process, signal.SIGSTOP)
            stopped.append(process)
            time.sleep(chance.uniform(0.0, 2 * settings.lease))
        else:
            os.kill(process, signal.SIGKILL)
            ends[f"process {_shown_exit(nursery.wait(process))}"] += 1
    server.heal()
    for process in stopped:
        os.kill(process, signal.SIGCONT)
    last = nursery.start(job(processes, 3, settings.flush_seconds))
    for process in stopped:
        ends[f"stopped process {_shown_exit(nursery.wait(process))}"] += 1
    assert nursery.wait(last) == 0, f"the last process failed; seed {seed}"
    return Round(seed, settings, journal, ends)


def _shown_exit(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed"
    return "done" if code == 0 else f"failed with {code}"


def _size_of(folder: Path) -> int:
    """Return the size of the largest file, which is not less than what opening a store writes."""
    return max([100_000, *(path.stat().st_size for path in folder.iterdir())])


@attrs.define
class HandedOver:
    """What the journal tells of an event: ``event_id`` once it was handed over for sure.

    ``state`` is what it has in the outbox, if it is there.
    """

    key: str
    kind: str
    process: str
    user: str
    is_repeatable: bool
    event_id: str | None = None
    state: OutboxEventState | None = None


def problems_of(
    server: Misbehaving, settings: Settings, journal: Path, ends: Counter[str]
) -> list[str]:
    """Compare what was handed over with what arrived and what stands in the outbox."""
    events, order = _read(journal)
    states = _states(server.url, settings.store)
    for event in events.values():
        event.state = None if event.event_id is None else states.get(event.event_id)
    applied = server.applied([*events.values()])
    times = Counter(applied)
    problems = [f"{key} was applied, and nobody handed it over" for key in times.keys() - events]
    for event in events.values():
        state, arrived = event.state, times[event.key]
        if event.event_id is None:
            end = "handing over was cut off" + (", arrived" if arrived else "")
        elif state is None:
            end = "arrived" if arrived else "gone"
        else:
            end = f"{state}, {'arrived' if arrived else 'not arrived'}"
        ends[end] += 1
        if end == "gone" or (state is not None and state not in SET_ASIDE):
            problems.append(f"{event} is {end}")
        if arrived > 1 and not event.is_repeatable:
            problems.append(f"{event} was applied {arrived} times")
        if arrived and state in (OutboxEventState.REFUSED, OutboxEventState.EXPIRED):
            problems.append(f"{event} is {state}, but it was applied")
    accepted = [
        event
        for event in order
        if event.event_id not in states and event.kind not in server.keeps_no_order
    ]
    first = {key: number for number, key in reversed([*enumerate(applied)])}
    latest: dict[tuple[str, str], HandedOver] = {}
    for event in accepted:
        # A stopped process may have handed over what it writes down after others did.
        line = event.user, event.process if settings.stops else ""
        before = latest.get(line)
        if before is not None and first.get(event.key, -1) < first.get(before.key, -1):
            problems.append(f"{event} overtook {before}")
        latest[line] = event
    return problems


def _read(journal: Path) -> tuple[dict[str, HandedOver], list[HandedOver]]:
    """Return all events by key, and those that were handed over for sure, in order."""
    events: dict[str, HandedOver] = {}
    order: list[HandedOver] = []
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    for line in lines:
        entry = HandedOver(**json.loads(line))
        events[entry.key] = entry
        if entry.event_id is not None:
            order.append(entry)
    return events, order


def _states(url: str, store: tuple[str, str, str]) -> dict[str, OutboxEventState]:
    """Return the state of each event in the outbox."""
    with UpgradeConnection(url, outbox=open_store(*store), flush_at_exit=0.1) as connection:
        return {
            event.id: event.state
            for state in OutboxEventState
            for event in connection.outbox.events_sync(state, limit=100_000)
        }
