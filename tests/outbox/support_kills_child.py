"""A process that hands events over and delivers them, until it is done or somebody kills it.

Run as a program, this forks such a process for each line of its input, which takes a moment instead
of the start of an interpreter; see ``Nursery`` in ``support_kills``. Before and after each handing
over, the process adds a line to a journal, from which the test knows what to look for.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, NoReturn, Optional

import attrs

from upgrade_client_lib import (
    OutboxError,
    UpgradeApiError,
    UpgradeClient,
    UpgradeConnection,
)
from upgrade_client_lib._outbox import deliverer, delivery
from upgrade_client_lib._rules import delivery as rules
from upgrade_client_lib.stores import RedisStore, SQLiteStore
from upgrade_client_lib.types import BinaryRewardValue, OutboxEvent

LONGEST = 60
"""No process lives for longer, in seconds, but for what it delivers at the end."""

CONTEXT = "my-app"
BETWEEN = ("home", "banner")
WITHIN = ("within", "ordered-round-robin")
METRIC = ("masteryWorkspace", "calculating_area_various_figures", "timeSeconds")
"""Class and key of a group, and a metric in it."""

GROUPS = {"class": ["class-1"]}


@attrs.frozen
class Waits:
    """How long the library waits, in seconds, in place of its own times."""

    lease: float = 0.8
    send: float = 0.4
    quiet: float = 0.4
    settle: float = 5.0
    poll: float = 0.05
    line_delay: float = 0.03
    pause: float = 0.08

    def set(self) -> None:
        """Have the library of this process wait so long."""
        _set(delivery, LEASE_SECONDS=self.lease, SEND_SECONDS=self.send, SETTLE_SECONDS=self.settle)
        _set(deliverer, LEASE_SECONDS=self.lease)
        _set(deliverer, POLL_SECONDS=self.poll, STORE_PAUSE_SECONDS=self.poll)
        _set(rules, QUIET_SECONDS=self.quiet, PAUSES=(self.pause,))
        _set(rules, LINE_DELAYS=(self.line_delay,) * len(rules.LINE_DELAYS))


def _set(module: ModuleType, **values: object) -> None:
    for name, value in values.items():
        assert hasattr(module, name), f"{module.__name__} has no {name}"
        setattr(module, name, value)


@attrs.frozen
class Job:
    """What a process does: it hands ``events`` over, and delivers until nothing waits.

    ``name`` is no other process's. ``store`` is a kind of store and where that is. ``adaptive`` is
    a decision point whose experiment takes rewards, ``most_bytes`` how large a file may grow.
    """

    name: str
    url: str
    store: tuple[str, str, str]
    journal: str
    seed: int
    users: Sequence[str]
    events: int
    flush_seconds: float
    adaptive: Optional[tuple[str, str]] = None  # noqa: UP045 - read at run time, on 3.9 too
    max_event_age: float = 3600.0
    most_bytes: int = 0
    waits: dict[str, float] = attrs.field(factory=dict[str, float])

    @property
    def log(self) -> Path:
        return Path(self.journal).with_suffix(".log")


def open_store(kind: str, address: str, prefix: str) -> SQLiteStore | RedisStore:
    if kind == "sqlite":
        return SQLiteStore(address)
    return RedisStore(address, prefix=prefix, timeout=2.0)


def do(job: Job) -> None:
    """Hand over and deliver."""
    signal.alarm(LONGEST + int(job.flush_seconds))
    logging.basicConfig(filename=job.log, level=logging.INFO, format=f"{job.name} %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    Waits(**job.waits).set()
    if job.most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.most_bytes, job.most_bytes))
    connection = UpgradeConnection(
        job.url,
        outbox=open_store(*job.store),
        timeout=Waits(**job.waits).send,
        max_event_age=job.max_event_age,
        breaker=False,
    )
    _Work(job, connection).hand_over_all()
    give_up = time.monotonic() + job.flush_seconds
    while time.monotonic() < give_up:
        with suppress(Exception):  # the store fails, or somebody has it locked
            if not connection.outbox.flush_sync(0.5):
                break
    connection.close()


class _Work:
    """Hands the events of one job over."""

    def __init__(self, job: Job, connection: UpgradeConnection) -> None:
        self._job = job
        self._chance = random.Random(job.seed)
        self._rewarded: set[str] = set()
        self._journal = os.open(job.journal, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._clients = {
            user: connection.client(user, CONTEXT, group=GROUPS, working_group={"class": "class-1"})
            for user in job.users
        }

    def hand_over_all(self) -> None:
        kinds = [self._mark_between, self._mark_within, self._mark_within, self._log, self._reward]
        for number in range(self._job.events):
            user = self._chance.choice(self._job.users)
            hand_over = self._chance.choice(kinds)
            with suppress(UpgradeApiError):  # nothing is known of the user, so nothing is shown
                hand_over(user, self._clients[user], f"{self._job.name}-{number}")
            time.sleep(self._chance.uniform(0.0, 0.02))

    def _mark_between(self, user: str, client: UpgradeClient, key: str) -> None:
        decision = client.decide_sync(*BETWEEN)
        if decision.assignment is not None:
            self._add(
                "between", user, key, lambda: decision.mark_sync(uniquifier=key), is_repeatable=True
            )

    def _mark_within(self, user: str, client: UpgradeClient, key: str) -> None:
        assignment = client.get_decision_point_assignment_sync(*WITHIN)
        if assignment is not None:
            self._add(
                "within",
                user,
                key,
                lambda: assignment.enqueue_mark_sync("condition applied", uniquifier=key),
            )

    def _log(self, user: str, client: UpgradeClient, key: str) -> None:
        group_class, group_key, metric = METRIC
        entry = {
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "metrics": {
                "groupedMetrics": [
                    {
                        "groupClass": group_class,
                        "groupKey": group_key,
                        "groupUniquifier": key,
                        "attributes": {metric: 1},
                    }
                ]
            },
        }
        self._add("log", user, key, lambda: client.enqueue_log_sync([entry]), is_repeatable=True)

    def _reward(self, user: str, client: UpgradeClient, key: str) -> None:
        """Mark at an adaptive experiment and reward, for each value and process once at most."""
        if self._job.adaptive is None:
            return
        assignment = client.get_decision_point_assignment_sync(*self._job.adaptive)
        if assignment is None:
            return
        self._add(
            "between",
            user,
            f"{key}-first",
            lambda: assignment.enqueue_mark_sync("condition applied", uniquifier=f"{key}-first"),
            is_repeatable=True,
        )
        number = int(key.rpartition("-")[2])
        value = BinaryRewardValue.FAILURE if number % 2 else BinaryRewardValue.SUCCESS
        reward_key = reward_key_of(user, assignment.experiment_id, value)
        if reward_key not in self._rewarded:
            self._rewarded.add(reward_key)
            self._add(
                "reward",
                user,
                reward_key,
                lambda: client.enqueue_reward_sync(value, assignment.experiment_id),
            )

    def _add(
        self,
        kind: str,
        user: str,
        key: str,
        hand_over: Callable[[], Any],
        *,
        is_repeatable: bool = False,
    ) -> None:
        """Hand an event over, and write down when that was begun and that it was done."""
        entry = {
            "key": key,
            "kind": kind,
            "process": self._job.name,
            "user": user,
            "is_repeatable": is_repeatable,
        }
        self._write(entry)
        with suppress(OutboxError):
            event = hand_over()
            if isinstance(event, OutboxEvent):
                self._write({**entry, "event_id": event.id})

    def _write(self, entry: dict[str, Any]) -> None:
        os.write(self._journal, f"{json.dumps(entry)}\n".encode())


def reward_key_of(user: str, experiment_id: str | None, value: str) -> str:
    """Return what tells a reward from others: it has no uniquifier."""
    return f"{value} for {user} in {experiment_id}"


def main() -> None:
    """Fork a process for each job that is read, and wait for each process id that is read."""
    logging.getLogger("upgrade_client_lib").addHandler(logging.NullHandler())
    with suppress(UpgradeApiError):  # what the first call imports is imported once
        UpgradeConnection("http://127.0.0.1:1", retries=0).client("user", CONTEXT).init_sync()
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            _, status = os.waitpid(asked, 0)
            print(status, flush=True)
            continue
        process = os.fork() or _live(Job(**asked))
        print(process, flush=True)


def _live(job: Job) -> NoReturn:
    do(job)
    os._exit(0)


if __name__ == "__main__":
    main()
