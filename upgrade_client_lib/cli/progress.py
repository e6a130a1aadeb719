"""How far a batch is: a bar on standard error, and what to say at its end."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """How many users a second there are."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} users/s" if task.speed else "")


class Progress:
    """Counts users; ``failed`` are those who got no decision, or whose mark was not handed over."""

    def __init__(self, bar: Bar, expected: int, done: int, failed: int) -> None:
        self._bar = bar
        self._before = done
        self._failed_before = failed
        self._done = 0
        self.failed = 0
        self._events = ""
        self.outbox_failed = False
        self._task = bar.add_task("", total=max(expected, done), completed=done, failed="")

    def add(self, *, failed: bool) -> None:
        """Count a user."""
        self._done += 1
        if failed:
            self.failed += 1
            self._bar.update(self._task, failed=f"{self.failed:,} failed")
        self._bar.advance(self._task)

    @property
    def any_failed(self) -> bool:
        """Whether users failed, those of an earlier run included."""
        return self.failed + self._failed_before > 0

    def note_events(self, counts: Mapping[str, int]) -> None:
        """Note what is in the outbox, to be said at the end."""
        told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
        self._events = f"; in the outbox: {told or 'nothing'}"

    def note_outbox_failure(self, problem: str) -> None:
        """Note that the outbox failed after the last user, to be said at the end."""
        self.outbox_failed = True
        self._events = f"; {problem}"

    def stopped(self, *, can_resume: bool) -> None:
        """Say that it was stopped, and how it goes on."""
        how = "; the same command with --resume goes on from there" if can_resume else ""
        self._end(f"stopped after {self._before + self._done:,} users{how}")

    def ended(self) -> None:
        """Say how it ended."""
        earlier = f", after {self._before:,} earlier" if self._before else ""
        if self._failed_before:
            earlier += f", of whom {self._failed_before:,} failed"
        self._end(f"{self._done:,} users, {self.failed:,} failed{earlier}{self._events}")

    def _end(self, message: str) -> None:
        self._bar.stop()
        self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def shown_progress(
    expected: int, done: int, failed: int, rows: IO[str]
) -> Generator[Progress, None, None]:
    """Show the progress of about so many users, where standard error is a terminal.

    ``done`` and ``failed`` are those of an earlier run. Where ``rows`` go to a terminal too, they
    are what shows it.
    """
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}", markup=False),
    )
    is_hidden = not console.is_terminal or rows.isatty()
    with Bar(*columns, console=console, disable=is_hidden) as bar:
        yield Progress(bar, expected, done, failed)
