"""``upgrade-client assign``: conditions of one user, or of all users of a file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Callable

import attrs
import click

from .._delivering import outbox_problem
from .._rules import arguments
from .._rules.environment import OUTBOX
from .._signals import STOPPED, run_until_ctrl_c
from ..assignment import Assignment
from ..batch import BatchRow, BatchUser, decide_many
from ..connection import UpgradeConnection
from ..decision import Decision
from .files import (
    Done,
    FileError,
    cells_of_any_length,
    count_lines,
    done_before,
    format_of,
    open_rows,
    read_users,
    row_writer,
)
from .output import (
    FAILED,
    SOME_FAILED,
    errors_reported,
    json_option,
    print_json,
    print_table,
)
from .progress import Progress, shown_progress
from .settings import Settings, settings_options

_FILE = click.Path(dir_okay=False, path_type=Path)
_PATIENT_SECONDS = 30.0
_PATIENT_RETRIES = 5
_FLUSH_SECONDS = 1.0


@click.command()
@click.argument("user", required=False)
@click.argument("site", required=False)
@click.argument("target", default="")
@click.option(
    "--users",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Decide for the users of a .csv or .jsonl file instead of one.",
)
@click.option(
    "--point",
    "points",
    nargs=2,
    multiple=True,
    metavar="SITE TARGET",
    help='With --users: a decision point; may be given several times. "" is no target.',
)
@click.option("--out", type=_FILE, help="With --users: the .csv or .jsonl file to write.")
@click.option("--resume", is_flag=True, help="Go on where the rows of --out end.")
@click.option(
    "--mark",
    is_flag=True,
    help="With --users: mark what is decided, by the --outbox, once for this file of users.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="With --users: how many users are asked for at a time.",
)
@settings_options
@json_option
@click.pass_context
def assign(
    context: click.Context,
    user: str | None,
    site: str | None,
    target: str,
    users: Path | None,
    points: tuple[tuple[str, str], ...],
    out: Path | None,
    resume: bool,
    mark: bool,
    concurrency: int,
    settings: Settings,
    as_json: bool,
) -> None:
    """Print what USER is assigned, everywhere or at one decision point.

    With --users, all users of a file at the points given: a row for each. Users with groups in the
    file are made known to the server; nobody is marked without --mark.
    """
    with errors_reported():
        if users is None:
            _check_absent(points=points, out=out, resume=resume, mark=mark)
            if user is None:
                raise ValueError("give a USER, or --users FILE")
            _assign_one(settings, user, site, target, as_json)
            return
        _check_absent(USER=user)
        batch = _Batch(settings, users, points, out, concurrency, mark)
        context.exit(batch.run(resume, "jsonl" if as_json else "csv"))


def _check_absent(**given: object) -> None:
    for name, value in given.items():
        if value:
            option = name if name.isupper() else f"--{name.rstrip('s')}"
            raise ValueError(f"{option} goes {'without' if name.isupper() else 'with'} --users")


# ---- One user ----


def _assign_one(
    settings: Settings, user: str, site: str | None, target: str, as_json: bool
) -> None:
    with settings.connection(flush_at_exit=0.0) as connection:  # nothing is delivered
        client = connection.client(user, settings.context)
        if site is None:
            assignments = sorted(
                client.get_all_experiment_conditions_sync(), key=lambda one: (one.site, one.target)
            )
            _print_assignments(assignments, as_json)
            return
        decision = client.decide_sync(site, target)
    if decision.error is not None:
        raise decision.error
    _print_decision(decision, as_json)


def _print_assignments(assignments: list[Assignment], as_json: bool) -> None:
    if as_json:
        print_json([assignment.as_dict() for assignment in assignments])
        return
    rows = [
        [
            one.site,
            one.target,
            one.get_condition(),
            payload.value if (payload := one.get_payload()) else "",
            one.get_experiment_type() or "",
            one.experiment_id or "",
        ]
        for one in assignments
    ]
    print_table(["site", "target", "condition", "payload", "type", "experiment"], rows)


def _print_decision(decision: Decision, as_json: bool) -> None:
    if as_json:
        print_json(decision.as_dict())
        return
    payload = decision.payload.value if decision.payload else ""
    print_table(
        ["site", "target", "condition", "payload", "reason"],
        [[decision.site, decision.target, decision.condition, payload, decision.reason]],
    )


# ---- The users of a file ----


@attrs.frozen
class _Batch:
    """All users of a file at a few points, and where their rows go."""

    settings: Settings
    users: Path
    points: tuple[tuple[str, str], ...]
    out: Path | None
    concurrency: int
    mark: bool

    def run(self, resume: bool, standard_format: str) -> int:
        """Write the rows, and return the exit status."""
        format_of(self.users)
        if not self.points:
            raise ValueError("--users goes with one --point SITE TARGET or more")
        if self.mark and self.settings.server.outbox_url in ("", "memory:"):
            raise ValueError(f"--mark goes with an --outbox ({OUTBOX}) that outlives this command")
        if resume and self.out is None:
            raise ValueError("--resume goes with --out, after whose rows it goes on")
        for point in self.points:
            arguments.point(*point)
        connection = self._connection()  # nothing is wrong once there is a file of rows
        try:
            with cells_of_any_length(), self._rows_file(resume, standard_format) as rows:
                expected = count_lines(self.users) - (format_of(self.users) == "csv")
                with shown_progress(
                    expected, rows.users_done, rows.users_failed, rows.file
                ) as progress:
                    return self._run(connection, rows, progress)
        except FileError as error:
            raise click.ClickException(str(error)) from None

    def _run(self, connection: UpgradeConnection, rows: _Rows, progress: Progress) -> int:
        try:
            run_until_ctrl_c(self._decide(connection, rows, progress))
        except KeyboardInterrupt:
            progress.stopped(can_resume=self.out is not None)
            return STOPPED
        finally:
            rows.file.flush()
        progress.ended()
        if progress.any_failed:
            return SOME_FAILED
        return FAILED if progress.outbox_failed else 0

    def _connection(self) -> UpgradeConnection:
        return self.settings.connection(
            max_connections=self.concurrency,
            retries=_PATIENT_RETRIES,
            timeout=_PATIENT_SECONDS,
            breaker=False,
            **({} if self.mark else {"outbox": None}),
        )

    async def _decide(self, connection: UpgradeConnection, rows: _Rows, progress: Progress) -> None:
        """Write a row for each user and point; at least once a second they reach the file."""
        async with connection:
            decided = decide_many(
                connection,
                self.settings.context,
                rows.users,
                self.points,
                concurrency=self.concurrency,
                mark=self.mark,
                job=str(self.users.resolve()) if self.mark else "",
            )
            flushed = time.monotonic()
            count, has_failed = 0, False
            async for row in decided:
                rows.write(row)
                count += 1
                has_failed = has_failed or row.error is not None
                if count % len(self.points) == 0:
                    progress.add(failed=has_failed)
                    has_failed = False
                    if time.monotonic() - flushed > _FLUSH_SECONDS:
                        rows.file.flush()
                        flushed = time.monotonic()
            if self.mark:
                await self._deliver(connection, progress)

    async def _deliver(self, connection: UpgradeConnection, progress: Progress) -> None:
        try:
            await connection.outbox.counts()  # a store that is away is not waited for
            await connection.outbox.flush(_PATIENT_SECONDS)
            progress.note_events(await connection.outbox.counts())
        except Exception as error:  # a store may raise anything
            progress.note_outbox_failure(outbox_problem(self.settings.server.outbox_url, error))

    @contextmanager
    def _rows_file(self, resume: bool, standard_format: str) -> Generator[_Rows, None, None]:
        """Open the file of rows, and find the users that it lacks."""
        users = read_users(self.users)
        first = next(users, None)  # before there are rows: the file may be wrong
        users = users if first is None else chain([first], users)
        if self.out is None:
            yield _Rows(
                users, 0, 0, sys.stdout, row_writer(sys.stdout, standard_format, begins=True)
            )
            return
        kind = format_of(self.out)
        done = Done(0, 0, 0, users)
        if self.out.exists():
            if not resume:
                raise ValueError(f"{self.out} exists: go on with --resume, or name another file")
            if self.out.samefile(self.users):
                raise ValueError("--out must be another file than --users")
            done = done_before(self.out, users, self.points)
            os.truncate(self.out, done.end)
        with open_rows(self.out, "a") as file:
            write = row_writer(file, kind, begins=done.end == 0)
            yield _Rows(done.rest, done.users, done.failed, file, write)


@attrs.frozen
class _Rows:
    """The users whose rows are wanted, how many are done and failed, and where their rows go."""

    users: Iterator[BatchUser]
    users_done: int
    users_failed: int
    file: IO[str]
    write: Callable[[BatchRow], object]
