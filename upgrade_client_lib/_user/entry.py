"""What a store keeps of one user, and how that is written as bytes.

The bytes are one line of JSON with everything but the items of responses, then these items, each
as JSON of its own: an item is parsed when its decision point is asked for. Keys that a reader does
not know are ignored, so that the next release may add some; a change of meaning has another format
number, and an entry of another format counts as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from .. import _api
from .._rules.queues import PointKey
from .._rules.sharing import StoredGroups

FORMAT = 1

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StoredItems(Mapping[PointKey, _api.Item]):
    """The items of a response, each parsed when it is asked for."""

    __slots__ = ("_data", "_spans")

    def __init__(self, data: bytes, spans: Mapping[PointKey, tuple[int, int]]) -> None:
        self._data = data
        self._spans = spans

    def __getitem__(self, point: PointKey) -> _api.Item:
        start, end = self._spans[point]
        item: _api.Item = json.loads(self._data[start:end])
        return item

    def __iter__(self) -> Iterator[PointKey]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


@attrs.frozen
class StoredRecord:
    """A response to assign, and what marks did since; see ``Record``."""

    load_id: str
    answered_at: float
    items: Mapping[PointKey, _api.Item] = attrs.field(repr=False)
    advanced_by: Mapping[PointKey, int] = attrs.field(factory=dict[PointKey, int])
    invalidated: frozenset[PointKey] = frozenset()


@attrs.frozen
class StoredFlags:
    """A response to featureflag."""

    answered_at: float
    keys: tuple[str, ...]


@attrs.frozen
class StoredContext:
    """What is known of a user in one context; ``marks`` counts those that changed the record."""

    marks: int = 0
    record: StoredRecord | None = None
    flags: StoredFlags | None = None


@attrs.frozen
class Entry:
    """What is known of a user; that of an alias has the key of its root user's entry alone."""

    generation: int = 0
    groups: StoredGroups | None = None
    contexts: Mapping[str, StoredContext] = attrs.field(factory=dict[str, StoredContext])
    root_key: str | None = None

    def context(self, name: str) -> StoredContext:
        return self.contexts.get(name) or StoredContext()

    def with_context(self, name: str, context: StoredContext) -> Entry:
        return attrs.evolve(self, contexts={**self.contexts, name: context})


EMPTY = Entry()


def encode(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    body = bytearray()
    header: dict[str, Any] = {
        "format": FORMAT,
        "generation": entry.generation,
        "contexts": {
            name: _encoded_context(context, body) for name, context in entry.contexts.items()
        },
    }
    if entry.root_key is not None:
        header["root_key"] = entry.root_key
    if entry.groups is not None:
        header["groups"] = attrs.asdict(entry.groups)
    return _encode(header).encode("utf-8", "surrogatepass") + b"\n" + bytes(body)


def decode(data: bytes) -> Entry | None:
    """Return the entry that bytes hold; ``None`` where they hold none that this version reads."""
    try:
        head, _, body = data.partition(b"\n")
        header = json.loads(head)
        if header["format"] != FORMAT:
            return None
        groups = header.get("groups")
        return Entry(
            generation=int(header["generation"]),
            groups=None if groups is None else _decoded_groups(groups),
            contexts={
                name: _decoded_context(context, body)
                for name, context in header["contexts"].items()
            },
            root_key=header.get("root_key"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _encoded_context(context: StoredContext, body: bytearray) -> dict[str, Any]:
    encoded: dict[str, Any] = {"marks": context.marks}
    record, flags = context.record, context.flags
    if record is not None:
        points: list[list[Any]] = []
        for (site, target), item in record.items.items():
            start = len(body)
            body += _encode(item).encode("utf-8", "surrogatepass")
            points.append([site, target, start, len(body)])
        encoded["record"] = {
            "load_id": record.load_id,
            "answered_at": record.answered_at,
            "points": points,
            "advanced_by": [[*point, times] for point, times in record.advanced_by.items()],
            "invalidated": [list(point) for point in record.invalidated],
        }
    if flags is not None:
        encoded["flags"] = {"answered_at": flags.answered_at, "keys": list(flags.keys)}
    return encoded


def _decoded_context(context: Mapping[str, Any], body: bytes) -> StoredContext:
    record, flags = context.get("record"), context.get("flags")
    return StoredContext(
        int(context["marks"]),
        None if record is None else _decoded_record(record, body),
        None
        if flags is None
        else StoredFlags(float(flags["answered_at"]), tuple(map(str, flags["keys"]))),
    )


def _decoded_record(record: Mapping[str, Any], body: bytes) -> StoredRecord:
    spans = {(site, target): (start, end) for site, target, start, end in record["points"]}
    return StoredRecord(
        str(record["load_id"]),
        float(record["answered_at"]),
        StoredItems(body, spans),
        {(site, target): int(times) for site, target, times in record["advanced_by"]},
        frozenset((site, target) for site, target in record["invalidated"]),
    )


def _decoded_groups(groups: Mapping[str, Any]) -> StoredGroups:
    return StoredGroups(
        groups["group"],
        groups["working_group"],
        bool(groups["is_explicit"]),
        tuple(groups["superseded"]),
    )
