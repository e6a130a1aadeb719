"""What the rounds of kills look for: they notice each way in which an event may go wrong."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.outbox import support_soak
from tests.outbox.support_kills import (
    HandedOver,
    LocalServer,
    Nursery,
    ProofError,
    Round,
    Settings,
    problems_of,
)
from tests.outbox.support_kills_child import Job, open_store
from tests.support_children import needs_fork
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._outbox import deliverer
from upgrade_client_lib.testing import LocalUpgrade

HOST = "http://127.0.0.1:1"


class Recorded:
    """A server that tells what it was told to tell."""

    url = HOST
    adaptive: Sequence[tuple[str, str]] = ()
    keeps_no_order = frozenset({"between"})

    def __init__(self, *applied: str) -> None:
        self._applied = [*applied]

    def disturb(self, chance: random.Random) -> None: ...

    def heal(self) -> None: ...

    def applied(self, events: Sequence[HandedOver]) -> list[str]:
        return self._applied


def entry(key: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "kind": "log",
        "process": "1",
        "user": "user",
        "is_repeatable": False,
        **more,
    }


def done(key: str, **more: Any) -> dict[str, Any]:
    return entry(key, event_id=f"id of {key}", **more)


def problems(
    folder: Path, *entries: dict[str, Any], applied: Sequence[str] = (), stops: bool = False
) -> tuple[str, Counter[str]]:
    """What is said of a journal of these entries and a server that applied these keys."""
    journal = folder / "journal"
    journal.write_text("".join(f"{json.dumps(one)}\n" for one in entries), "utf-8")
    settings = Settings(("sqlite", str(folder / "outbox.db"), ""), folder, stops=stops)
    ends: Counter[str] = Counter()
    return "\n".join(problems_of(Recorded(*applied), settings, journal, ends)), ends


def test_all_is_well_where_each_event_arrived_in_order(tmp_path: Path) -> None:
    said, ends = problems(
        tmp_path, done("a"), entry("b"), done("c"), entry("d"), applied=["a", "b", "c"]
    )
    assert said == ""
    assert ends == {
        "arrived": 2,
        "handing over was cut off": 1,
        "handing over was cut off, arrived": 1,
    }


def test_an_event_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    assert "'a'" in problems(tmp_path, done("a"))[0]


def test_an_event_that_arrived_twice_is_a_problem_unless_it_may(tmp_path: Path) -> None:
    twice = ["a", "a"]
    assert "2 times" in problems(tmp_path, done("a"), applied=twice)[0]
    assert "2 times" in problems(tmp_path, entry("a"), applied=twice)[0]
    assert problems(tmp_path, done("a", is_repeatable=True), applied=twice)[0] == ""


def test_an_event_of_nobody_is_a_problem(tmp_path: Path) -> None:
    assert "nobody" in problems(tmp_path, applied=["a"])[0]


def test_an_event_that_overtook_another_is_a_problem(tmp_path: Path) -> None:
    others = done("c", user="another")
    assert "overtook" in problems(tmp_path, done("a"), done("b"), others, applied="cba")[0]
    unordered = done("b", kind="between")
    assert problems(tmp_path, done("a"), unordered, applied="ba")[0] == ""
    of_another_process = done("b", process="2")
    both = [done("a"), of_another_process]
    assert "overtook" in problems(tmp_path, *both, applied="ba")[0]
    assert problems(tmp_path, *both, applied="ba", stops=True)[0] == ""


@pytest.mark.parametrize(
    ("state", "arrived", "problem"),
    [
        ("undecided", True, ""),
        ("undecided", False, ""),
        ("refused", False, ""),
        ("refused", True, "was applied"),
        ("waiting", False, "waiting"),
    ],
)
def test_an_event_in_the_outbox_is_where_its_state_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, arrived: bool, problem: str
) -> None:
    monkeypatch.setattr(deliverer, "MAX_THREADS", 0)
    store = open_store("sqlite", str(tmp_path / "outbox.db"), "")
    with UpgradeConnection(HOST, outbox=store, flush_at_exit=0.01) as connection:
        client = connection.client("user", "my-app")
        event = client.enqueue_reward_sync("SUCCESS", "an id")
        held = store.take_event(HOST, "owner", 60.0)
        assert held is not None
        assert store.settle_event(HOST, held.id, "owner", state=state, data=held.data, delay=60.0)
    said, ends = problems(tmp_path, entry("a", event_id=event.id), applied=["a"] if arrived else [])
    assert problem in said
    assert bool(said) == bool(problem)
    assert sum(ends.values()) == 1


def test_a_round_that_went_wrong_tells_its_seed_and_what_its_processes_logged(
    tmp_path: Path,
) -> None:
    settings = Settings(("sqlite", str(tmp_path / "outbox.db"), ""), tmp_path)
    played = Round(12345, settings, tmp_path / "journal", Counter())
    for logged in (False, True):
        with pytest.raises(ProofError, match="seed 12345") as raised:
            played.check(Recorded("a"))
        assert ("it was logged" in str(raised.value)) == logged
        played.journal.with_suffix(".log").write_text("it was logged\n", "utf-8")


def a_job(folder: Path, url: str, **more: Any) -> Job:
    given: dict[str, Any] = {
        "store": ("sqlite", str(folder / "outbox.db"), ""),
        "flush_seconds": 0.0,
        **more,
    }
    journal = str(folder / "journal")
    return Job("job", url, journal=journal, seed=1, users=["user"], events=20, **given)


@needs_fork
@pytest.mark.parametrize("adaptive", [None, ("adaptive", "0")])
def test_a_process_marks_nothing_where_nothing_is_assigned(
    tmp_path: Path, adaptive: tuple[str, str] | None
) -> None:
    with LocalUpgrade().serve() as url, Nursery() as nursery:
        job = a_job(tmp_path, url, adaptive=adaptive, most_bytes=10**7)
        assert nursery.wait(nursery.start(job)) == 0
    entries = [json.loads(line) for line in Path(job.journal).read_text("utf-8").splitlines()]
    assert {one["kind"] for one in entries} == {"log"}


@needs_fork
def test_a_process_writes_down_what_it_could_not_hand_over(tmp_path: Path) -> None:
    with LocalServer.serving() as server, Nursery() as nursery:
        nowhere = ("sqlite", str(tmp_path / "nowhere" / "outbox.db"), "")
        job = a_job(tmp_path, server.url, store=nowhere, flush_seconds=0.1)
        assert nursery.wait(nursery.start(job)) == 0
    entries = [json.loads(line) for line in Path(job.journal).read_text("utf-8").splitlines()]
    assert {one["kind"] for one in entries} == {"between", "within", "log"}
    assert not any("event_id" in one for one in entries)


@needs_fork
def test_no_process_outlives_its_round(tmp_path: Path) -> None:
    with LocalServer.serving() as server:
        with Nursery() as nursery:
            process = nursery.start(a_job(tmp_path, server.url))
            os.kill(process, signal.SIGSTOP)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@needs_fork
def test_a_soak_counts_what_became_of_all_events(capsys: pytest.CaptureFixture[str]) -> None:
    support_soak.main(len(support_soak.KINDS), 300)
    said = capsys.readouterr().out
    assert "5 rounds from seed 300" in said
    assert " arrived\n" in said
    assert "       0 rounds that failed\n" in said


@needs_fork
def test_a_soak_fails_if_a_round_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Counter[str]:
        raise ProofError("it is gone; seed 5")

    monkeypatch.setattr(support_soak, "play", fail)
    with pytest.raises(SystemExit):
        support_soak.main(1, 5)
    said = capsys.readouterr().out
    assert "SQLite: it is gone; seed 5" in said
    assert "       1 rounds that failed\n" in said
