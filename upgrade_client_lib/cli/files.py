"""Files of users and of rows, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO, Callable

import attrs

from .._narrow import object_or_none
from ..batch import BatchRow, BatchUser

COLUMNS = ("user", "site", "target", "condition", "payload", "reason", "error")
Key = tuple[str, str, str]
"""Whose row it is: user, site and target."""


class FileError(ValueError):
    """A file that is not what it should be."""


_GROUP, _WORKING_GROUP = "group.", "working_group."
_SEPARATOR = ";"


def format_of(path: Path) -> str:
    """Return "csv" or "jsonl", by the ending of a file's name; a ``ValueError`` for others."""
    ending = path.suffix.lower().lstrip(".")
    if ending not in ("csv", "jsonl"):
        raise ValueError(f"{path.name} must end in .csv or .jsonl")
    return ending


@contextmanager
def cells_of_any_length() -> Generator[None, None, None]:
    """Have the ``csv`` module read longer cells than 131,072 characters, in the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# ---- Users ----


def read_users(path: Path) -> Iterator[BatchUser]:
    """Yield the users of a file; a ``FileError`` names the line that is wrong."""
    read = _users_of_csv if format_of(path) == "csv" else _users_of_json_lines
    # What is not UTF-8 is found in its line, after the users before it.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            yield from read(_lines_of_utf_8(file))
        except ValueError as error:
            raise FileError(f"{path.name}: {error}") from None


def count_lines(path: Path) -> int:
    """Return how many lines a file has, about as many as it has users; 0 of a pipe."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _lines_of_utf_8(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            line.encode()
        except UnicodeEncodeError:
            raise ValueError(f"line {number} is not UTF-8") from None
        yield line


def _users_of_csv(lines: Iterable[str]) -> Iterator[BatchUser]:
    rows = csv.reader(lines, strict=True)
    try:
        nothing: list[str] = []
        columns = next(rows, nothing)
        if "user" not in columns:
            raise ValueError('the first line must name the columns, and one must be "user"')
        for column, times in Counter(columns).items():
            if times > 1 and (column == "user" or _group_type(column)):
                raise ValueError(f"the first line names the column {column!r} {times} times")
            if column.startswith(("group", "working_group")) and not _group_type(column):
                raise ValueError(f"the column {column!r} must name a group type, as in group.class")
        for row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                raise ValueError(f"line {rows.line_num} has {len(row)} cells, not {len(columns)}")
            yield _user_of_cells(dict(zip(columns, row)))
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num} is not CSV: {error}") from None


def _group_type(column: str) -> str:
    for prefix in (_GROUP, _WORKING_GROUP):
        if column.startswith(prefix):
            return column[len(prefix) :]
    return ""


def _user_of_cells(cells: Mapping[str, str]) -> BatchUser:
    has_groups = False
    group: dict[str, list[str]] = {}
    working_group: dict[str, str] = {}
    for column, cell in cells.items():
        group_type = _group_type(column)
        has_groups = has_groups or bool(group_type)
        if group_type and cell:
            if column.startswith(_GROUP):
                group[group_type] = cell.split(_SEPARATOR)
            else:
                working_group[group_type] = cell
    if not has_groups:
        return BatchUser(cells["user"])
    return BatchUser(cells["user"], group=group, working_group=working_group)


def _users_of_json_lines(lines: Iterable[str]) -> Iterator[BatchUser]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                value: Any = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is not JSON: {error}") from None
            fields = {"user": value} if isinstance(value, str) else object_or_none(value) or {}
            user: Any = fields.get("user")
            if not isinstance(user, str):
                raise ValueError(
                    f'line {number} must be a text, or an object with a text as its "user"'
                )
            groups: dict[str, Any] = {name: fields.get(name) for name in ("group", "working_group")}
            yield BatchUser(user, **groups)


# ---- Rows ----


def row_writer(file: IO[str], kind: str, *, begins: bool) -> Callable[[BatchRow], object]:
    """Return what writes rows to a file; one of CSV that begins gets the columns first."""
    if kind == "jsonl":
        return lambda row: file.write(json.dumps(row.as_dict()) + "\n")
    cells = csv.writer(file)
    if begins:
        cells.writerow(COLUMNS)

    def write(row: BatchRow) -> None:
        values = {**row.as_dict(), "payload": None if row.payload is None else row.payload.value}
        cells.writerow([values[name] for name in COLUMNS])

    return write


def open_rows(path: Path, mode: str) -> IO[str]:
    """Open a file for rows, so that each is read again as it was written."""
    return path.open(mode, encoding="utf-8", errors="surrogatepass", newline="")


_FIRST_LINES = {"csv": ",".join(COLUMNS).encode(), "jsonl": b'{"user": "'}
"""How files of rows begin."""


@attrs.frozen
class Done:
    """How many users have all their rows in a file, and how many of them failed.

    ``end`` is where these rows end, and ``rest`` are the other users.
    """

    users: int
    failed: int
    end: int
    rest: Iterator[BatchUser]


def done_before(path: Path, users: Iterator[BatchUser], points: Sequence[tuple[str, str]]) -> Done:
    """Tell what a file of rows has of these users and points, in their order.

    A writer that was killed leaves at most one row incomplete, and one user without all rows. A
    ``FileError`` where the file has a row that does not come next, or something else.
    """
    done, failed, end, place = 0, 0, 0, 0
    has_failed = False
    user: BatchUser | None = None
    with path.open("rb") as file:
        for key, is_failure, row_end in _complete_rows(file, path):
            if key is not None:
                if place == 0:
                    user, has_failed = next(users, None), False
                has_failed = has_failed or is_failure
                if user is None or key != (user.user_id, *points[place]):
                    raise FileError(
                        f"{path.name} is not of these users and points: a row is of {key!r}, where"
                        f" the next user is {user.user_id if user else None!r}"
                    )
                place = (place + 1) % len(points)
            if place == 0:
                done, end = done + (key is not None), row_end
                failed += key is not None and has_failed
        if user is None and end == 0:  # at most the beginning of the first line was written
            file.seek(0)
            first_line = _FIRST_LINES[format_of(path)]
            if not first_line.startswith(file.read(len(first_line))):
                raise _no_row(path)
    return Done(done, failed, end, users if place == 0 or user is None else chain([user], users))


def _complete_rows(file: BinaryIO, path: Path) -> Iterator[tuple[Key | None, bool, int]]:
    """Yield whose the rows are that were written wholly, which failed, and where each ends.

    ``None`` stands for the line with the columns.
    """
    lines = _WholeLines(file)
    try:
        if format_of(path) == "jsonl":
            for line in lines:
                row = json.loads(line)
                key: Key | None = (row["user"], row["site"], row["target"])
                yield key, row.get("error") is not None, lines.end
        else:
            for cells in csv.reader(lines, strict=True):
                if len(cells) != len(COLUMNS):
                    raise ValueError
                user, site, target, *_, error = cells
                key = None if tuple(cells) == COLUMNS else (user, site, target)
                yield key, error != "", lines.end
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as error:
        if not (isinstance(error, csv.Error) and lines.ended):  # the last row may be cut off
            raise _no_row(path) from None


def _no_row(path: Path) -> FileError:
    return FileError(f"{path.name} holds something that is no row")


class _WholeLines:
    """The lines of a file that end, and where the last one that was taken does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.end = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.end += len(line)
            yield line.decode("utf-8", "surrogatepass")
        self.ended = True
